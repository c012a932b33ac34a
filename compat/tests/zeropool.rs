//! What zeropool 0.3 documents, row by row.

use std::ops::Deref;
use std::thread;

use millpond_compat::zeropool::{BufferPool, Builder, EvictionPolicy, PooledBuffer};

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

/// Gets so many buffers at once, and drops them.
fn burst(pool: &BufferPool, count: usize, size: usize) {
    drop((0..count).map(|_| pool.get(size)).collect::<Vec<_>>());
}

fn unfiltered() -> Builder {
    BufferPool::builder().min_buffer_size(0)
}

#[test]
fn clone_shares_state() {
    let pool = unfiltered().tls_cache_size(2).build();
    let clone = pool.clone();
    burst(&clone, 5, 2048);
    assert_eq!((pool.len(), clone.len()), (3, 3));
    pool.clear();
    assert!(clone.is_empty());
}

#[test]
fn get_has_the_length_that_was_asked_for() {
    let pool = BufferPool::new();
    for size in [0, 1, 255, 256, 257, 1024, 4097, MIB, 100 * MIB] {
        let buffer = pool.get(size);
        assert_eq!((buffer.len(), buffer.is_empty()), (size, size == 0));
        assert!(buffer.capacity() >= size);
    }
}

#[test]
fn pooled_buffer_dereferences_to_a_growable_buffer() {
    fn is_buf<T: Deref<Target = millpond::PooledBuf>>(_: &T) {}
    let mut buffer: PooledBuffer = BufferPool::new().get(4);
    is_buf(&buffer);
    buffer.copy_from_slice(b"mill");
    buffer.extend_from_slice(b"pond");
    buffer.resize(10, b'!');
    assert_eq!(&buffer[..], b"millpond!!");
    buffer.truncate(4);
    assert_eq!(buffer.as_ref(), b"mill");
    buffer.as_mut()[0] = b'M';
    let frozen = millpond::PooledBuf::from(buffer).freeze();
    assert_eq!(frozen.slice(1..), *b"ill");
}

#[test]
fn a_buffer_is_returned_on_drop() {
    let pool = unfiltered().build();
    for size in [1000, 64 * KIB, 2 * MIB, 200 * MIB] {
        let first = pool.get(size).as_ptr();
        assert!((0..10).all(|_| pool.get(size).as_ptr() == first), "{size} bytes");
    }
}

#[test]
fn a_buffer_that_grew_is_returned_on_drop() {
    let pool = unfiltered().tls_cache_size(1).build();
    let grow = || {
        let mut buffer = pool.get(1000);
        buffer.resize(5 * MIB, 1);
        buffer
    };
    let grown: Vec<_> = (0..10).map(|_| grow()).collect();
    let before = pool.len();
    assert!(before <= 1, "what they grew from serves the next");
    drop(grown);
    assert!(pool.len() - before >= 9, "{} of 10 kept", pool.len());
}

#[test]
fn tls_cache_size_is_the_number_of_buffers_in_a_thread_s_cache() {
    for cached in [1, 2, 4, 8] {
        for size in [1 << 10, 64 * KIB, MIB] {
            let pool = unfiltered().tls_cache_size(cached).max_buffers_per_shard(16).build();
            burst(&pool, 20, size);
            assert_eq!(pool.len(), 20 - cached, "{cached} of {size} bytes");
        }
    }
}

#[test]
fn min_buffer_size_is_the_smallest_that_is_kept() {
    let pool = BufferPool::builder().min_buffer_size(MIB).max_buffers_per_shard(16).tls_cache_size(2).build();
    burst(&pool, 50, 512 * KIB);
    burst(&pool, 50, 100);
    assert_eq!(pool.len(), 0);
    burst(&pool, 10, MIB);
    assert_eq!(pool.len(), 8);
    burst(&pool, 10, 3 * MIB);
    assert_eq!(pool.len(), 16);
}

#[test]
fn the_smallest_that_is_kept_is_of_1_mib_by_default() {
    let pool = BufferPool::new();
    burst(&pool, 20, 768 * KIB);
    assert!(pool.is_empty());
    burst(&pool, 20, 1000 * KIB);
    assert!(!pool.is_empty());
}

#[test]
fn max_buffers_per_shard_bounds_what_is_kept() {
    for (per_shard, shards, kept) in [(2, 4, 8), (1, 8, 8), (3, 5, 24)] {
        let pool = unfiltered().max_buffers_per_shard(per_shard).num_shards(shards).tls_cache_size(1).build();
        burst(&pool, 100, 1024);
        let cached = 1;
        assert_eq!(pool.len() + cached, kept, "{per_shard} in each of {shards}");
        let first: Vec<_> = (0..100).map(|_| pool.get(1024)).collect();
        assert_eq!(pool.len(), 0);
        drop(first);
        assert_eq!(pool.len() + cached, kept);
    }
}

#[test]
fn max_buffers_hold_whatever_threads_return() {
    let pool = &unfiltered().max_buffers_per_shard(2).num_shards(4).build();
    thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(|| (0..20).for_each(|_| burst(pool, 30, 4096)))).collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    });
    assert!(pool.len() <= 8, "{} kept", pool.len());
}

#[test]
fn num_shards_is_rounded_to_a_power_of_two_from_4_to_128() {
    for (asked, shards) in [(1, 4), (5, 8), (64, 64), (1000, 128)] {
        let pool = unfiltered().num_shards(asked).max_buffers_per_shard(1).build();
        pool.preallocate(1, 1024);
        assert_eq!(pool.len(), shards, "{asked} asked");
    }
}

#[test]
fn not_zeroed_by_default() {
    let pool = unfiltered().build();
    pool.get(100_000).fill(7);
    let buffer = pool.get(100_000);
    // What was there, or in debug builds what millpond puts there.
    assert!(buffer.iter().all(|&byte| byte != 0), "zeroing costs");
}

#[test]
fn preallocate_adds_buffers_in_multiples_of_the_shards() {
    let pool = BufferPool::builder().num_shards(4).tls_cache_size(2).build();
    pool.preallocate(10, MIB);
    assert_eq!(pool.len(), 12);
    let out: Vec<_> = (0..12).map(|_| pool.get(MIB)).collect();
    assert_eq!(pool.len(), 0, "they serve gets");
    drop(out);
    pool.preallocate(4, MIB);
    assert_eq!(pool.len(), 10 + 4, "two are in this thread's cache");
    pool.preallocate(0, MIB);
    assert_eq!(pool.len(), 14);
}

#[test]
fn preallocate_makes_small_buffers_large_enough_to_keep() {
    let pool = BufferPool::builder().num_shards(4).build();
    pool.preallocate(4, 10);
    assert_eq!(pool.len(), 4);
    assert!(pool.get(MIB).capacity() >= MIB);
    assert_eq!(pool.len(), 3);
}

#[test]
fn preallocate_stays_within_what_is_kept() {
    let pool = unfiltered().num_shards(4).max_buffers_per_shard(2).build();
    pool.preallocate(100, 64 * KIB);
    assert_eq!(pool.len(), 8);
}

#[test]
fn len_and_is_empty_do_not_count_thread_caches() {
    let pool = unfiltered().tls_cache_size(4).build();
    for _ in 0..4 {
        drop(pool.get(1024));
        assert_eq!((pool.len(), pool.is_empty()), (0, true));
    }
    burst(&pool, 20, 1024);
    assert_eq!((pool.len(), pool.is_empty()), (16, false));
}

#[test]
fn clear_empties_the_pool_but_not_thread_caches() {
    let pool = unfiltered().tls_cache_size(2).build();
    burst(&pool, 10, 1024);
    burst(&pool, 10, 2 * MIB);
    let cached = pool.get(2 * MIB).as_ptr();
    assert_eq!(pool.len(), 16);
    pool.clear();
    assert_eq!((pool.len(), pool.is_empty()), (0, true));
    assert_eq!(pool.get(2 * MIB).as_ptr(), cached);
    assert_eq!(pool.get(1024).len(), 1024);
}

#[test]
fn shrink_to_fit_keeps_buffers() {
    let pool = unfiltered().tls_cache_size(2).build();
    burst(&pool, 10, 1024);
    pool.shrink_to_fit();
    assert_eq!(pool.len(), 8);
}

#[test]
fn hot_buffers_outlive_a_wave_of_other_sizes_under_each_policy() {
    for policy in [EvictionPolicy::ClockPro, EvictionPolicy::Lifo] {
        let pool = unfiltered().eviction_policy(policy).num_shards(4).max_buffers_per_shard(2).build();
        let hot = pool.get(64 * KIB).as_ptr();
        for wave in 0..50 {
            for size in (1..=16).map(|size| size * 8 * KIB).filter(|&size| size != 64 * KIB && size != 56 * KIB) {
                burst(&pool, 10, size);
            }
            assert_eq!(pool.get(64 * KIB).as_ptr(), hot, "{policy:?}, wave {wave}");
        }
    }
}

#[test]
fn into_inner_and_into_vec_take_the_bytes_for_good() {
    let pool = unfiltered().build();
    let mut buffer = pool.get(1000);
    buffer.fill(3);
    let vec = buffer.into_inner();
    pool.get(1000).fill(4);
    assert_eq!(vec, [3; 1000]);
    assert_eq!(pool.get(1000).into_vec().len(), 1000);
}
