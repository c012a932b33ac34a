//! `max_idle` and `max_idle_per_class` bound what lies idle, in the depot and in all threads' caches together.

#[path = "support/identities.rs"]
mod identities;
#[path = "support/random.rs"]
mod random;

use std::thread;

use identities::assert_identities;
use millpond::{BufferPool, Capacity, Stats};
use random::Random;

const LIMIT: usize = 64 << 10;
/// Buffers out at once: more than the limits let stay.
const BURST: usize = if cfg!(miri) { 24 } else { 150 };

fn idle(stats: &Stats) -> usize {
    (stats.idle_in_caches + stats.idle_in_depot) as usize
}

fn assert_within(pool: &BufferPool, limit: usize) {
    let stats = pool.stats();
    assert_identities(&stats);
    assert!(idle(&stats) <= limit, "{} bytes idle, at most {limit} allowed\n{stats}", idle(&stats));
    assert!(stats.idle_in_caches as usize <= limit / 2, "{} bytes in caches\n{stats}", stats.idle_in_caches);
}

#[test]
fn a_burst_leaves_no_more_than_the_limit() {
    let pool = BufferPool::builder().size_classes([384, 4096, 12_288]).max_idle(LIMIT).build().unwrap();
    for size in [4096, 300, 10_000] {
        drop(pool.get_many([Capacity(size); BURST]));
        assert_within(&pool, LIMIT);
        let held: Vec<_> = (0..BURST).map(|_| pool.get(Capacity(size))).collect();
        for buf in held {
            drop(buf);
            assert_within(&pool, LIMIT);
        }
    }
    assert!(idle(&pool.stats()) > LIMIT / 4, "what fits stays");
}

/// The depot is full of one class when the thread's cache begins to hold another.
#[test]
fn caches_that_grow_under_a_full_depot_stay_within_the_limit() {
    let pool = BufferPool::builder().max_idle(LIMIT).prefill(4096, LIMIT / 4096).build().unwrap();
    assert_eq!(idle(&pool.stats()), LIMIT);
    for _ in 0..10 {
        drop([0; 8].map(|_| pool.get(Capacity(8192))));
    }
    assert_within(&pool, LIMIT);
}

#[test]
fn many_threads_together_stay_within_the_limit() {
    let threads = if cfg!(miri) { 2 } else { 8 };
    let pool = BufferPool::builder().max_idle(LIMIT).build().unwrap();
    let workers: Vec<_> = (0..threads)
        .map(|seed| {
            let pool = pool.clone();
            thread::spawn(move || {
                let mut random = Random::new(seed);
                for _ in 0..if cfg!(miri) { 30 } else { 500 } {
                    let size = [256, 1024, 4096, 16_384][random.below(4)];
                    let held: Vec<_> = (0..random.below(20)).map(|_| pool.get(Capacity(size))).collect();
                    drop(held);
                }
            })
        })
        .collect();
    workers.into_iter().for_each(|worker| worker.join().unwrap());
    let stats = pool.stats();
    assert!(idle(&stats) <= LIMIT, "{} bytes idle\n{stats}", idle(&stats));
}

#[test]
fn nothing_idle_is_allowed() {
    let pool = BufferPool::builder().max_idle(0).build().unwrap();
    for size in [100, 4096, 1 << 20] {
        drop([pool.get(size), pool.get(size)]);
        drop(pool.get_many([size; 5]));
        let stats = pool.stats();
        assert_eq!((stats.footprint, stats.cache_hits, stats.depot_hits), (0, 0, 0));
    }
}

#[test]
fn each_class_has_its_own_count() {
    for most in if cfg!(miri) { vec![0, 7] } else { vec![0, 1, 2, 7, 100] } {
        let pool = BufferPool::builder().size_classes([256, 4096]).max_idle_per_class(most).build().unwrap();
        for size in [256, 4096] {
            let held: Vec<_> = (0..BURST).map(|_| pool.get(Capacity(size))).collect();
            for buf in held {
                drop(buf);
                let stats = pool.stats();
                let class = stats.classes.iter().find(|class| class.size == size as u64).unwrap();
                let idle = (class.idle_in_caches + class.idle_in_depot) / class.size;
                assert!(idle <= most as u64, "{idle} of {size} bytes idle, at most {most} allowed");
            }
        }
    }
}

/// Threads come and go, so that places in caches are granted while the depot holds what earlier threads left.
#[test]
fn each_class_keeps_its_count_over_many_threads() {
    const MOST: usize = 10;
    let pool = BufferPool::builder().max_idle_per_class(MOST).build().unwrap();
    for count in [30, 1, 12, 5, 30] {
        let theirs = pool.clone();
        thread::spawn(move || {
            let held: Vec<_> = (0..count).map(|_| theirs.get(Capacity(1000))).collect();
            drop(held);
            assert!(idle(&theirs.stats()) <= MOST * 1024);
        })
        .join()
        .unwrap();
        assert!(idle(&pool.stats()) <= MOST * 1024);
    }
}

/// Places in a cache are first granted to a thread that only returns, when the depot is full already.
#[test]
fn each_class_keeps_its_count_when_a_stranger_returns() {
    const MOST: usize = 10;
    let pool = BufferPool::builder().max_idle_per_class(MOST).build().unwrap();
    let theirs = pool.clone();
    let held = thread::spawn(move || theirs.get_many([Capacity(1000); 3 * MOST])).join().unwrap();
    let mut held = held.into_iter();
    for _ in 0..3 {
        let part: Vec<_> = held.by_ref().take(MOST).collect();
        let pool = pool.clone();
        thread::spawn(move || {
            drop(part);
            assert!(idle(&pool.stats()) <= MOST * 1024, "{} bytes idle", idle(&pool.stats()));
        })
        .join()
        .unwrap();
    }
}
