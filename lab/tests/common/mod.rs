//! The program under test, and trees for it to read.
#![allow(dead_code, reason = "each test file uses a part")]

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;

pub const LAB: &str = env!("CARGO_BIN_EXE_millpond-lab");

pub fn lab(arguments: &[&str]) -> Output {
    Command::new(LAB).args(arguments).output().expect("the program starts")
}

pub fn run(path: &Path, arguments: &[&str]) -> Output {
    Command::new(LAB).arg("run").arg(path).args(arguments).output().expect("the program starts")
}

pub fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("text")
}

pub fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("text")
}

/// What follows `name` at the beginning of a line of a run's report.
pub fn figure(output: &Output, name: &str) -> String {
    let text = stdout(output);
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.unwrap_or_else(|| panic!("no {name} in {text}{}", stderr(output))).trim().to_owned()
}

/// Has a short trace replayed, and its figures written to a file.
pub fn evicted(folder: &Path, file: &Path) {
    let trace = folder.join("scan.trace");
    let round: String = [4096, 65536, 4096, 1 << 20].map(|size| format!("+{size}\n-{size}\n")).concat();
    fs::write(&trace, round.repeat(20)).expect("a trace");
    let [trace, file] = [&*trace, file].map(|path| path.to_str().expect("text"));
    let output = lab(&["evict", "--trace", trace, "--json", file]);
    assert!(output.status.success(), "{}", stderr(&output));
}

/// A folder with these files, whose contents differ from each other.
pub fn tree(files: &[(&str, usize)]) -> TempDir {
    let root = tempfile::tempdir().expect("a temporary folder");
    for (number, (name, len)) in files.iter().enumerate() {
        let path = root.path().join(name);
        fs::create_dir_all(path.parent().expect("files lie in the folder")).expect("folders");
        let content: Vec<u8> = (0..*len).map(|at| (at * 31 + at / 251 + number * 7) as u8).collect();
        fs::write(path, content).expect("a file");
    }
    root
}
