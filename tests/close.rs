//! A closed pool gives nothing, keeps nothing, and leaves what is out alone.

#[path = "support/identities.rs"]
mod identities;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc;
use std::thread;

use identities::assert_identities;
use millpond::{BufferPool, Capacity, Error, Recycled};

#[test]
fn requests_fail_for_every_handle_and_thread() {
    let pool = BufferPool::new();
    drop([pool.get(100), pool.get(100)]);
    let other = pool.clone();
    pool.close();
    for pool in [&pool, &other] {
        for size in [0, 100, 1 << 30, usize::MAX] {
            assert_eq!(pool.try_get(size).unwrap_err(), Error::Closed);
            assert_eq!(pool.try_get(Capacity(size)).unwrap_err(), Error::Closed);
            assert_eq!(pool.try_get(Recycled(size)).unwrap_err(), Error::Closed);
            assert_eq!(pool.try_get_many([100, size]).unwrap_err(), Error::Closed);
        }
        assert!(catch_unwind(AssertUnwindSafe(|| pool.copy_from(b"x"))).is_err());
    }
    thread::spawn(move || assert_eq!(other.try_get(100).unwrap_err(), Error::Closed)).join().unwrap();
}

#[test]
fn idle_memory_is_freed_and_what_comes_home_too() {
    let pool = BufferPool::builder().prefill(1000, 10).build().unwrap();
    let (cached, is_cached) = mpsc::channel();
    let (wake, sleep) = mpsc::channel::<()>();
    let theirs = pool.clone();
    let sleeper = thread::spawn(move || {
        let kept = theirs.get(5000);
        drop(theirs.get_many([5000; 40]));
        cached.send(()).unwrap();
        assert!(sleep.recv().is_err());
        drop(kept);
    });
    is_cached.recv().unwrap();
    drop(pool.get_many([200; 40]));
    let held = (pool.copy_from(b"unique"), pool.copy_from(b"frozen").freeze(), pool.get_many([300; 3]));
    pool.close();
    let stats = pool.stats();
    assert_identities(&stats);
    assert_eq!((stats.outstanding, stats.footprint), (2 * 256 + 3 * 384 + 6144, 2 * 256 + 3 * 384 + 6144));
    assert_eq!((&held.0[..], &held.1[..]), (&b"unique"[..], &b"frozen"[..]));
    drop(held);
    assert_eq!(pool.stats().footprint, 6144);
    drop(wake);
    sleeper.join().unwrap();
    let stats = pool.stats();
    assert_identities(&stats);
    assert_eq!((stats.footprint, stats.gets), (0, 1 + 40 + 40 + 5));
}

#[test]
fn a_pool_may_be_closed_again_and_by_many_at_once() {
    for _ in 0..if cfg!(miri) { 3 } else { 100 } {
        let pool = BufferPool::new();
        let kept = pool.copy_from(b"kept");
        thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    drop(pool.try_get(100));
                    pool.close();
                    assert_eq!(pool.try_get(100).unwrap_err(), Error::Closed);
                });
            }
        });
        pool.close();
        assert_eq!(pool.stats().outstanding, 256);
        drop(kept);
        assert_eq!(pool.stats().footprint, 0);
    }
}

#[test]
fn frozen_bytes_of_a_closed_pool_share_slice_and_thaw() {
    let pool = BufferPool::new();
    let bytes = pool.get(100_000).freeze();
    pool.close();
    let part = bytes.slice(10..20).compact();
    assert_eq!(part[..], [0; 10]);
    drop(bytes);
    let mut buf = part.try_into_mut().unwrap();
    assert!(buf.capacity() >= 100_000, "no smaller buffer could be had");
    buf.resize(100_000, 1);
    assert_eq!(buf[..11], [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
}

#[test]
fn debug_says_so() {
    let pool = BufferPool::builder().name("inbox").build().unwrap();
    assert!(format!("{pool:?}").contains("closed: false"));
    pool.close();
    assert!(format!("{pool:?}").contains("closed: true"));
    assert!(format!("{pool:?}").contains("inbox"));
}
