//! After `fork` the child may drop what it holds, and may use pools that no other thread was inside.
#![cfg(all(unix, not(miri)))]
#![allow(unsafe_code)] // System calls.

#[path = "support/identities.rs"]
mod identities;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use identities::assert_identities;
use millpond::{BufferPool, Capacity, Error, Region, RegionWatcher};

/// Runs `work` in a forked child. Fails when it panics, dies or hangs.
fn in_child(work: impl FnOnce()) {
    // SAFETY: the child is another copy of this thread, which was in no lock of the allocator's (it takes care of its
    // own).
    let child = unsafe { libc::fork() };
    assert!(child >= 0, "{}", std::io::Error::last_os_error());
    if child == 0 {
        let outcome = catch_unwind(AssertUnwindSafe(work));
        // SAFETY: ends the process without the parent's exit handlers.
        unsafe { libc::_exit(if outcome.is_ok() { 0 } else { 1 }) }
    }
    assert_eq!(wait(child), 0, "the child's status");
}

/// The child's status; kills a child that hangs.
fn wait(child: libc::pid_t) -> libc::c_int {
    let deadline = Instant::now() + Duration::from_secs(30);
    let mut status = 0;
    loop {
        // SAFETY: writes the status.
        let ended = unsafe { libc::waitpid(child, &mut status, libc::WNOHANG) };
        assert!(ended >= 0, "{}", std::io::Error::last_os_error());
        if ended == child {
            return status;
        }
        if Instant::now() > deadline {
            // SAFETY: our own child, not yet waited for.
            unsafe { libc::kill(child, libc::SIGKILL) };
        }
        thread::sleep(Duration::from_millis(1));
    }
}

fn use_pool(pool: &BufferPool) {
    for size in [100, 5000, 100_000] {
        let mut buf = pool.get(size);
        assert!(buf.iter().all(|&byte| byte == 0));
        buf.fill(b'c');
        let bytes = buf.freeze();
        assert_eq!(pool.copy_from(&bytes.clone())[..], bytes[..]);
        drop(pool.get_many([Capacity(size); 40]));
    }
}

#[test]
fn a_child_drops_every_kind_of_handle() {
    let pool = BufferPool::new();
    let unique = pool.copy_from(b"unique");
    let frozen = pool.copy_from(b"frozen").freeze();
    let batch = pool.get_many([100; 50]);
    let mut held = Some((unique, frozen, batch));
    in_child(|| {
        drop(held.take());
        let stats = pool.stats();
        assert_identities(&stats);
        assert_eq!(stats.outstanding, 0);
    });
    let (unique, frozen, batch) = held.take().unwrap();
    assert_eq!((&unique[..], &frozen[..], batch.len()), (&b"unique"[..], &b"frozen"[..], 50));
    assert_eq!(pool.stats().outstanding, 52 * 256);
}

#[test]
fn a_child_uses_and_drops_pools() {
    let pool = BufferPool::new();
    use_pool(&pool);
    let before = pool.stats();
    let mut handle = Some(pool.clone());
    in_child(|| {
        use_pool(&pool);
        let pools: Vec<_> = (0..20).map(|_| BufferPool::new()).collect();
        pools.iter().for_each(use_pool);
        drop(pools);
        let theirs = handle.take().unwrap();
        thread::spawn(move || use_pool(&theirs)).join().unwrap();
        assert_identities(&pool.stats());
    });
    assert_eq!(pool.stats().gets, before.gets);
    use_pool(&pool);
    assert_identities(&pool.stats());
}

/// The other threads are gone in the child, what they cached is not.
#[test]
fn a_child_closes_a_pool_that_other_threads_cached() {
    let pool = BufferPool::new();
    let (cached, is_cached) = mpsc::channel();
    let (wake, sleep) = mpsc::channel::<()>();
    let theirs = pool.clone();
    let sleeper = thread::spawn(move || {
        use_pool(&theirs);
        cached.send(()).unwrap();
        assert!(sleep.recv().is_err());
        use_pool(&theirs);
    });
    is_cached.recv().unwrap();
    assert!(pool.stats().idle_in_caches > 0);
    in_child(|| {
        pool.close();
        let stats = pool.stats();
        assert_identities(&stats);
        assert_eq!(stats.footprint, 0);
        assert_eq!(pool.try_get(1).unwrap_err(), Error::Closed);
    });
    assert!(pool.stats().idle_in_caches > 0);
    drop(wake);
    sleeper.join().unwrap();
    assert_identities(&pool.stats());
}

/// Whatever lock a thread held that is not in the child: it lists regions, pins and watches without waiting for it.
#[test]
fn a_child_caught_in_the_middle_pins_and_lists() {
    struct Silent;

    impl RegionWatcher for Silent {
        fn added(&self, _: &Region) {}

        fn removed(&self, _: &Region) {}
    }

    let pool = BufferPool::builder().thread_cache(0).max_idle(0).build().unwrap();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        for size in [4096, 3 << 20] {
            let (pool, done) = (&pool, &done);
            scope.spawn(move || {
                while !done.load(SeqCst) {
                    let bufs = [pool.get(Capacity(size)), pool.get(Capacity(size))];
                    drop((bufs, pool.pin_regions()));
                }
            });
        }
        for _ in 0..15 {
            in_child(|| {
                let pin = pool.pin_regions();
                assert!(pool.regions().len() < 100);
                drop((pool.watch_regions(Arc::new(Silent)), pin));
            });
        }
        done.store(true, SeqCst);
    });
}
