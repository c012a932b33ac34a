//! The page of `report` in a browser: every chart is there and whole, on wide screens and narrow ones, light and dark,
//! and nothing is asked of the network.
#![cfg(unix)]

#[path = "common/browser.rs"]
mod browser;
mod common;

use std::env;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use browser::Browser;
use common::{lab, stderr, stdout};
use serde_json::{Value, json};

/// What would run if it got to the page as markup.
const HOSTILE: &str = "<script>document.title='run'</script><img src=x onerror=\"document.title='run'\">&amp;";

/// Results of every command, with a name among them that is no name.
fn results(folder: &Path) -> Vec<PathBuf> {
    let path = |name: &str| folder.join(name);
    let files: Vec<_> = ["compare.json", "soak.json", "evict.json", "failed.json"].map(path).into();
    let mut compare = vec!["compare", "--quick", "--rounds", "2", "--idle", "0.1"];
    compare.extend(["hit/4KiB", "handover/1:1", "burst/10"].iter().flat_map(|row| ["--only", row]));
    let commands: [(&[&str], &Path); 3] = [
        (&compare, &files[0]),
        (&["soak", "--threads", "4", "--minutes", "0.12", "--seed", "7"], &files[1]),
        (&["soak", "--threads", "4", "--minutes", "0.5", "--plant", "charge"], &files[3]),
    ];
    for (arguments, file) in commands {
        let output = lab(&[arguments, &["--json", file.to_str().unwrap()]].concat());
        assert!(output.status.success() || arguments.contains(&"--plant"), "{arguments:?}: {}", stderr(&output));
    }
    common::evicted(folder, &files[2]);
    add_to_comparison(&files[0]);
    files
}

/// Contenders that only come with other crates, one with a name that must be escaped; and a row whose requests wait.
fn add_to_comparison(file: &Path) {
    let mut compare: Value = serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap();
    let rows = compare["rows"].as_array_mut().unwrap();
    let more = [
        (HOSTILE, "pool", 30.0),
        ("a pool with a name that is too long for its place", "pool", 4e4),
        ("short", "allocator", 4.0),
    ];
    for (name, kind, ns) in more {
        let resident = json!({"peak": 5 << 20, "idle": 123_456});
        let contender =
            json!({"contender": name, "kind": kind, "min_ns": ns, "median_ns": 1.3 * ns, "resident_bytes": resident});
        rows[0]["contenders"].as_array_mut().unwrap().push(contender);
    }
    let wait = |ns: f64| json!({"min": ns, "median": 1.5 * ns, "max": 9.0 * ns});
    let waits = json!({"p50": wait(300.0), "p99": wait(4e3), "longest": wait(1e6)});
    let ours = json!({"contender": "millpond", "kind": "millpond", "min_ns": 10, "median_ns": 20, "wait_ns": waits});
    rows.push(json!({"row": HOSTILE, "operation": HOSTILE, "contenders": [ours]}));
    fs::write(file, compare.to_string()).unwrap();
}

/// The charts that there must be.
fn expected(files: &[PathBuf]) -> Vec<String> {
    let compare: Value = serde_json::from_str(&fs::read_to_string(&files[0]).unwrap()).unwrap();
    let mut charts = vec!["file0-summary".to_owned()];
    for (at, row) in compare["rows"].as_array().unwrap().iter().enumerate() {
        let has = |key: &str| row["contenders"].as_array().unwrap().iter().any(|contender| !contender[key].is_null());
        charts.push(format!("file0-row{at}"));
        charts.extend(has("wait_ns").then(|| format!("file0-row{at}-waits")));
        charts.extend(has("resident_bytes").then(|| format!("file0-row{at}-memory")));
    }
    for file in ["file1", "file3"] {
        charts.extend(["memory", "crowd", "waiters"].map(|chart| format!("{file}-{chart}")));
    }
    charts.push("file2-rates".to_owned());
    charts.sort();
    charts
}

/// What is measured on the page: charts with the sizes of what is shown of them, and what is cut, overlaps or is too small.
const MEASURED: &str = r#"(() => {
    const shown = element => element.getBoundingClientRect().width > 0;
    const charts = [...document.querySelectorAll("figure.chart")].map(figure => {
        const svgs = [...figure.querySelectorAll("svg")].filter(shown);
        const box = svgs.length ? svgs[0].getBoundingClientRect() : {width: 0, height: 0};
        const labels = svgs.length ? svgs[0].getAttribute("aria-labelledby").split(" ") : [];
        const words = labels.map(id => (document.getElementById(id) || {}).textContent || "");
        return {id: figure.id, shown: svgs.length, width: box.width, height: box.height, words,
                role: svgs.length ? svgs[0].getAttribute("role") : "", marks: svgs.length ? svgs[0].querySelectorAll("circle,polygon,polyline,rect").length : 0,
                rows: figure.querySelectorAll("tbody tr").length};
    });
    const cut = [], overlapping = [], small = [];
    for (const svg of [...document.querySelectorAll("svg")].filter(shown)) {
        const paper = svg.getBoundingClientRect();
        const scale = paper.width / svg.viewBox.baseVal.width;
        const texts = [...svg.querySelectorAll("text")].map(text => [text.textContent.trim(), text.getBoundingClientRect(), text]);
        texts.forEach(([words, box, text], at) => {
            if (box.left < paper.left - 1 || box.right > paper.right + 1 || box.top < paper.top - 1 || box.bottom > paper.bottom + 1) cut.push(words);
            if (parseFloat(text.getAttribute("font-size")) * scale < 10) small.push(words);
            for (const [others, other] of texts.slice(at + 1))
                if (box.left < other.right - 1 && other.left < box.right - 1 && box.top < other.bottom - 2 && other.top < box.bottom - 2) overlapping.push(words + " | " + others);
        });
    }
    const root = document.documentElement;
    const ids = [...document.querySelectorAll("[id]")].map(element => element.id);
    return {charts, cut, overlapping, small, title: document.title, images: document.images.length, scripts: document.scripts.length,
            beyond: root.scrollWidth - root.clientWidth, width: root.clientWidth,
            twice: ids.filter((id, at) => ids.indexOf(id) != at),
            back: getComputedStyle(document.body).backgroundColor,
            letters: [...new Set([...document.querySelectorAll("svg text")].map(text => getComputedStyle(text).fill))].sort()};
})()"#;

fn assert_none(measured: &Value, what: &str, on: &str) {
    assert_eq!(measured[what], json!([]), "{what} on {on}");
}

fn looks_right(browser: &mut Browser, page: &Path, charts: &[String], (width, height, scheme): (u32, u32, &str)) {
    let on = format!("{width} pixels, {scheme}");
    browser.screen(width, height, scheme);
    let events = browser.open(page);
    let told = |method: &str| {
        events.iter().filter(|event| event["method"] == method).map(|event| &event["params"]).collect::<Vec<_>>()
    };
    let requests: Vec<_> = told("Network.requestWillBeSent").iter().map(|it| it["request"]["url"].clone()).collect();
    assert_eq!(requests, [json!(format!("file://{}", page.display()))], "on {on}");
    for complaint in ["Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded"] {
        assert_eq!(told(complaint), Vec::<&Value>::new(), "on {on}");
    }

    let measured = browser.evaluate(MEASURED);
    assert_eq!((&measured["width"], &measured["beyond"]), (&json!(width), &json!(0)), "wider than the screen on {on}");
    let mut found: Vec<_> = measured["charts"].as_array().unwrap().clone();
    found.sort_by_key(|chart| chart["id"].as_str().unwrap().to_owned());
    assert_eq!(found.iter().map(|chart| chart["id"].as_str().unwrap()).collect::<Vec<_>>(), charts, "on {on}");
    for chart in &found {
        assert_eq!((&chart["shown"], &chart["role"]), (&json!(1), &json!("img")), "{chart} on {on}");
        assert!(chart["width"].as_f64() > Some(250.0) && chart["height"].as_f64() > Some(80.0), "{chart} on {on}");
        assert!(chart["marks"].as_u64() > Some(1) && chart["rows"].as_u64() > Some(0), "{chart} on {on}");
        let words = chart["words"].as_array().unwrap();
        assert!(words.len() == 2 && words.iter().all(|it| it != ""), "{chart} on {on}");
    }
    for what in ["cut", "overlapping", "small", "twice"] {
        assert_none(&measured, what, &on);
    }
    assert_eq!((&measured["images"], &measured["scripts"]), (&json!(0), &json!(0)));
    assert_eq!(measured["title"], "millpond-lab report", "a name was run as a script");
    let (back, letters) = match scheme {
        "dark" => ("rgb(18, 19, 22)", json!(["rgb(169, 174, 182)", "rgb(232, 232, 230)"])),
        _ => ("rgb(244, 244, 242)", json!(["rgb(28, 30, 33)", "rgb(90, 95, 102)"])),
    };
    assert_eq!((&measured["back"], &measured["letters"]), (&json!(back), &letters), "on {on}");
    if let Some(folder) = env::var_os("MILLPOND_PICTURES") {
        fs::create_dir_all(&folder).unwrap();
        browser.picture(&Path::new(&folder).join(format!("{width}-{scheme}.png")));
    }
}

#[test]
fn every_chart_is_on_every_screen() {
    let Some(program) = browser::program() else {
        // Not by a macro, whose output a test that passes keeps to itself.
        io::stderr()
            .write_all(b"SKIPPED: every_chart_is_on_every_screen: no Chromium is installed (ci/report installs it)\n")
            .unwrap();
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let files = results(folder.path());
    let page = folder.path().join("page.html");
    let names = files.iter().map(|file| file.to_str().unwrap());
    let output = lab(&[&["report", "--output", page.to_str().unwrap()], &names.collect::<Vec<_>>()[..]].concat());
    assert!(output.status.success(), "{}", stderr(&output));
    let charts = expected(&files);
    assert!(stdout(&output).ends_with(&format!(": {} charts of 4 files\n", charts.len())), "{}", stdout(&output));

    let mut browser = Browser::start(program);
    for (width, height) in [(360, 740), (768, 1024), (1280, 900)] {
        for scheme in ["light", "dark"] {
            looks_right(&mut browser, &page, &charts, (width, height, scheme));
        }
    }
}
