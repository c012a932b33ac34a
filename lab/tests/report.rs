//! `report` reads what the other commands write, refuses what they do not, and loses nothing.

mod common;

use std::fs;
use std::path::Path;

use common::{LAB, lab, stderr, stdout};
use tempfile::TempDir;

/// A small file of results.
fn evicted(folder: &TempDir) -> String {
    let file = folder.path().join("evict.json");
    common::evicted(folder.path(), &file);
    file.to_str().unwrap().to_owned()
}

fn refused(files: &[&str], output: &Path, texts: &[&str]) {
    let answer = lab(&[&["report", "--output", output.to_str().unwrap()], files].concat());
    assert_eq!(answer.status.code(), Some(2), "{files:?}: {}", stderr(&answer));
    assert!(texts.iter().all(|text| stderr(&answer).contains(text)), "{files:?}: {}", stderr(&answer));
    assert!(stdout(&answer).is_empty());
}

#[test]
fn the_page_goes_where_it_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let file = evicted(&folder);
    let printed = lab(&["report", &file, "--output", "-"]);
    assert!(printed.status.success() && stderr(&printed).is_empty(), "{}", stderr(&printed));
    let page = stdout(&printed);
    assert!(page.starts_with("<!DOCTYPE html>") && page.ends_with("</html>"), "{page}");
    for text in ["evict --trace ", "cores", "ClockPro", "<svg", "<title id=", "<desc id=", "prefers-color-scheme"] {
        assert!(page.contains(text), "no {text} in {page}");
    }

    let by_default = std::process::Command::new(LAB).args(["report", &file]).current_dir(&folder).output().unwrap();
    assert!(by_default.status.success(), "{}", stderr(&by_default));
    assert_eq!(stdout(&by_default), "millpond-report.html: 1 chart of 1 file\n");
    let written = fs::read_to_string(folder.path().join("millpond-report.html")).unwrap();
    // Not all of it: both say when they were made.
    assert_eq!(written.len(), page.len());
}

#[test]
fn files_of_several_commands_are_one_page() {
    let folder = tempfile::tempdir().unwrap();
    let file = evicted(&folder);
    let printed = stdout(&lab(&["report", &file, &file, "--output", "-"]));
    assert_eq!(printed.matches("<figure ").count(), 2);
    assert!(
        printed.contains("id=\"file0\"") && printed.contains("id=\"file1\"") && printed.contains("href=\"#file1\"")
    );
}

#[test]
fn what_is_no_results_is_refused_with_its_name_and_place() {
    let folder = tempfile::tempdir().unwrap();
    let page = folder.path().join("page.html");
    let good = evicted(&folder);
    let text = fs::read_to_string(&good).unwrap();
    let rates = text.find("\"rates\"").unwrap();
    let line = 1 + text[..rates].matches('\n').count();
    let cases = [
        ("empty.json", String::new(), "empty at line 1 column 1".to_owned()),
        ("cut.json", text[..rates + 3].to_owned(), format!("at line {line} column")),
        ("foreign.json", "{\n  \"name\": \"millpond\"\n}".to_owned(), "no results of `compare`".to_owned()),
        ("page.json", "<!DOCTYPE html>".to_owned(), "expected value at line 1 column 1".to_owned()),
        ("mixed.json", text.replacen("\"traces\"", "\"rows\": [], \"traces\"", 1), "more than one command".to_owned()),
        ("two.json", text.repeat(2), "trailing characters at line".to_owned()),
        (
            "wrong.json",
            text.replacen("\"rates\": {", "\"rates\": {\"lifo\": \"high\",", 1),
            format!("at line {line} column"),
        ),
    ];
    for (name, content, place) in cases {
        let file = folder.path().join(name);
        fs::write(&file, content).unwrap();
        let file = file.to_str().unwrap();
        // Also behind one that is in order.
        refused(&[file], &page, &[file, &place]);
        refused(&[&good, file], &page, &[file, &place]);
        assert!(!page.exists(), "nothing is written unless all files can be read");
    }
    let missing = folder.path().join("missing.json");
    refused(&[missing.to_str().unwrap()], &page, &["missing.json", "No such file"]);
    refused(&[folder.path().to_str().unwrap()], &page, &[folder.path().to_str().unwrap(), "directory"]);
}

#[test]
fn a_page_that_cannot_be_written_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let file = evicted(&folder);
    refused(&[&file], Path::new("/no/such/folder/page.html"), &["/no/such/folder/page.html"]);
    let before = fs::read(&file).unwrap();
    refused(&[&file], Path::new(&file), &[&file, "is to be read"]);
    assert_eq!(fs::read(&file).unwrap(), before, "the figures are still there");
}

#[test]
fn names_of_files_are_text_too() {
    let folder = tempfile::tempdir().unwrap();
    let good = evicted(&folder);
    let hostile = folder.path().join("<b onclick=x>&amp;.json");
    fs::copy(good, &hostile).unwrap();
    let page = stdout(&lab(&["report", hostile.to_str().unwrap(), "--output", "-"]));
    assert!(page.contains("&lt;b onclick=x&gt;&amp;amp;.json") && !page.contains("<b onclick"), "{page}");
}
