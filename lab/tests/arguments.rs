//! Wrong arguments: a clear text that names the argument, and status 2.

mod common;

use common::{lab, stderr, stdout};

fn refused(arguments: &[&str], text: &str) {
    let output = lab(arguments);
    assert_eq!(output.status.code(), Some(2), "{arguments:?}");
    assert!(stderr(&output).contains(text), "{arguments:?}: {}", stderr(&output));
    assert!(stdout(&output).is_empty());
}

#[test]
fn wrong_arguments_are_refused_by_name() {
    refused(&[], "Usage");
    refused(&["jump"], "jump");
    refused(&["run", "/no/such/path"], "/no/such/path");
    refused(&["run", "--threads", "0"], "--threads");
    refused(&["run", "--threads", "many"], "many");
    refused(&["run", "--chunk", "0"], "--chunk");
    refused(&["run", "--chunk", "12 parsecs"], "parsecs");
    refused(&["run", "--chunk", "2GiB"], "1GiB");
    refused(&["run", "--pool", "jemalloc"], "jemalloc");
    refused(&["run", "--rounds", "0"], "--rounds");
    refused(&["run", "--max-memory", "plenty"], "plenty");
    refused(&["run", "--max-memory", "1MiB", "--pool", "malloc"], "--pool malloc has none");
    refused(&["run", "--colour"], "--colour");
    refused(&["report"], "FILE");
    refused(&["report", "/no/such/results.json"], "/no/such/results.json");
    refused(&["top", "--pid", "me"], "--pid");
    refused(&["top", "--pid", "1", "--socket", "there"], "--socket");
    refused(&["soak", "--minutes", "0"], "between");
    refused(&["soak", "--minutes", "NaN"], "NaN");
    refused(&["soak", "--threads", "1"], "--threads");
    refused(&["soak", "--memory", "1MiB"], "16MiB");
    refused(&["soak", "--json", "/no/such/folder/soak.json"], "/no/such/folder/soak.json");
}

#[test]
fn memory_for_less_than_one_buffer_is_refused_with_the_numbers() {
    for limit in ["0", "65535"] {
        let text = "and a buffer for a chunk of 63.5KiB needs 64KiB";
        refused(&["run", "--chunk", "65000", "--max-memory", limit], text);
    }
    refused(&["run", "--chunk", "1GiB", "--max-memory", "1023MiB"], "--max-memory is 1023MiB");
}

#[test]
fn help_and_version_are_no_errors() {
    for arguments in [&["--help"][..], &["--version"], &["run", "--help"], &["soak", "--help"]] {
        let output = lab(arguments);
        assert!(output.status.success(), "{arguments:?}");
        assert!(stdout(&output).contains("millpond-lab"), "{arguments:?}");
    }
}
