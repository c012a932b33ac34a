//! Buffers may be dropped on any thread, and a thread that only frees feeds the one that only gets.

#[path = "support/identities.rs"]
mod identities;

use std::sync::{Arc, Barrier, mpsc};
use std::thread;

use identities::assert_identities;
use millpond::{BufferPool, Capacity};

const SIZE: usize = 4096;
const IN_FLIGHT: usize = 16;
/// What two magazines may hold.
const CACHED: usize = 2 * 64;

#[test]
fn memory_stays_flat_when_one_thread_gets_and_another_drops() {
    let messages = if cfg!(miri) { 300 } else { 30_000 };
    let pool = BufferPool::new();
    let (sender, receiver) = mpsc::sync_channel(IN_FLIGHT);
    let consumer =
        thread::spawn(move || receiver.into_iter().map(|buf: millpond::PooledBuf| usize::from(buf[0])).sum::<usize>());
    for n in 0..messages {
        let mut buf = pool.get(Capacity(SIZE));
        buf.extend_from_slice(&[(n % 2) as u8; 16]);
        sender.send(buf).unwrap();
    }
    drop(sender);
    assert_eq!(consumer.join().unwrap(), messages / 2);
    let stats = pool.stats();
    assert_identities(&stats);
    assert_eq!((stats.outstanding, stats.gets), (0, messages as u64));
    assert!(stats.footprint <= ((IN_FLIGHT + 2 + CACHED) * SIZE) as u64, "{stats}");
}

#[test]
fn the_last_clone_of_frozen_bytes_sends_them_home_from_whichever_thread() {
    let (threads, rounds) = if cfg!(miri) { (3, 10) } else { (4, 2000) };
    let pool = BufferPool::new();
    let start = Arc::new(Barrier::new(threads));
    let (senders, workers): (Vec<_>, Vec<_>) = (0..threads)
        .map(|_| {
            let (sender, receiver) = mpsc::channel::<millpond::PooledBytes>();
            let start = start.clone();
            let worker = thread::spawn(move || {
                for bytes in receiver {
                    start.wait();
                    assert_eq!(bytes[..], *b"shared");
                }
            });
            (sender, worker)
        })
        .unzip();
    for _ in 0..rounds {
        let bytes = pool.copy_from(b"shared").freeze();
        for sender in &senders {
            sender.send(bytes.clone()).unwrap();
        }
    }
    drop(senders);
    workers.into_iter().for_each(|worker| worker.join().unwrap());
    let stats = pool.stats();
    assert_identities(&stats);
    assert_eq!((stats.gets, stats.outstanding), (rounds, 0));
}

#[test]
fn a_stranger_to_the_pool_may_drop_and_thaw() {
    let pool = BufferPool::new();
    let unique = pool.copy_from(b"unique");
    let frozen = pool.copy_from(b"frozen").freeze();
    thread::spawn(move || {
        drop(unique);
        let mut thawed = frozen.try_into_mut().unwrap();
        thawed.extend_from_slice(&[b'!'; 1000]);
        drop(thawed);
    })
    .join()
    .unwrap();
    let stats = pool.stats();
    assert_identities(&stats);
    assert_eq!(stats.outstanding, 0);
}
