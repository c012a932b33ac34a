//! After `prefill` and `attach_thread`, gets and drops within the prefilled count call neither the allocator nor the
//! kernel: of buffers and of values, alone and from thread to thread, magazines and depot included.
#![cfg(all(target_os = "linux", not(miri)))]
#![allow(unsafe_code)] // A global allocator, system calls.

#[path = "support/child.rs"]
mod child;
#[path = "support/counting.rs"]
mod counting;
#[path = "support/seccomp.rs"]
mod seccomp;
#[path = "support/sections.rs"]
mod sections;

use std::hint::spin_loop;
use std::ops::Range;
use std::os::unix::process::ExitStatusExt;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst};

use sections::Sections;

/// Calls of the allocator, of all threads together, while they were in `section`.
fn calls_in_sections(sections: &Sections, extra: impl Fn() + Sync) -> u64 {
    let calls = AtomicU64::new(0);
    sections.run(|work| {
        let before = counting::calls();
        work();
        extra();
        calls.fetch_add(counting::calls() - before, SeqCst);
    });
    calls.into_inner()
}

#[test]
fn no_allocation_from_the_first_get_on() {
    let sections = Sections::new();
    let calls = calls_in_sections(&sections, || ());
    assert_eq!((calls, sections.got()), (0, sections::ALL), "calls of the allocator, buffers and values");
    assert_eq!(sections.fresh(), 0);
}

#[test]
fn an_allocation_is_noticed_on_each_thread() {
    let calls = calls_in_sections(&Sections::new(), || drop(std::hint::black_box(Box::new(7))));
    assert_eq!(calls, 2 * sections::THREADS as u64);
}

#[test]
fn gets_beyond_the_prefilled_count_are_noticed() {
    // More than slabs hold that have grown with what is prefilled: a single get may find a mapped block that is free.
    const BEYOND: usize = 1024;
    for kind in 0..sections::KINDS {
        let sections = Sections::new();
        sections.attach_thread();
        let mut held = Vec::with_capacity(sections::PREFILL + BEYOND);
        let mut calls_of = |turns: Range<usize>| {
            let before = counting::calls();
            held.extend(turns.filter_map(|turn| sections.get(kind + turn * sections::KINDS)));
            counting::calls() - before
        };
        assert_eq!(calls_of(0..sections::PREFILL), 0);
        assert!(calls_of(sections::PREFILL..sections::PREFILL + BEYOND) > 0, "kind {kind}");
        assert_eq!(sections.fresh(), BEYOND as u64);
    }
}

/// Runs all sections, then `extra`, on threads that the kernel kills at any system call but the one that ends the
/// process.
fn without_system_calls(extra: impl Fn() + Sync) -> ! {
    let sections = Sections::new();
    let ended = AtomicUsize::new(0);
    sections.run(|work| {
        seccomp::filter(&[libc::SYS_exit_group], libc::SECCOMP_RET_ALLOW, libc::SECCOMP_RET_KILL_PROCESS);
        work();
        extra();
        if ended.fetch_add(1, SeqCst) + 1 == sections::THREADS {
            let complete = sections.got() == sections::ALL;
            // SAFETY: ends the process, at once.
            unsafe { libc::_exit(if complete { 0 } else { 1 }) }
        }
        // The end of a thread takes system calls.
        loop {
            spin_loop();
        }
    });
    unreachable!("the sections end with the process");
}

#[test]
fn no_system_call_from_the_first_get_on() {
    if child::is_child() {
        without_system_calls(|| ());
    }
    let ended = child::run("no_system_call_from_the_first_get_on");
    assert!(ended.success(), "{ended}: with signal 31 a get or drop entered the kernel");
}

#[test]
fn a_system_call_is_noticed() {
    if child::is_child() {
        without_system_calls(|| {
            // SAFETY: takes nothing.
            unsafe { libc::getppid() };
        });
    }
    assert_eq!(child::run("a_system_call_is_noticed").signal(), Some(libc::SIGSYS));
}
