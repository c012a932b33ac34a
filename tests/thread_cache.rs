//! `thread_cache` bounds what lies in one thread's cache, over all size classes.
#![cfg(not(miri))] // Sizes alone, many of them.

#[path = "support/identities.rs"]
mod identities;

use identities::assert_identities;
use millpond::{BufferPool, Capacity};

const CACHE: usize = 128 << 10;
/// Up to this size a class has one place whatever the limit.
const ONE_PLACE: usize = 256 << 10;

fn churn(pool: &BufferPool, size: usize) {
    for _ in 0..if cfg!(miri) { 2 } else { 4 } {
        let held: Vec<_> = (0..80).map(|_| pool.get(Capacity(size))).collect();
        drop(held);
    }
}

#[test]
fn the_classes_of_a_thread_share_its_allowance() {
    let pool = BufferPool::builder().thread_cache(CACHE).build().unwrap();
    let mut one_place_each = 0;
    for size in [256, 1024, 4096, 32 << 10, 64 << 10] {
        churn(&pool, size);
        one_place_each += size;
        let stats = pool.stats();
        assert_identities(&stats);
        let cached = stats.idle_in_caches as usize;
        assert!(cached <= CACHE + one_place_each, "{cached} bytes cached\n{stats}");
        assert!(cached >= 256);
    }
}

#[test]
fn a_class_alone_stays_within_the_allowance() {
    for size in [256, 4096, 16 << 10] {
        let pool = BufferPool::builder().thread_cache(CACHE).build().unwrap();
        churn(&pool, size);
        let cached = pool.stats().idle_in_caches as usize;
        assert!(cached <= CACHE, "{cached} bytes of {size} bytes each cached");
        assert!(cached >= CACHE.min(64 * size) / 2, "{cached} bytes of {size} bytes each cached");
    }
}

#[test]
fn a_class_of_more_than_half_the_allowance_has_one_place() {
    for size in [96 << 10, CACHE] {
        let pool = BufferPool::builder().thread_cache(CACHE).build().unwrap();
        churn(&pool, size);
        assert_eq!(pool.stats().idle_in_caches as usize, size);
    }
}

#[test]
fn without_an_allowance_small_classes_have_one_place_and_large_ones_none() {
    let pool = BufferPool::builder().thread_cache(0).build().unwrap();
    churn(&pool, ONE_PLACE);
    assert_eq!(pool.stats().idle_in_caches as usize, ONE_PLACE);
    churn(&pool, 2 * ONE_PLACE);
    assert_eq!(pool.stats().idle_in_caches as usize, ONE_PLACE);
    assert_identities(&pool.stats());
}

/// What the limit says, the other threads do not change.
#[test]
fn each_thread_has_its_own_allowance() {
    const THREADS: usize = 4;
    let pool = BufferPool::builder().thread_cache(CACHE).build().unwrap();
    let rest = std::sync::Barrier::new(THREADS + 1);
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                churn(&pool, 4096);
                rest.wait();
                rest.wait();
            });
        }
        rest.wait();
        let cached = pool.stats().idle_in_caches as usize;
        rest.wait();
        assert!(cached <= THREADS * CACHE, "{cached} bytes cached");
        assert!(cached >= THREADS * CACHE / 2, "{cached} bytes cached");
    });
}
