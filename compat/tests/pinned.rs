//! `pinned_memory` of zeropool: memory is locked, or the pool goes on without.
#![cfg(target_os = "linux")]

use std::env;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::process::Command;

use millpond_compat::zeropool::BufferPool;

const MIB: usize = 1 << 20;

/// The bytes of this process that are locked.
fn locked() -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmLck:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse::<usize>().unwrap() << 10
}

/// What a buffer of a MiB, got, written and dropped, adds to that, while it is out and when it is idle.
fn locked_by(pinned: bool) -> (usize, usize) {
    let pool = BufferPool::builder().pinned_memory(pinned).build();
    let before = locked();
    let mut buffer = pool.get(MIB);
    buffer.fill(1);
    let out = locked() - before;
    drop(buffer);
    (out, locked() - before)
}

/// All in one test: other threads would lock memory, too.
#[test]
fn pinned_memory_is_locked_as_far_as_the_process_may() {
    const NAME: &str = "pinned_memory_is_locked_as_far_as_the_process_may";
    if env::var_os("MAY_LOCK_NOTHING").is_some() {
        assert_eq!(locked_by(true), (0, 0), "falls back");
        return;
    }
    let (out, idle) = locked_by(true);
    assert!(out >= MIB && idle >= MIB, "{out} and {idle} bytes locked");
    assert_eq!(locked_by(false), (0, 0));
    // Again where nothing may be locked; for root there is no limit.
    let exe = env::current_exe().unwrap();
    let mut child = Command::new("sh");
    child.args(["-c", "ulimit -l 0 && exec \"$0\" \"$@\""]).arg(exe).args(["--exact", NAME]);
    child.env("MAY_LOCK_NOTHING", "1");
    if fs::metadata("/proc/self").unwrap().uid() == 0 {
        child.uid(65534).gid(65534);
    }
    let output = child.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    assert!(String::from_utf8_lossy(&output.stdout).contains("1 passed"), "it ran");
}
