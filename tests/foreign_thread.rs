//! Buffers may be dropped on any thread, and a thread that only frees feeds the one that only gets.

#[path = "support/identities.rs"]
mod identities;

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, mpsc};
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

/// Two threads drop the last two clones of the same bytes, in step, so that both may believe to be the last, or none.
#[test]
fn the_last_clone_of_frozen_bytes_sends_them_home_from_whichever_thread() {
    let rounds = if cfg!(miri) { 20 } else { 60_000 };
    let pool = BufferPool::new();
    let bytes: Vec<_> = (0..rounds).map(|_| pool.copy_from(b"shared").freeze()).collect();
    let steps = Arc::new(AtomicUsize::new(0));
    let workers: Vec<_> = [bytes.clone(), bytes]
        .into_iter()
        .map(|clones| {
            let steps = steps.clone();
            thread::spawn(move || {
                for (step, clone) in clones.into_iter().enumerate() {
                    assert_eq!(clone[..], *b"shared");
                    keep_step(&steps, 2 * (step + 1));
                    drop(clone);
                }
            })
        })
        .collect();
    workers.into_iter().for_each(|worker| worker.join().unwrap());
    let stats = pool.stats();
    assert_identities(&stats);
    assert_eq!((stats.gets, stats.outstanding), (rounds, 0), "{stats}");
}

/// Returns on both threads at nearly the same time.
fn keep_step(steps: &AtomicUsize, both: usize) {
    steps.fetch_add(1, SeqCst);
    for spin in 0_u32.. {
        if steps.load(SeqCst) >= both {
            return;
        }
        if spin % 512 == 511 || cfg!(miri) {
            thread::yield_now();
        }
    }
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
