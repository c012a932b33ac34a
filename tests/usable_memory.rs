//! What lies idle by default is a share of the memory that the process may use.
#![cfg(all(target_os = "linux", not(miri)))]
#![allow(unsafe_code)] // System calls.

#[path = "support/child.rs"]
mod child;

use millpond::BufferPool;

fn default_max_idle() -> usize {
    let options = format!("{:?}", BufferPool::builder());
    let (_, value) = options.split_once("max_idle: ").unwrap();
    value.split(',').next().unwrap().parse().unwrap()
}

/// How many bytes of addresses this process may have mapped. Returns the limit before.
fn limit_addresses(bytes: libc::rlim_t) -> libc::rlim_t {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the call fills in the structure.
    assert_eq!(unsafe { libc::getrlimit(libc::RLIMIT_AS, &mut limit) }, 0);
    let before = limit.rlim_cur;
    limit.rlim_cur = bytes;
    // SAFETY: the call reads the structure.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_AS, &limit) }, 0);
    before
}

/// In a child, because a process asks once.
#[test]
fn a_limit_on_addresses_is_a_limit_on_memory() {
    if !child::is_child() {
        assert!(child::run("a_limit_on_addresses_is_a_limit_on_memory").success());
        return;
    }
    let before = limit_addresses(64 << 20);
    let max_idle = default_max_idle();
    // What follows may need more.
    limit_addresses(before);
    assert_eq!(max_idle, 8 << 20);
    assert_eq!(default_max_idle(), 8 << 20);
}
