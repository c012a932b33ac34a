//! What cannot be read is reported and counted, gives status 1, and leaves the rest done.
#![cfg(unix)]

mod common;

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Output};

use common::{LAB, figure, run, stderr, tree};

/// Runs as a user whom permissions bind: as ourselves, or as nobody when we are root.
fn run_unprivileged(root: &Path) -> Output {
    let mut command = Command::new(LAB);
    let copy = tempfile::tempdir().unwrap();
    if nix::unistd::geteuid().is_root() {
        fs::set_permissions(root, fs::Permissions::from_mode(0o755)).unwrap();
        fs::set_permissions(copy.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let program = copy.path().join("lab");
        fs::copy(LAB, &program).unwrap();
        command = Command::new(program);
        command.uid(65534).gid(65534);
    }
    command.arg("run").arg(root).args(["--rounds", "2"]).output().unwrap()
}

#[test]
fn files_and_folders_without_permission_are_reported_once() {
    let root = tree(&[("good", 5000), ("closed", 10), ("folder/hidden", 10)]);
    for name in ["closed", "folder"] {
        fs::set_permissions(root.path().join(name), fs::Permissions::from_mode(0o000)).unwrap();
    }
    let output = run_unprivileged(root.path());
    fs::set_permissions(root.path().join("folder"), fs::Permissions::from_mode(0o755)).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(figure(&output, "files"), "1");
    let complaints = stderr(&output);
    for name in ["closed: Permission denied", "folder: Permission denied", "2 problems"] {
        assert_eq!(complaints.matches(name).count(), 1, "{name} in {complaints}");
    }
}

#[test]
fn symbolic_link_loops_are_reported_and_end() {
    let root = tree(&[("a/file", 100), ("b/file", 100)]);
    let at = |name: &str| root.path().join(name);
    symlink("..", at("a/up")).unwrap();
    symlink("self", at("self")).unwrap();
    symlink("../b", at("a/across")).unwrap();
    symlink("../a", at("b/across")).unwrap();
    let output = run(root.path(), &["--rounds", "1"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(figure(&output, "files"), "2 (4 symbolic links not followed)");
    assert_eq!(stderr(&output).matches("symbolic link loop").count(), 4, "{}", stderr(&output));
}

#[test]
fn links_that_are_no_loops_are_passed_by() {
    let root = tree(&[("a/file", 100)]);
    let elsewhere = tree(&[("other", 100)]);
    symlink(elsewhere.path(), root.path().join("outside")).unwrap();
    symlink("a/file", root.path().join("inside")).unwrap();
    symlink("nothing", root.path().join("dangling")).unwrap();
    let output = run(root.path(), &["--rounds", "1"]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(figure(&output, "files"), "1 (3 symbolic links not followed)");
}

#[test]
fn a_file_that_fails_while_it_is_read_does_not_count() {
    // Regular by its type, and no process may read its own memory at address zero.
    let output = run(Path::new("/proc/self/mem"), &["--rounds", "1"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(figure(&output, "files"), "0");
    assert!(stderr(&output).contains("/proc/self/mem: "), "{}", stderr(&output));
}
