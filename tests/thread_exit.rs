//! What a thread has cached goes home when the thread ends.

#[path = "support/identities.rs"]
mod identities;

use std::sync::mpsc;
use std::thread;

use identities::assert_identities;
use millpond::{BufferPool, Capacity};

const BUFFERS: usize = 50;
const SIZE: u64 = 1024;

/// Fills the caller's cache; how many bytes are in it.
fn fill_cache(pool: &BufferPool) -> u64 {
    for _ in 0..4 {
        let bufs: Vec<_> = (0..BUFFERS).map(|_| pool.get(Capacity(SIZE as usize))).collect();
        drop(bufs);
    }
    pool.stats().idle_in_caches
}

#[test]
fn cached_buffers_move_to_the_depot_and_serve_other_threads() {
    let pool = BufferPool::new();
    let in_thread = pool.clone();
    let cached = thread::spawn(move || fill_cache(&in_thread)).join().unwrap();
    assert!(cached >= SIZE, "{cached} bytes in the thread's cache");
    let stats = pool.stats();
    assert_identities(&stats);
    assert_eq!((stats.idle_in_caches, stats.idle_in_depot), (0, BUFFERS as u64 * SIZE));
    assert_eq!((stats.gets, stats.fresh), (4 * BUFFERS as u64, BUFFERS as u64));
    let again: Vec<_> = (0..BUFFERS).map(|_| pool.get(Capacity(SIZE as usize))).collect();
    let stats = pool.stats();
    assert_eq!((stats.fresh, stats.idle_in_depot, stats.idle_in_caches), (BUFFERS as u64, 0, 0));
    drop(again);
    assert_identities(&pool.stats());
}

#[test]
fn many_short_threads_use_the_same_memory() {
    let threads = if cfg!(miri) { 5 } else { 300 };
    let pool = BufferPool::new();
    for _ in 0..threads {
        let pool = pool.clone();
        thread::spawn(move || drop([pool.get(100), pool.get(5000)])).join().unwrap();
    }
    let stats = pool.stats();
    assert_identities(&stats);
    assert_eq!((stats.gets, stats.fresh, stats.outstanding), (2 * threads, 2, 0));
}

#[test]
fn a_thread_may_end_after_its_pool() {
    for close in [false, true] {
        let pool = BufferPool::new();
        let (to_thread, go_on) = mpsc::channel::<()>();
        let (to_main, filled) = mpsc::channel();
        let in_thread = pool.clone();
        let thread = thread::spawn(move || {
            let kept = in_thread.copy_from(b"kept");
            fill_cache(&in_thread);
            drop(in_thread);
            to_main.send(()).unwrap();
            assert!(go_on.recv().is_err());
            assert_eq!(kept[..], *b"kept");
        });
        filled.recv().unwrap();
        if close {
            pool.close();
            assert_eq!(pool.stats().footprint, 256);
            assert_identities(&pool.stats());
        }
        drop(pool);
        drop(to_thread);
        thread.join().unwrap();
    }
}
