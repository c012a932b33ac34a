//! What is in a file of results. Its keys tell whose it is.

use std::fmt::Display;
use std::fs;
use std::path::Path;

use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};

use super::{compare, evict, soak};
use crate::compare::json::Document as Comparison;
use crate::evict::report::Document as Evictions;
use crate::failure::Failure;
use crate::provenance::Provenance;
use crate::soak::json::Document as Soak;

/// A file that could be read.
pub struct File {
    pub name: String,
    pub provenance: Provenance,
    pub results: Results,
}

impl File {
    /// How many charts are drawn of it.
    pub fn charts(&self) -> usize {
        match &self.results {
            Results::Compare(compare) => compare::charts(compare),
            Results::Soak(_) => soak::CHARTS,
            Results::Evict(_) => evict::CHARTS,
        }
    }
}

pub enum Results {
    Compare(Comparison<'static>),
    Soak(Box<Soak<'static>>),
    Evict(Evictions<'static>),
}

/// What only one command writes, each.
#[derive(Deserialize)]
#[serde(expecting = "an object, as `compare`, `soak` and `evict` write with --json")]
struct Keys {
    rows: Option<IgnoredAny>,
    samples: Option<IgnoredAny>,
    traces: Option<IgnoredAny>,
}

/// Reads a file; what is wrong with it comes with its name and the place.
pub fn file(path: &Path) -> Result<File, Failure> {
    let content = fs::read(path).map_err(|error| Failure::path(path, error))?;
    parse(&path.display().to_string(), &content)
}

fn parse(name: &str, content: &[u8]) -> Result<File, Failure> {
    if content.iter().all(u8::is_ascii_whitespace) {
        return Err(wrong(name, "the file is empty at line 1 column 1"));
    }
    let keys: Keys = json(name, content)?;
    let results = match (keys.rows, keys.samples, keys.traces) {
        (Some(_), None, None) => Results::Compare(json(name, content)?),
        (None, Some(_), None) => Results::Soak(Box::new(json(name, content)?)),
        (None, None, Some(_)) => Results::Evict(json(name, content)?),
        (None, None, None) => {
            let what =
                "no results of `compare`, `soak` or `evict`: the object has neither `rows` nor `samples` nor `traces`";
            return Err(wrong(name, format_args!("{what} at {}", begin(content))));
        }
        _ => {
            let what = "results of more than one command in one object: only one of `rows`, `samples` and `traces` may be there";
            return Err(wrong(name, format_args!("{what} at {}", begin(content))));
        }
    };
    let nothing = match &results {
        Results::Compare(compare) => compare.rows.is_empty().then_some("rows"),
        Results::Soak(soak) => soak.samples.is_empty().then_some("samples"),
        Results::Evict(evict) => evict.traces.is_empty().then_some("traces"),
    };
    if let Some(list) = nothing {
        return Err(wrong(name, format_args!("nothing to show: no {list} at {}", begin(content))));
    }
    Ok(File { name: name.to_owned(), provenance: json(name, content)?, results })
}

/// Parsed once for each of what is looked for: so each error has its place.
fn json<T: DeserializeOwned>(name: &str, content: &[u8]) -> Result<T, Failure> {
    serde_json::from_slice(content).map_err(|error| {
        let end = if error.is_eof() { "; the file seems to be cut off" } else { "" };
        wrong(name, format_args!("{error}{end}"))
    })
}

/// Where the object begins.
fn begin(content: &[u8]) -> String {
    let before = content.split(|&byte| byte == b'{').next().unwrap_or_default();
    let line = 1 + before.iter().filter(|&&byte| byte == b'\n').count();
    let column = 1 + before.iter().rev().take_while(|&&byte| byte != b'\n').count();
    format!("line {line} column {column}")
}

fn wrong(name: &str, what: impl Display) -> Failure {
    Failure::Usage(format!("{name}: {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::soak::sample::Sample;

    fn refusal(content: &str) -> String {
        match parse("results.json", content.as_bytes()) {
            Err(Failure::Usage(what)) => what,
            Err(other) => panic!("{content}: {other}"),
            Ok(_) => panic!("accepted: {content}"),
        }
    }

    const ROW: &str = r#"{"row":"a","operation":"b","contenders":[{"contender":"c","min_ns":1.5,"median_ns":2}]}"#;

    #[test]
    fn what_a_file_is_its_content_tells() {
        let compare = parse("x", format!(r#"{{"rounds":1,"rows":[{ROW}]}}"#).as_bytes()).unwrap();
        assert!(matches!(compare.results, Results::Compare(it) if it.rows[0].contenders[0].min_ns == Some(1.5)));
        assert!(compare.provenance.machine.is_none(), "older files have none");
    }

    #[test]
    fn what_is_wrong_comes_with_its_place() {
        let row = |contender: &str| {
            format!(
                "{{\"rounds\":1,\n\"rows\":[{{\"row\":\"a\",\"operation\":\"b\",\"contenders\":[\n{contender}]}}]}}"
            )
        };
        let sample = |at: u32| {
            let sample = Sample { at: f64::from(at), ..Sample::default() };
            serde_json::to_string(&sample).unwrap()
        };
        for (content, text) in [
            (String::new(), "empty at line 1 column 1"),
            ("  \n ".into(), "empty at line 1 column 1"),
            ("not json".into(), "expected ident at line 1 column 2"),
            ("[1]".into(), "expected an object, as `compare`"),
            ("\n  {\"name\": 1}".into(), "no results of `compare`, `soak` or `evict`"),
            ("\n  {\"name\": 1}".into(), "at line 2 column 3"),
            (r#"{"rows":[],"samples":[]}"#.into(), "more than one command"),
            (r#"{"rounds":1,"rows":[]}"#.into(), "no rows at line 1 column 1"),
            (format!("{{\"rounds\":1,\"rows\":[{ROW}"), "cut off"),
            (format!(r#"{{"rounds":1,"rows":[{ROW}]}}{{"rounds":1}}"#), "trailing characters at line 1 column"),
            (r#"{"rows":[{"row":"a"}]}"#.into(), "missing field `operation` at line 1 column"),
            (
                row(r#"{"contender":"c","min_ns":"fast"}"#),
                "invalid type: string \"fast\", expected f64 at line 3 column 32",
            ),
            (row(r#"{"contender":"c","min_ns":-1}"#), "-1 is no time that something took at line 3"),
            (row(r#"{"contender":"c","kind":"horse"}"#), "unknown variant `horse`"),
            (r#"{"samples":[{"at":1,"outstanding":-3}]}"#.into(), "invalid value: integer `-3`"),
            (
                format!("{{\"samples\":\n[{},{}]}}", sample(2), sample(1)),
                "a sample at 1 s comes after one at 2 s at line 2",
            ),
        ] {
            let refusal = refusal(&content);
            assert!(refusal.starts_with("results.json: ") && refusal.contains(text), "{content}: {refusal}");
        }
        let bytes = parse("results.json", b"{\"rows\": \"\xff\"}");
        assert!(matches!(bytes, Err(Failure::Usage(what)) if what.contains("line 1 column")));
    }
}
