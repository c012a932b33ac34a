//! On a kernel without `membarrier`, or in a sandbox that forbids it, the caches are robbed through fences on both sides.
#![cfg(all(target_os = "linux", not(miri)))]
#![allow(unsafe_code)] // System calls.

#[path = "support/child.rs"]
mod child;
#[path = "support/identities.rs"]
mod identities;
#[path = "support/seccomp.rs"]
mod seccomp;

use std::sync::RwLock;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;

use identities::assert_identities;
use millpond::{BufferPool, Capacity, Error};

const ROUNDS: u8 = 200;
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

fn close_pools_under_their_owners() {
    let pool = RwLock::new(BufferPool::new());
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        for owner in 0..OWNERS {
            let (pool, stop) = (&pool, &stop);
            scope.spawn(move || own(pool, owner, stop));
        }
        for round in 0..ROUNDS {
            thread::sleep(std::time::Duration::from_millis(1));
            let old = std::mem::take(&mut *pool.write().unwrap());
            let kept = old.copy_from(&[round; 10]);
            old.close();
            assert_eq!(old.try_get(1).unwrap_err(), Error::Closed);
            assert_eq!(kept[..], [round; 10]);
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

fn without_membarrier(test: &str, errno: i32) {
    if !child::is_child() {
        assert!(child::run(test).success());
        return;
    }
    seccomp::filter(&[libc::SYS_membarrier], libc::SECCOMP_RET_ERRNO | errno as u32, libc::SECCOMP_RET_ALLOW);
    // SAFETY: the query takes numbers alone, and the filter keeps it from the kernel.
    let answer = unsafe { libc::syscall(libc::SYS_membarrier, 0, 0, 0) };
    assert_eq!((answer, std::io::Error::last_os_error().raw_os_error()), (-1, Some(errno)));
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
