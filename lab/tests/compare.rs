//! `compare` prints tables, writes JSON, and refuses rows that it does not have.

mod common;

use std::path::Path;

use common::{lab, stderr, stdout};
use serde_json::Value;

#[test]
fn a_row_gives_figures_for_people_and_for_programs() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("figures.json");
    let file = file.to_str().unwrap();
    let output =
        lab(&["compare", "--rounds", "2", "--quick", "--only", "hit/4KiB", "--only", "zeroed", "--json", file]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(stderr(&output).is_empty(), "no progress bar in a pipe: {}", stderr(&output));

    let text = stdout(&output);
    for word in ["hit/4KiB/memory: ", "hit/4KiB/registers: ", "| floor ", "| millpond ", "| Vec, system malloc "] {
        assert!(text.contains(word), "{word} in {text}");
    }
    assert!(!text.contains("hit/1KiB") && !text.contains('\u{1b}'), "{text}");

    let document: Value = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    assert!(document["machine"]["cores"].as_u64().unwrap() > 0);
    assert!(document["machine"]["cpu"].is_string() && document["machine"]["kernel"].is_string());
    assert!(document["command"].as_str().unwrap().contains("--only hit/4KiB"));
    assert_eq!(document["version"], env!("CARGO_PKG_VERSION"));
    assert!(document["when"].as_str().unwrap().ends_with('Z'), "{}", document["when"]);
    assert_eq!(document["idle_seconds"].as_f64(), cfg!(target_os = "linux").then_some(0.2));
    let rows = document["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 5);
    for row in rows {
        let contenders = row["contenders"].as_array().unwrap();
        for (name, kind) in [("millpond", "millpond"), ("floor", "floor"), ("Vec, system malloc", "allocator")] {
            let figures = contenders.iter().find(|contender| contender["contender"] == name).unwrap();
            let (min, median) = (figures["min_ns"].as_f64().unwrap(), figures["median_ns"].as_f64().unwrap());
            assert!(0.0 < min && min <= median, "{name}: {min} {median}");
            assert_eq!(figures["kind"], kind);
        }
    }
}

#[test]
#[cfg(target_os = "linux")]
fn millpond_gives_back_what_lies_idle() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("figures.json");
    let arguments = ["compare", "--rounds", "2", "--quick", "--only", "burst/1000", "--idle", "1", "--json"];
    let output = lab(&[&arguments[..], &[file.to_str().unwrap()]].concat());
    assert!(output.status.success() && stderr(&output).is_empty(), "{}", stderr(&output));
    let text = stdout(&output);
    assert!(text.contains("| at peak | when idle |") && text.contains("millpond's decay is 250ms"), "{text}");

    let document: Value = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    assert_eq!(document["idle_seconds"], 1.0);
    let contenders = document["rows"][0]["contenders"].as_array().unwrap();
    let of =
        |name: &str| &contenders.iter().find(|contender| contender["contender"] == name).unwrap()["resident_bytes"];
    let (peak, idle) = (of("millpond")["peak"].as_u64().unwrap(), of("millpond")["idle"].as_u64().unwrap());
    // An OS page of each buffer was touched.
    assert!(peak >= 1000 * 4096 && idle < peak / 4, "{peak} {idle}");
    assert!(of("floor").is_null(), "it cannot do the row");
}

#[test]
fn without_a_pause_memory_is_not_looked_at() {
    let output = lab(&["compare", "--rounds", "1", "--quick", "--only", "hit/4KiB", "--idle", "0"]);
    let text = stdout(&output);
    assert!(text.contains("| millpond ") && !text.contains("when idle"), "{text}");
}

#[test]
fn a_contender_that_cannot_do_a_row_says_why() {
    let output = lab(&["compare", "--rounds", "1", "--quick", "--only", "pools/10", "--only", "burst/1000"]);
    let text = stdout(&output);
    assert!(text.contains("has no pools") && text.contains("keeps 32 buffers of a class"), "{text}");
}

#[test]
fn rows_that_touch_memory_count_page_faults() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("figures.json");
    let rows = ["--only", "touch/64MiB", "--only", "touch/1KiB/birth", "--only", "hit/1KiB/memory"];
    let arguments = ["compare", "--rounds", "2", "--quick", "--max-memory", "64MiB", "--json", file.to_str().unwrap()];
    let output = lab(&[&arguments[..], &rows].concat());
    let text = stdout(&output);
    assert!(output.status.success(), "{}", stderr(&output));

    let document: Value = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    let faults = |row: &str, name: &str| {
        let row = document["rows"].as_array().unwrap().iter().find(|it| it["row"] == row).unwrap();
        let contenders = row["contenders"].as_array().unwrap();
        contenders.iter().find(|contender| contender["contender"] == name).unwrap()["page_faults"].as_f64()
    };
    assert_eq!(faults("hit/1KiB/memory", "millpond"), None, "counted where it is asked for");
    let sources = ["", ", heap", ", prefault", ", huge pages if any", ", 2 MiB pages if any"];
    for name in sources.map(|source| format!("millpond{source}")) {
        assert!(text.matches(&format!("| {name} ")).count() >= 2, "{name} in {text}");
        #[cfg(target_os = "linux")]
        {
            let [fresh, warm] = ["fresh", "warm"].map(|state| faults(&format!("touch/64MiB/{state}"), &name).unwrap());
            // Huge pages are 32.
            assert!(fresh >= 1.0 && warm < fresh / 4.0, "{name}: {fresh} {warm}");
        }
    }
    #[cfg(target_os = "linux")]
    {
        assert_eq!(text.matches("| page faults |").count(), 3, "{text}");
        assert!(faults("touch/64MiB/warm", "Vec, system malloc").unwrap() >= 1.0);
        assert!(faults("touch/1KiB/birth", "millpond").is_some());
    }
}

#[test]
fn handover_passes_as_many_buffers_as_it_is_told() {
    let output = lab(&["compare", "--rounds", "2", "--only", "handover/1:1", "--buffers", "50000"]);
    let text = stdout(&output);
    assert!(text.contains("queue alone") && text.contains("ns beyond queue"), "{text}");
    let millpond = text.lines().find(|line| line.starts_with("| millpond ")).unwrap();
    assert!(millpond.contains("resident ") && millpond.contains("over 100000 buffers"), "{millpond}");
}

#[test]
fn a_batch_stands_beside_single_gets_and_drops() {
    let output = lab(&["compare", "--rounds", "2", "--quick", "--only", "batch-across/pass"]);
    let text = stdout(&output);
    for word in ["batch-across/pass: ", "| millpond ", "| millpond, as one batch ", "| queue alone "] {
        assert!(text.contains(word), "{word} in {text}");
    }
}

#[test]
#[cfg(feature = "rivals")]
fn rows_that_wait_say_how_long() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("figures.json");
    let arguments = ["compare", "--rounds", "3", "--quick", "--only", "waiting/4:2/yield", "--json"];
    let output = lab(&[&arguments[..], &[file.to_str().unwrap()]].concat());
    let text = stdout(&output);
    let waits = text.split("\n\n").find(|part| part.starts_with("| wait, ns ")).unwrap_or_else(|| panic!("{text}"));
    let names = ["millpond", "semaphore and mutex"];
    assert!(names.iter().all(|name| waits.contains(&format!("| {name} "))), "{waits}");

    let document: Value = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    let contenders = document["rows"][0]["contenders"].as_array().unwrap();
    for name in names {
        let contender = contenders.iter().find(|contender| contender["contender"] == name).unwrap();
        let wait = |part: &str, of: &str| contender["wait_ns"][part][of].as_f64().unwrap();
        for of in ["min", "median", "max"] {
            assert!(wait("p50", of) <= wait("p99", of) && wait("p99", of) <= wait("longest", of), "{contender}");
        }
        // Half of the tasks are always without a buffer.
        assert!(wait("p99", "min") > contender["min_ns"].as_f64().unwrap() / 2.0, "{contender}");
    }
}

#[test]
#[cfg(unix)]
fn a_reader_that_goes_away_is_no_error_to_speak_of() {
    let mut child = std::process::Command::new(common::LAB)
        .args(["compare", "--quick", "--rounds", "2", "--only", "hit"])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(141));
    assert!(output.stderr.is_empty(), "{}", stderr(&output));
}

#[test]
fn rows_can_be_listed() {
    let output = lab(&["compare", "--list"]);
    let text = stdout(&output);
    assert!(output.status.success());
    for row in [
        "hit/256B/registers",
        "hit/16MiB/memory",
        "two-live/",
        "live-128/",
        "zeroed/64KiB/1KiB",
        "touch/64MiB/fresh",
        "touch/64MiB/warm",
        "touch/4MiB/birth",
        "chain/16MiB",
        "burst/1000",
        "mixed/zipf",
        "zeropool/ping-pong",
        "zeropool/hot-cold",
        "zeropool/multi-size",
        "zeropool/cache-depth/8",
        "zeropool/eviction",
        "zeropool/1000-ops/16",
        "zeropool/page-writes/16",
        "threads/64",
        "queue/1:1",
        "handover/4:4",
        "batch-across/pass",
        "short-thread/",
        "pools/1000",
    ] {
        assert!(text.lines().any(|line| line.starts_with(row)), "{row} in {text}");
    }
    let fewer = lab(&["compare", "--list", "--only", "pools/"]);
    assert_eq!(stdout(&fewer).lines().count(), 3);
}

#[test]
fn what_cannot_be_done_is_refused_before_anything_is_measured() {
    let refused = |arguments: &[&str], text: &str| {
        let output = lab(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(stderr(&output).contains(text), "{}", stderr(&output));
        assert!(stdout(&output).is_empty());
    };
    refused(&["compare", "--only", "hit/4KiB", "--only", "no such row"], "no such row");
    refused(&["compare", "--rounds", "0"], "--rounds");
    refused(&["compare", "--buffers", "0"], "--buffers");
    refused(&["compare", "--idle", "soon"], "soon");
    refused(&["compare", "--idle=-1"], "from 0 to 3600");
    refused(&["compare", "--max-memory", "plenty"], "plenty");
    refused(&["compare", "--max-memory", "199"], "object/struct-200/memory, which needs least, needs 200B");
    refused(&["resident", "no such row", "millpond", "--pause", "1"], "no such row");
    let file = Path::new("/no/such/folder/figures.json").to_str().unwrap();
    refused(&["compare", "--only", "hit/4KiB", "--json", file], file);
}

#[test]
fn rows_that_need_more_memory_than_allowed_say_so_and_the_others_are_measured() {
    let arguments = ["compare", "--rounds", "2", "--quick", "--max-memory", "256KiB"];
    let output = lab(&[&arguments[..], &["--only", "burst", "--only", "pools/10", "--only", "object/struct"]].concat());
    let text = stdout(&output);
    assert!(output.status.success(), "{}", stderr(&output));
    let millpond: Vec<_> = text.lines().filter(|line| line.starts_with("| millpond ")).collect();
    assert_eq!(millpond.len(), 7, "{text}");
    for needed in ["640KiB", "6.2MiB", "62.5MiB"] {
        let refusal = format!("needs {needed}, and --max-memory is 256KiB");
        assert!(millpond.iter().any(|line| line.contains(&refusal)), "{refusal} in {text}");
    }
    assert_eq!(text.matches("needs ").count(), 3, "{text}");
    #[cfg(target_os = "linux")]
    assert!(!millpond.last().unwrap().contains("|       - |"), "its memory is looked at under the same limit: {text}");
}

#[test]
fn every_row_runs_in_the_memory_that_it_says_it_needs() {
    for (row, needed) in [
        ("two-live/64KiB", "128KiB"),
        ("live-128/1KiB", "128KiB"),
        ("burst/10", "640KiB"),
        ("mixed/uniform", "4MiB"),
        ("touch/64MiB/warm", "64MiB"),
        ("touch/64KiB/birth", "1MiB"),
        ("chain/16MiB", "16MiB"),
        ("zeropool/ping-pong", "1025KiB"),
        ("zeropool/page-writes/8", "512KiB"),
        ("threads/8", "32KiB"),
        ("handover/1:1", "1032KiB"),
        ("handover/4:4", "1056KiB"),
        ("batch-across/touch", "1536KiB"),
        ("short-thread/100", "4KiB"),
        ("pools/10", "4KiB"),
        ("object/audio-graph", "20720"),
        ("object/hash-map/memory", "272"),
    ] {
        let output = lab(&["compare", "--rounds", "2", "--quick", "--only", row, "--max-memory", needed]);
        let text = stdout(&output);
        assert!(output.status.success(), "{row}: {}", stderr(&output));
        let table = text.split("\n\n").find(|part| part.contains(&format!("{row}: "))).unwrap();
        assert!(table.contains("| millpond ") && !table.contains("needs "), "{text}");
        let less = lab(&["compare", "--quick", "--only", row, "--max-memory", "200"]);
        assert_eq!(less.status.code(), Some(2), "{row}");
        assert!(stderr(&less).contains("--max-memory is 200B, and "), "{}", stderr(&less));
    }
}
