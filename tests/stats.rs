//! The statistics add up when nobody uses the pool, and are off by a bounded amount while many do.

#[path = "support/identities.rs"]
mod identities;
#[path = "support/random.rs"]
mod random;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Barrier, Mutex};
use std::thread;

use identities::assert_identities;
use millpond::{Budget, BufferPool, Capacity, PooledBuf};
use random::Random;

const THREADS: usize = if cfg!(miri) { 4 } else { 64 };
const STEPS: usize = if cfg!(miri) { 50 } else { 3000 };
/// Buffers that a thread holds at most.
const HELD: usize = 20;
/// The last is above all classes. All that threads may hold fits 32-bit addresses.
const SIZES: [usize; 4] = [100, 1500, 9000, 100 << 10];
const CLASSES: [usize; 4] = [256, 2 << 10, 16 << 10, 64 << 10];
/// Places in a magazine.
const MAGAZINE: u64 = 64;

/// Gets, drops and swaps with other threads at random; returns what it still holds.
fn churn(pool: &BufferPool, seed: u64, exchange: &Mutex<Vec<PooledBuf>>) -> Vec<PooledBuf> {
    let mut random = Random::new(seed);
    let mut held = Vec::new();
    for _ in 0..STEPS {
        match random.below(8) {
            0 => held.extend(pool.get_many([Capacity(SIZES[0]); 3])),
            1..=4 => held.push(pool.get(Capacity(SIZES[random.below(SIZES.len())]))),
            5 => held = std::mem::replace(&mut *exchange.lock().unwrap(), held),
            _ => held.truncate(held.len() / 2),
        }
        held.truncate(HELD);
    }
    held
}

fn capacity(bufs: &[PooledBuf]) -> u64 {
    bufs.iter().map(|buf| buf.capacity() as u64).sum()
}

#[test]
fn the_identities_hold_when_sixty_four_threads_are_at_rest() {
    let builder = BufferPool::builder().size_classes(CLASSES).budget(&Budget::new(usize::MAX));
    let pool = builder.prefill(SIZES[1], 100).build().unwrap();
    let rest = Arc::new(Barrier::new(THREADS + 1));
    let exchange = Arc::new(Mutex::new(Vec::new()));
    let workers: Vec<_> = (0..THREADS)
        .map(|thread| {
            let (pool, rest, exchange) = (pool.clone(), rest.clone(), exchange.clone());
            thread::spawn(move || {
                let held = churn(&pool, thread as u64, &exchange);
                let bytes = capacity(&held);
                rest.wait();
                // Here the pool's numbers are read.
                rest.wait();
                bytes
            })
        })
        .collect();
    rest.wait();
    let stats = pool.stats();
    rest.wait();
    let exchanged = std::mem::take(&mut *exchange.lock().unwrap());
    let outstanding: u64 = capacity(&exchanged) + workers.into_iter().map(|worker| worker.join().unwrap()).sum::<u64>();
    drop(exchanged);
    assert_identities(&stats);
    assert_eq!(stats.outstanding, outstanding);
    assert!(stats.oversize > 0 && stats.cache_hits > 0 && stats.depot_hits > 0, "{stats}");
    let ended = pool.stats();
    assert_identities(&ended);
    assert_eq!((ended.gets, ended.cache_hits, ended.fresh), (stats.gets, stats.cache_hits, stats.fresh));
    assert_eq!(ended.outstanding, 0);
}

#[test]
fn every_get_is_counted_once_under_its_class() {
    let pool = BufferPool::builder().size_classes([100, 1000]).alignment(1).build().unwrap();
    for (count, size) in [(3, 100), (5, 101), (7, 1001), (2, 0)] {
        for _ in 0..count {
            drop(pool.get(size));
        }
    }
    assert!(pool.try_get(usize::MAX).is_err());
    let stats = pool.stats();
    assert_identities(&stats);
    let gets: Vec<_> = stats.classes.iter().map(|class| (class.size, class.gets)).collect();
    assert_eq!(gets, [(100, 5), (1000, 5)]);
    assert_eq!((stats.gets, stats.oversize), (17, 7));
}

#[test]
fn a_snapshot_amid_the_work_is_off_by_a_magazine_a_thread_at_most() {
    const SIZE: usize = 1024;
    let threads = if cfg!(miri) { 2 } else { 8 };
    let pool = BufferPool::new();
    let (gets, stop) = (AtomicU64::new(0), AtomicBool::new(false));
    let slack = threads as u64 * MAGAZINE;
    thread::scope(|scope| {
        let mut workers = Vec::new();
        for thread in 0..threads {
            let (pool, gets, stop) = (&pool, &gets, &stop);
            workers.push(scope.spawn(move || {
                let mut random = Random::new(thread as u64);
                while !stop.load(SeqCst) {
                    let held: Vec<_> = (0..random.below(HELD)).map(|_| pool.get(Capacity(SIZE))).collect();
                    gets.fetch_add(held.len() as u64, SeqCst);
                }
            }));
        }
        for _ in 0..if cfg!(miri) { 5 } else { 3000 } {
            let before = gets.load(SeqCst);
            let stats = pool.stats();
            let after = gets.load(SeqCst) + (threads * HELD) as u64;
            assert!((before..=after).contains(&stats.gets), "{} gets, not from {before} to {after}", stats.gets);
            let most = (threads * HELD) as u64 + slack;
            assert!(stats.outstanding <= most * SIZE as u64, "{} bytes out", stats.outstanding);
            assert!(stats.footprint <= (most + slack) * SIZE as u64, "{} bytes in all", stats.footprint);
        }
        stop.store(true, SeqCst);
        // Joined, not only left by the scope, so that their caches have come home.
        workers.into_iter().for_each(|worker| worker.join().unwrap());
    });
    let stats = pool.stats();
    assert_identities(&stats);
    assert_eq!((stats.gets, stats.outstanding), (gets.into_inner(), 0));
}

#[test]
fn the_table_shows_each_class_in_use() {
    let pool = BufferPool::builder().size_classes([512, 1024, 4096]).build().unwrap();
    drop([pool.get(512), pool.get(4096)]);
    let table = pool.stats().to_string();
    let first: Vec<_> = table.lines().map(|line| line.trim_start().split("  ").next().unwrap()).collect();
    assert_eq!(first[..4], ["class", "512 B", "4 KiB", "all"], "{table}");
}
