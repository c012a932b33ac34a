//! Runs one test of this binary again in a child process, for what a process can do only once or must not survive.

use std::process::{Command, ExitStatus};

const MARK: &str = "MILLPOND_TEST_CHILD";

/// Whether this process is the child.
pub(crate) fn is_child() -> bool {
    std::env::var_os(MARK).is_some()
}

/// Runs the test of this name in a child process; how that ended.
pub(crate) fn run(test: &str) -> ExitStatus {
    let binary = std::env::current_exe().unwrap();
    Command::new(binary).args([test, "--exact", "--nocapture"]).env(MARK, "1").status().unwrap()
}
