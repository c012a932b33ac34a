// Programs for santh-bufpool 0.1.0.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use santh_bufpool::error::MAX_REQUEST_BYTES;
use santh_bufpool::{BufferPool, Error, FrozenBuffer, PoolBuffer, PoolConfig, PoolStats, PoolStatsSnapshot, Result};

fn config() -> PoolConfig {
    PoolConfig {
        four_kib_count: 8,
        sixty_four_kib_count: 4,
        two_fifty_six_kib_count: 2,
        one_mib_count: 1,
        numa_node: None,
    }
}

/// A message in a buffer of its own.
fn message(pool: &BufferPool, text: &[u8]) -> Result<PoolBuffer> {
    let mut buffer: PoolBuffer = pool.checkout(text.len())?;
    buffer.copy_from_slice(text);
    Ok(buffer)
}

#[test]
fn a_message_is_written_frozen_and_read_by_another_thread() {
    let pool = BufferPool::new(config());
    let frozen: FrozenBuffer = message(&pool, b"hello world").unwrap().freeze();
    let reader = thread::spawn(move || {
        assert_eq!(frozen.len(), 11);
        let bytes: &[u8] = frozen.as_ref();
        bytes.to_vec()
    });
    assert_eq!(reader.join().unwrap(), b"hello world");
}

#[test]
fn a_buffer_is_a_slice_of_what_was_asked_for() {
    let pool = BufferPool::new(PoolConfig { four_kib_count: 2, ..PoolConfig::default() });
    let mut buffer = pool.checkout(128).unwrap();
    assert!(buffer.capacity() >= 128 && !buffer.is_empty());
    let slice: &mut [u8] = buffer.deref_mut();
    slice.fill(3);
    let exclusive: &mut [u8] = buffer.as_mut();
    exclusive[127] = 4;
    assert_eq!(buffer.deref().len(), 128);
    assert_eq!(buffer.iter().filter(|&&byte| byte == 3).count(), 127);
    let (first, first_mut) = (buffer.as_ptr(), buffer.as_mut_ptr());
    assert_eq!(first, first_mut.cast_const());
    assert!(format!("{buffer:?}").starts_with("PoolBuffer { len: 128, capacity: "));
    assert!(pool.checkout(0).unwrap().is_empty());
}

#[test]
fn errors_are_told_apart_by_a_match_without_a_wildcard() {
    let pool = BufferPool::new(config());
    let describe = |error: Error| match error {
        Error::RequestedLengthTooLarge { requested } => requested,
        Error::InvalidAlignment { alignment } => alignment,
    };
    assert_eq!(describe(pool.checkout(MAX_REQUEST_BYTES + 1).unwrap_err()), MAX_REQUEST_BYTES + 1);
    assert_eq!(describe(pool.checkout_aligned(16, 24).unwrap_err()), 24);
    let boxed: Box<dyn std::error::Error> = Box::new(pool.checkout_zeroed(usize::MAX).unwrap_err());
    assert!(boxed.to_string().contains(&usize::MAX.to_string()));
}

#[test]
fn statistics_are_read_as_atomics_and_as_a_snapshot() {
    let pool = BufferPool::new(config());
    let stats: &PoolStats = pool.stats();
    let kept = pool.checkout(100).unwrap();
    let checked_out: &AtomicUsize = &stats.checked_out;
    assert_eq!(checked_out.load(Ordering::Relaxed), 1);
    assert_eq!(stats.bytes_checked_out.load(Ordering::Relaxed), 100);
    drop(kept);
    let PoolStatsSnapshot { hits, misses, checked_out, peak_checked_out, bytes_checked_out, peak_bytes_checked_out } =
        stats.snapshot();
    assert_eq!((checked_out, bytes_checked_out), (0, 0));
    assert_eq!((peak_checked_out, peak_bytes_checked_out), (1, 100));
    assert_eq!((hits, misses), (1, 0));
    drop(format!("{:?} {:?} {pool:?}", stats, stats.snapshot()));
}

#[test]
fn a_pool_is_shared_between_threads() {
    let pool = Arc::new(BufferPool::new(config()));
    let threads: Vec<_> = (0..4_u8)
        .map(|number| {
            let pool = Arc::clone(&pool);
            thread::spawn(move || {
                for size in [10, 5_000, 100_000, 500_000, 2 << 20] {
                    let mut buffer = pool.checkout(size).unwrap();
                    buffer.fill(number);
                    assert!(buffer.iter().all(|&byte| byte == number));
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    assert_eq!(pool.stats().checked_out.load(Ordering::Relaxed), 0);
}

#[test]
fn a_buffer_outlives_its_pool() {
    let pool = BufferPool::new(config());
    let buffer = pool.checkout_zeroed(5_000).unwrap();
    let frozen = pool.checkout_aligned(64, 8).unwrap().freeze();
    drop(pool);
    assert!(buffer.iter().chain(frozen.iter()).all(|&byte| byte == 0));
}
