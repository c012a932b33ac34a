//! On a kernel without `membarrier`, or in a sandbox that forbids it, the caches are robbed through fences on both
//! sides.
#![cfg(all(target_os = "linux", not(miri)))]
#![allow(unsafe_code)] // System calls.

#[path = "support/child.rs"]
mod child;
#[path = "support/identities.rs"]
mod identities;
#[path = "support/seccomp.rs"]
mod seccomp;

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{RwLock, mpsc};
use std::thread;

use identities::assert_identities;
use millpond::{BufferPool, Capacity, Error};

const ROUNDS: usize = 3000;
const OWNERS: u8 = 3;

/// Gets, tags and drops until told to stop, on whichever pool there is.
fn own(pool: &RwLock<BufferPool>, tag: u8, stop: &AtomicBool) {
    while !stop.load(Relaxed) {
        let pool = pool.read().unwrap().clone();
        for size in [100, 1000, 5000].into_iter().cycle().take(300) {
            match pool.try_get(Capacity(size)) {
                Ok(mut buf) => {
                    buf.resize(size, tag);
                    std::hint::black_box(&mut buf);
                    assert!(buf.iter().all(|&byte| byte == tag), "a buffer in two hands");
                }
                Err(error) => assert_eq!(error, Error::Closed),
            }
        }
    }
}

/// As fast as it goes, so that owners and closer meet often.
fn close_pools_under_their_owners() {
    let pool = RwLock::new(BufferPool::new());
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        for owner in 0..OWNERS {
            let (pool, stop) = (&pool, &stop);
            scope.spawn(move || own(pool, owner + 1, stop));
        }
        for round in 0..ROUNDS {
            let old = std::mem::take(&mut *pool.write().unwrap());
            let kept = old.copy_from(&round.to_le_bytes());
            old.close();
            assert_eq!(old.try_get(1).unwrap_err(), Error::Closed);
            assert_eq!(kept[..], round.to_le_bytes());
        }
        stop.store(true, Relaxed);
    });
}

fn hits_and_counts_as_ever() {
    let pool = BufferPool::new();
    for _ in 0..100 {
        drop([pool.get(1000), pool.get(1000)]);
    }
    let stats = pool.stats();
    assert_identities(&stats);
    assert_eq!((stats.gets, stats.fresh, stats.outstanding), (200, 2, 0));
    assert!(stats.cache_hits > 150, "{stats}");
}

fn forbid_membarrier(errno: i32) {
    seccomp::filter(&[libc::SYS_membarrier], libc::SECCOMP_RET_ERRNO | errno as u32, libc::SECCOMP_RET_ALLOW);
    // SAFETY: the query takes numbers alone, and the filter keeps it from the kernel.
    let answer = unsafe { libc::syscall(libc::SYS_membarrier, 0, 0, 0) };
    assert_eq!((answer, std::io::Error::last_os_error().raw_os_error()), (-1, Some(errno)));
}

fn without_membarrier(test: &str, errno: i32) {
    if !child::is_child() {
        assert!(child::run(test).success());
        return;
    }
    forbid_membarrier(errno);
    hits_and_counts_as_ever();
    close_pools_under_their_owners();
}

#[test]
fn pools_work_where_the_kernel_has_none() {
    without_membarrier("pools_work_where_the_kernel_has_none", libc::ENOSYS);
}

#[test]
fn pools_work_where_a_sandbox_forbids_it() {
    without_membarrier("pools_work_where_a_sandbox_forbids_it", libc::EPERM);
}

/// The pools count on the call by then. A closed pool's memory then stays in the caches of other threads until these
/// come by or end.
#[test]
fn pools_work_when_it_is_forbidden_after_the_first_was_built() {
    if !child::is_child() {
        assert!(child::run("pools_work_when_it_is_forbidden_after_the_first_was_built").success());
        return;
    }
    let pool = BufferPool::new();
    let (cached, is_cached) = mpsc::channel();
    let (wake, sleep) = mpsc::channel::<()>();
    let theirs = pool.clone();
    let sleeper = thread::spawn(move || {
        drop([theirs.get(1000), theirs.get(1000), theirs.get(5000)]);
        cached.send(()).unwrap();
        assert!(sleep.recv().is_err());
        assert_eq!(theirs.try_get(1000).unwrap_err(), Error::Closed);
    });
    is_cached.recv().unwrap();
    forbid_membarrier(libc::EPERM);
    let kept = pool.copy_from(b"kept");
    pool.close();
    assert_eq!(pool.try_get(300).unwrap_err(), Error::Closed);
    assert_identities(&pool.stats());
    drop(wake);
    sleeper.join().unwrap();
    assert_eq!(pool.stats().footprint, 256);
    drop(kept);
    assert_eq!(pool.stats().footprint, 0);
    hits_and_counts_as_ever();
    close_pools_under_their_owners();
}
