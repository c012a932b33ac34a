//! `evict` replays traces, prints hit rates for people and for programs, and refuses traces that make no sense.

mod common;

use std::fs;
use std::path::Path;

use common::{lab, stderr, stdout};
use serde_json::Value;
use tempfile::TempDir;

/// Percent of the gets.
struct Rates {
    lifo: f64,
    clock_pro: f64,
    clairvoyant: f64,
}

impl Rates {
    fn of(figures: &Value) -> Self {
        let rate = |of: &str| figures["rates"][of].as_f64().unwrap();
        Self { lifo: rate("lifo"), clock_pro: rate("clock_pro"), clairvoyant: rate("clairvoyant") }
    }
}

/// What `evict` writes for programs about each trace.
fn figures(arguments: &[&str]) -> Vec<Value> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("figures.json");
    let output = lab(&[&["evict"], arguments, &["--json", file.to_str().unwrap()]].concat());
    assert!(output.status.success(), "{}", stderr(&output));
    let document: Value = serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap();
    document["traces"].as_array().unwrap().clone()
}

/// A file with this trace.
fn file(text: &str) -> (TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("recorded.trace");
    fs::write(&path, text).unwrap();
    let path = path.to_str().unwrap().to_owned();
    (folder, path)
}

#[test]
fn clock_pro_is_no_worse_than_lifo_and_no_better_than_who_knows_the_future() {
    let all = figures(&[]);
    let names: Vec<_> = all.iter().map(|figures| figures["trace"].as_str().unwrap()).collect();
    assert_eq!(names, ["zipf", "shift", "scan", "day"]);
    for (name, figures) in names.iter().zip(&all) {
        let Rates { lifo, clock_pro, clairvoyant } = Rates::of(figures);
        for rate in [lifo, clock_pro] {
            assert!(0.0 < rate && rate <= clairvoyant, "{name}: {rate} of {clairvoyant}");
        }
        assert!(clairvoyant < 100.0, "{name}: {clairvoyant}");
        let gained = match *name {
            "shift" => 15.0,
            "scan" => 8.0,
            _ => -1.0,
        };
        assert!(clock_pro >= lifo + gained, "{name}: {clock_pro} of ClockPro, {lifo} of Lifo");
        let of = |figure: &str| figures[figure].as_u64().unwrap();
        assert!(of("operations") >= 500_000 && of("gets") < of("operations"), "{name}");
        assert!(of("max_idle") < of("peaks") / 2, "{name}: classes that all fit need no eviction");
    }
}

#[test]
fn the_table_has_a_line_for_each_trace_asked_for() {
    let output = lab(&["evict", "--only", "ca", "--only", "day", "--max-idle", "512MiB"]);
    let text = stdout(&output);
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines.len(), 4, "{text}");
    for head in ["operations", "gets", "max idle", "Lifo %", "ClockPro %", "clairvoyant %", "ClockPro - Lifo"] {
        assert!(lines[0].contains(head), "{head} in {text}");
    }
    assert!(lines[2].starts_with("| scan ") && lines[3].starts_with("| day "), "{text}");
    assert!(lines[2..].iter().all(|line| line.contains(" 512MiB ")), "{text}");
}

#[test]
fn hits_are_gets_of_what_lay_idle() {
    // Four come home and three may stay.
    let size = "300KiB";
    let burst = format!("+{size}\n").repeat(4) + &format!("-{size}\n").repeat(4);
    let (_folder, path) = file(&burst.repeat(3));
    let all = figures(&["--trace", &path, "--max-idle", "900KiB"]);
    assert_eq!((all.len(), all[0]["trace"].as_str(), all[0]["gets"].as_u64()), (1, Some("recorded"), Some(12)));
    for name in ["lifo", "clock_pro", "clairvoyant"] {
        assert_eq!(all[0]["hits"][name].as_u64(), Some(6), "{name}");
    }
}

#[test]
fn a_trace_gives_the_same_figures_when_it_is_made_again_and_when_it_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let output = lab(&["evict", "--only", "zipf", "--write", folder.path().to_str().unwrap()]);
    assert!(output.status.success() && stdout(&output).is_empty(), "{}", stderr(&output));
    let path = folder.path().join("zipf.trace");
    assert_eq!(figures(&["--trace", path.to_str().unwrap()]), figures(&["--only", "zipf"]));
}

#[test]
fn traces_that_make_no_sense_are_refused_with_their_line() {
    for (text, complaint) in [
        ("+4096\nget 4096\n", "recorded.trace: line 2: `get 4096` is neither a get"),
        ("+4096\n+many\n", "recorded.trace: line 2: `many` is not a size"),
        ("# head\n+4KiB\n-4096\n-4KiB\n", "recorded.trace: line 4: a return of 4KiB, of which none is out"),
        ("", "recorded.trace: no operations"),
    ] {
        let (_folder, path) = file(text);
        refused(&["--trace", &path], complaint);
    }
}

#[test]
fn what_is_not_there_is_refused_by_name() {
    refused(&["--only", "night"], "no trace has `night` in its name; there are zipf, shift, scan, day");
    refused(&["--trace", "/no/such/file"], "/no/such/file");
    refused(&["--max-idle", "12 parsecs"], "parsecs");
    refused(&["--only", "zipf", "--json", "/no/such/folder/figures.json"], "/no/such/folder");
    refused(
        &["--only", "zipf", "--write", "/no/such/folder"],
        Path::new("/no/such/folder/zipf.trace").to_str().unwrap(),
    );
}

fn refused(arguments: &[&str], complaint: &str) {
    let output = lab(&[&["evict"], arguments].concat());
    assert_eq!(output.status.code(), Some(2), "{arguments:?}");
    assert!(stderr(&output).contains(complaint), "{arguments:?}: {}", stderr(&output));
    assert!(stdout(&output).is_empty(), "{arguments:?}");
}
