//! Without a path a sample tree is made, and it is gone afterwards, however the run ends.
#![cfg(unix)]

mod common;

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use common::{LAB, figure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

fn lab_in(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(LAB);
    // Or the folder where `top` finds the run would lie beside the sample.
    command.env("TMPDIR", folder).env("XDG_RUNTIME_DIR", env!("CARGO_TARGET_TMPDIR"));
    command.arg("run").args(arguments);
    command
}

fn is_empty(folder: &Path) -> bool {
    fs::read_dir(folder).unwrap().next().is_none()
}

#[test]
fn the_sample_has_its_size_and_its_digest_and_is_removed() {
    let folder = tempfile::tempdir().unwrap();
    let digests = [(); 2].map(|()| {
        let output = lab_in(folder.path(), &["--sample-mib", "16", "--rounds", "1"]).output().unwrap();
        assert!(output.status.success(), "{}", common::stderr(&output));
        assert_eq!(figure(&output, "bytes"), (16 << 20).to_string());
        assert!(is_empty(folder.path()));
        figure(&output, "digest")
    });
    assert_eq!(digests[0], digests[1], "the sample is the same every time");
}

#[test]
fn a_folder_that_takes_no_files_is_an_error() {
    let output = lab_in(Path::new("/no/such/folder"), &["--sample-mib", "1"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(common::stderr(&output).contains("/no/such/folder"), "{}", common::stderr(&output));
}

#[test]
fn signals_end_the_run_and_remove_the_sample() {
    // While the sample is made (it is far from complete when it has its first files), and while it is read.
    for (signal, mib, files) in [(Signal::SIGINT, "8192", 40), (Signal::SIGTERM, "8192", 40), (Signal::SIGINT, "16", 0)]
    {
        let folder = tempfile::tempdir().unwrap();
        let mut child = lab_in(folder.path(), &["--sample-mib", mib, "--rounds", "1000"])
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        if files > 0 {
            wait_for_files(folder.path(), files)
        } else {
            wait_until_read(&child)
        }
        kill(Pid::from_raw(child.id().try_into().unwrap()), signal).unwrap();
        let status = wait(&mut child);
        assert_eq!(status, Some(130), "{signal}");
        assert!(is_empty(folder.path()), "{signal} left {:?}", fs::read_dir(folder.path()).unwrap().next());
    }
}

/// Until the sample has that many files.
fn wait_for_files(folder: &Path, files: usize) {
    let count = || -> Option<usize> {
        let sample = fs::read_dir(folder).ok()?.next()?.ok()?.path();
        Some(
            fs::read_dir(sample).ok()?.filter_map(|sub| fs::read_dir(sub.ok()?.path()).ok()).map(Iterator::count).sum(),
        )
    };
    until(|| count().is_some_and(|count| count >= files));
}

/// Until the process has begun to read: its threads are there, beside the first one and those for signals and for `top`.
fn wait_until_read(child: &Child) {
    until(|| fs::read_dir(format!("/proc/{}/task", child.id())).is_ok_and(|threads| threads.count() > 4));
}

fn wait(child: &mut Child) -> Option<i32> {
    let mut code = None;
    until(|| {
        code = child.try_wait().unwrap().map(|status| status.code());
        code.is_some()
    });
    code.flatten()
}

fn until(mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !done() {
        assert!(Instant::now() < deadline, "nothing happened for a minute");
        thread::sleep(Duration::from_millis(5));
    }
}
