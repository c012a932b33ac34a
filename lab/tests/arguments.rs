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
    refused(&["run", "--colour"], "--colour");
    refused(&["soak", "--minutes", "0"], "between");
    refused(&["soak", "--minutes", "NaN"], "NaN");
    refused(&["soak", "--threads", "1"], "--threads");
    refused(&["soak", "--memory", "1MiB"], "16MiB");
    refused(&["soak", "--json", "/no/such/folder/soak.json"], "/no/such/folder/soak.json");
}

#[test]
fn help_and_version_are_no_errors() {
    for arguments in [&["--help"][..], &["--version"], &["run", "--help"], &["soak", "--help"]] {
        let output = lab(arguments);
        assert!(output.status.success(), "{arguments:?}");
        assert!(stdout(&output).contains("millpond-lab"), "{arguments:?}");
    }
}
