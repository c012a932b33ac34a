//! Runs one test of this binary again in a child process, for what a process can do only once or must not survive.

#![allow(dead_code)] // Each test uses some of it.

use std::process::{Command, ExitStatus, Output};

const MARK: &str = "MILLPOND_TEST_CHILD";

/// Whether this process is the child.
pub(crate) fn is_child() -> bool {
    std::env::var_os(MARK).is_some()
}

/// Runs the test of this name in a child process; how that ended.
pub(crate) fn run(test: &str) -> ExitStatus {
    command(test).status().unwrap()
}

/// The same, and what it said.
pub(crate) fn output(test: &str) -> Output {
    command(test).output().unwrap()
}

fn command(test: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([test, "--exact", "--nocapture"]).env(MARK, "1");
    command
}
