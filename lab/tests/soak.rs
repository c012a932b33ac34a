//! A soak passes on pools that are in order, finds each planted mistake, and writes its files however it ends.

mod common;

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

use common::{LAB, stderr, stdout};
use serde_json::Value;
use tempfile::TempDir;

/// A soak and its files.
struct Soak {
    command: Command,
    folder: TempDir,
}

impl Soak {
    fn new(minutes: &str, arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new(LAB);
        command.args(["soak", "--threads", "6", "--minutes", minutes]).args(arguments);
        for (option, file) in [("--json", "soak.json"), ("--plot", "soak.svg")] {
            command.arg(option).arg(folder.path().join(file));
        }
        Self { command, folder }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn json(&self) -> Value {
        serde_json::from_str(&fs::read_to_string(self.file("soak.json")).unwrap()).unwrap()
    }

    fn svg(&self) -> String {
        fs::read_to_string(self.file("soak.svg")).unwrap()
    }
}

fn assert_status(output: &Output, status: i32) {
    assert_eq!(output.status.code(), Some(status), "{}{}", stdout(output), stderr(output));
}

#[test]
fn a_short_soak_passes_and_writes_both_files() {
    let mut soak = Soak::new("0.06", &["--seed", "7"]);
    let output = soak.command.output().unwrap();
    assert_status(&output, 0);
    let (json, svg) = (soak.json(), soak.svg());
    assert_eq!(json["verdict"]["passed"], true);
    assert_eq!((&json["seed"], &json["threads"]), (&Value::from(7), &Value::from(6)));
    assert!(json["samples"].as_array().unwrap().len() > 5, "{json}");
    for what in ["checkpoints", "compared", "silences"] {
        assert!(json["totals"][what].as_u64().unwrap() > 0, "no {what} in {json}");
    }
    let operations = json["totals"]["operations"].as_object().unwrap();
    for operation in
        ["get", "get_many", "value", "freeze", "grow", "return", "future polled", "thread started and ended"]
    {
        assert!(operations[operation].as_u64().unwrap() > 0, "no {operation} in {json}");
    }
    assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"), "{svg}");
    for series in
        ["outstanding", "idle (upon outstanding)", "budget used", "budget limit", "resident", "waiters", "silence"]
    {
        assert!(svg.contains(&format!(">\n{series}\n</text>")), "no {series} in {svg}");
    }
    assert!(svg.contains("<title id=\"soak-title\">millpond-lab soak: all checks passed</title>"), "{svg}");
    // One for each of the lines, and one for each of the areas.
    assert!(svg.matches("<polyline").count() >= 2 && svg.matches("<polygon").count() >= 3, "{svg}");
}

/// The mistake is found, told of in one of these ways (the pool may have been made anew meanwhile), and in both files.
fn finds(mistake: &str, ways: &[&str]) {
    let mut soak = Soak::new("0.5", &["--plant", mistake]);
    let output = soak.command.output().unwrap();
    assert_status(&output, 1);
    assert!(ways.iter().any(|way| stderr(&output).contains(way)), "{mistake}: {}", stderr(&output));
    assert_eq!(soak.json()["verdict"]["passed"], false);
    assert!(soak.svg().contains("CHECKS FAILED") || soak.svg().contains("CHECK FAILED"), "{mistake}");
}

#[test]
fn a_buffer_that_is_lost_is_found() {
    finds("buffer", &["workers hold", "budget root"]);
}

#[test]
fn a_charge_that_is_lost_is_found() {
    finds("charge", &["budget root"]);
}

#[test]
fn a_request_that_is_forgotten_in_line_is_found() {
    // Or it was served after all, and nobody fetches what it got. Either way it has a handle of its pool.
    finds("waiter", &["futures are pending", "budget crowd", "threads wait", "workers hold", "look after"]);
}

#[test]
fn a_byte_that_another_hand_wrote_is_found() {
    finds("byte", &["two hands"]);
}

#[test]
fn a_pool_that_stays_is_found() {
    finds("pool", &["budget root", "look after"]);
}

#[test]
fn a_file_that_cannot_be_written_is_an_error_at_once() {
    let output = common::lab(&["soak", "--minutes", "1000", "--plot", "/no/such/folder/soak.svg"]);
    assert_status(&output, 2);
    assert!(stderr(&output).contains("/no/such/folder/soak.svg"), "{}", stderr(&output));
}

#[cfg(target_os = "linux")]
#[test]
fn ctrl_c_ends_it_with_both_files_written() {
    use std::process::Stdio;
    use std::thread;
    use std::time::Duration;

    use nix::sys::signal::{Signal, kill};
    use nix::unistd::Pid;

    let mut soak = Soak::new("60", &[]);
    let child = soak.command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    until_threads(child.id(), 6);
    thread::sleep(Duration::from_millis(500));
    kill(Pid::from_raw(child.id().try_into().unwrap()), Signal::SIGINT).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_status(&output, 130);
    let verdict = &soak.json()["verdict"];
    assert_eq!((&verdict["passed"], &verdict["interrupted"]), (&Value::from(true), &Value::from(true)));
    assert!(soak.svg().contains("ended early"));
}

#[cfg(target_os = "linux")]
fn until_threads(process: u32, count: usize) {
    use std::thread;
    use std::time::{Duration, Instant};

    let deadline = Instant::now() + Duration::from_secs(60);
    let tasks = PathBuf::from(format!("/proc/{process}/task"));
    while !fs::read_dir(&tasks).is_ok_and(|tasks| tasks.count() > count) {
        assert!(Instant::now() < deadline, "no {count} threads within a minute");
        thread::sleep(Duration::from_millis(5));
    }
}
