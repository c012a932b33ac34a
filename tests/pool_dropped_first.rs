//! Buffers outlive their pool: they stay valid, grow, freeze and thaw, and their memory is freed when they are dropped.
#![allow(unsafe_code)] // A global allocator.

#[path = "support/counting.rs"]
mod counting;

use std::thread;

use counting::{BLOCK_ALIGN, live_blocks};
use millpond::{BufferPool, Capacity, Memory};

fn pool() -> BufferPool {
    BufferPool::builder().alignment(BLOCK_ALIGN).memory(Memory::heap()).build().unwrap()
}

/// One test, because the allocator counts for the whole process.
#[test]
fn buffers_stay_whole_and_are_freed_when_dropped() {
    idle_memory_is_freed_with_the_pool();
    a_buffer_grows_freezes_and_thaws();
    the_last_clone_frees();
    a_batch_frees_all_its_buffers();
    other_threads_may_drop_last();
    idle_memory_of_other_threads_is_freed_too();
    the_engine_goes_last();
}

fn idle_memory_is_freed_with_the_pool() {
    let pool = pool();
    drop(pool.get_many([Capacity(4096); 100]));
    assert_eq!(live_blocks(), 100);
    drop(pool);
    assert_eq!(live_blocks(), 0);
}

fn a_buffer_grows_freezes_and_thaws() {
    let pool = pool();
    let mut buf = pool.copy_from(b"first");
    drop(pool);
    assert_eq!(live_blocks(), 1);
    buf.extend_from_slice(&[b'.'; 5000]);
    assert_eq!((live_blocks(), buf.len(), &buf[..6]), (1, 5005, &b"first."[..]));
    let mut frozen = buf.freeze();
    frozen.truncate(5);
    let mut buf = frozen.try_into_mut().unwrap();
    buf.resize(20_000, b'x');
    assert_eq!((live_blocks(), &buf[..7]), (1, &b"firstxx"[..]));
    let small = buf.freeze().slice(..5).compact();
    assert_eq!((live_blocks(), &small[..]), (1, &b"first"[..]));
    drop(small);
    assert_eq!(live_blocks(), 0);
}

fn the_last_clone_frees() {
    let bytes = pool().copy_from(b"shared").freeze();
    let clones = [bytes.clone(), bytes.slice(1..), bytes];
    for (left, clone) in clones.into_iter().enumerate() {
        assert_eq!((live_blocks(), clone.ends_with(b"hared")), (1, true), "clone {left}");
    }
    assert_eq!(live_blocks(), 0);
}

fn a_batch_frees_all_its_buffers() {
    let batch = pool().get_many([1000; 70]);
    assert_eq!(live_blocks(), 70);
    assert!(batch.iter().flat_map(|buf| buf.iter()).all(|&byte| byte == 0));
    drop(batch);
    assert_eq!(live_blocks(), 0);
}

fn other_threads_may_drop_last() {
    let pool = pool();
    let [first, second] = [0, 1].map(|_| pool.copy_from(b"elsewhere"));
    let theirs = thread::spawn(move || drop((first, pool)));
    theirs.join().unwrap();
    assert_eq!((live_blocks(), &second[..]), (1, &b"elsewhere"[..]));
    thread::spawn(move || drop(second)).join().unwrap();
    assert_eq!(live_blocks(), 0);
}

fn idle_memory_of_other_threads_is_freed_too() {
    let pool = pool();
    let (done, wait) = std::sync::mpsc::channel();
    let (filled, is_filled) = std::sync::mpsc::channel();
    let theirs = pool.clone();
    let sleeper = thread::spawn(move || {
        drop([theirs.get(100), theirs.get(100)]);
        drop(theirs);
        filled.send(()).unwrap();
        wait.recv().unwrap();
    });
    is_filled.recv().unwrap();
    assert_eq!(live_blocks(), 2);
    drop(pool);
    assert_eq!(live_blocks(), 0, "blocks left in a sleeping thread's cache");
    done.send(()).unwrap();
    sleeper.join().unwrap();
}

fn the_engine_goes_last() {
    // A thread of its own, so that its magazines go with it.
    let left = thread::spawn(|| {
        let before = counting::live_engine();
        let buf = pool().copy_from(b"keeps the core");
        assert!(counting::live_engine() > before);
        drop(buf);
        before
    });
    assert_eq!(left.join().unwrap(), counting::live_engine());
}
