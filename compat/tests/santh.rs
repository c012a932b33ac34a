//! What santh-bufpool documents, row by row.

use std::sync::atomic::Ordering::Relaxed;
use std::thread;

use millpond_compat::santh::error::MAX_REQUEST_BYTES;
use millpond_compat::santh::{BufferPool, Error, FrozenBuffer, PoolBuffer, PoolConfig, PoolStatsSnapshot};

const KIB: usize = 1 << 10;
const CLASSES: [usize; 4] = [4 * KIB, 64 * KIB, 256 * KIB, 1 << 20];

fn pool(count: usize) -> BufferPool {
    BufferPool::new(PoolConfig {
        four_kib_count: count,
        sixty_four_kib_count: count,
        two_fifty_six_kib_count: count,
        one_mib_count: count,
        numa_node: None,
    })
}

fn hits_and_misses(pool: &BufferPool) -> (usize, usize) {
    let snapshot = pool.stats().snapshot();
    (snapshot.hits, snapshot.misses)
}

#[test]
fn new_preallocates_those_many_buffers_per_class() {
    let config = PoolConfig {
        four_kib_count: 5,
        sixty_four_kib_count: 3,
        two_fifty_six_kib_count: 2,
        one_mib_count: 1,
        numa_node: None,
    };
    let pool = BufferPool::new(config);
    let mut hits = 0;
    for (class, count) in CLASSES.into_iter().zip([5, 3, 2, 1]) {
        let ready: Vec<_> = (0..count).map(|_| pool.checkout(class).unwrap()).collect();
        hits += count;
        assert_eq!(hits_and_misses(&pool), (hits, CLASSES.partition_point(|&other| other < class)), "class {class}");
        let one_more = pool.checkout(class).unwrap();
        assert_eq!(pool.stats().misses.load(Relaxed), 1 + CLASSES.partition_point(|&other| other < class));
        drop((ready, one_more));
    }
}

#[test]
fn pool_config_has_a_default_of_no_buffers() {
    let none = PoolConfig::default();
    assert_eq!((none.four_kib_count, none.one_mib_count, none.numa_node), (0, 0, None));
    let pool = BufferPool::new(none);
    drop(pool.checkout(1).unwrap());
    assert_eq!(hits_and_misses(&pool), (0, 1));
}

#[test]
fn four_size_classes() {
    let pool = pool(1);
    for (bytes, capacity) in [
        (0, CLASSES[0]),
        (1, CLASSES[0]),
        (4096, CLASSES[0]),
        (4097, CLASSES[1]),
        (65_536, CLASSES[1]),
        (65_537, CLASSES[2]),
        (262_144, CLASSES[2]),
        (262_145, CLASSES[3]),
        (1_048_576, CLASSES[3]),
    ] {
        let buffer = pool.checkout(bytes).unwrap();
        assert_eq!((buffer.len(), buffer.capacity()), (bytes, capacity));
    }
    assert_eq!(hits_and_misses(&pool), (9, 0));
}

#[test]
fn larger_requests_have_their_exact_size_and_are_not_pooled() {
    let pool = pool(1);
    for bytes in [1_048_577, 3_000_001] {
        let mut buffer = pool.checkout(bytes).unwrap();
        buffer.fill(1);
        assert_eq!((buffer.len(), buffer.capacity()), (bytes, bytes));
    }
    assert!(pool.checkout(3_000_001).unwrap().iter().all(|&byte| byte == 0));
    assert_eq!(hits_and_misses(&pool), (0, 3));
}

#[test]
fn checkout_has_the_length_that_was_asked_for() {
    let pool = pool(1);
    for bytes in [0, 1, 63, 64, 65, 4095, 4096, 5000, 1 << 20] {
        let buffer = pool.checkout(bytes).unwrap();
        assert_eq!((buffer.len(), buffer[..].len(), buffer.is_empty()), (bytes, bytes, bytes == 0));
    }
}

#[test]
fn checkout_refuses_more_than_isize_max() {
    let pool = pool(0);
    for requested in [MAX_REQUEST_BYTES + 1, usize::MAX] {
        assert_eq!(pool.checkout(requested).unwrap_err(), Error::RequestedLengthTooLarge { requested });
        assert_eq!(pool.checkout_zeroed(requested).unwrap_err(), Error::RequestedLengthTooLarge { requested });
        assert!(pool.checkout_aligned(requested, 4096).is_err());
    }
    assert_eq!(pool.stats().snapshot(), PoolStatsSnapshot::default(), "what is refused is not counted");
}

#[test]
fn checkout_zeroed_is_zero() {
    let pool = pool(1);
    for class in CLASSES {
        pool.checkout(class).unwrap().fill(0xaa);
        assert!(pool.checkout_zeroed(class).unwrap().iter().all(|&byte| byte == 0));
    }
}

#[test]
fn checkout_aligned_aligns() {
    let pool = pool(1);
    for log in 0..=24 {
        let alignment = 1_usize << log;
        for bytes in [0, 1, 4096, 70_000, 3 << 20] {
            let mut buffer = pool.checkout_aligned(bytes, alignment).unwrap();
            assert_eq!(buffer.as_ptr().addr() % alignment, 0, "{bytes} bytes at {alignment}");
            assert_eq!(buffer.as_mut_ptr().addr() % alignment, 0);
            assert_eq!(buffer.len(), bytes);
            assert!(buffer.capacity() >= bytes);
            assert!(buffer.iter().all(|&byte| byte == 0));
            buffer.fill(1);
        }
    }
}

#[test]
fn checkout_aligned_is_served_again_by_the_same_memory() {
    let pool = pool(0);
    let address = || pool.checkout_aligned(512, 4096).unwrap().as_ptr();
    let first = address();
    assert_eq!((address(), hits_and_misses(&pool)), (first, (1, 1)));
}

#[test]
fn checkout_aligned_refuses_what_is_no_power_of_two() {
    let pool = pool(0);
    for alignment in [0, 3, 24, usize::MAX] {
        assert_eq!(pool.checkout_aligned(16, alignment).unwrap_err(), Error::InvalidAlignment { alignment });
    }
    let most = 1 << (usize::BITS - 1);
    let requested = most + 16;
    assert_eq!(pool.checkout_aligned(16, most).unwrap_err(), Error::RequestedLengthTooLarge { requested });
}

#[test]
fn an_exhausted_class_falls_back_to_a_fresh_allocation() {
    let pool = pool(2);
    let out: Vec<_> = (0..50).map(|_| pool.checkout(4096).unwrap()).collect();
    assert_eq!(hits_and_misses(&pool), (2, 48));
    assert!(out.iter().all(|buffer| buffer.len() == 4096));
    drop(out);
    // Kept are those of the start, and four for each processor.
    let kept = 50.min(2 + 4 * thread::available_parallelism().unwrap().get());
    let again: Vec<_> = (0..50).map(|_| pool.checkout(4096).unwrap()).collect();
    assert_eq!(hits_and_misses(&pool), (2 + kept, 48 + 50 - kept));
    drop(again);
}

#[test]
fn a_thread_caches_what_it_returned() {
    let pool = pool(0);
    let address = || pool.checkout(1000).unwrap().as_ptr();
    let first = address();
    assert!((0..100).all(|_| address() == first));
    assert_eq!(hits_and_misses(&pool), (100, 1));
}

#[test]
fn the_cache_drains_when_the_thread_exits_to_the_pools_the_buffers_came_from() {
    let (one, other) = (&pool(0), &pool(0));
    thread::scope(|scope| {
        let both = move || drop((one.checkout(100).unwrap(), other.checkout(100_000).unwrap()));
        scope.spawn(both).join().unwrap();
    });
    drop((one.checkout(100).unwrap(), other.checkout(100_000).unwrap()));
    assert_eq!((hits_and_misses(one), hits_and_misses(other)), ((1, 1), (1, 1)));
}

/// Every byte of a class that has one buffer.
#[track_caller]
fn assert_wiped(pool: &BufferPool, class: usize, path: &str) {
    let misses = pool.stats().misses.load(Relaxed);
    let buffer = pool.checkout(class).unwrap();
    assert_eq!(pool.stats().misses.load(Relaxed), misses, "{path}: the memory is looked at that was written");
    assert!(buffer.iter().all(|&byte| byte == 0), "{path}");
}

fn written(pool: &BufferPool, class: usize) -> PoolBuffer {
    let mut buffer = pool.checkout(class).unwrap();
    buffer.fill(0xaa);
    buffer
}

#[test]
fn zeroed_on_every_return_path() {
    for class in CLASSES {
        let pool = pool(1);
        drop(written(&pool, class));
        assert_wiped(&pool, class, "drop");
        drop(written(&pool, class).freeze());
        assert_wiped(&pool, class, "drop of the frozen buffer");
        let buffer = written(&pool, class);
        thread::spawn(move || drop(buffer)).join().unwrap();
        assert_wiped(&pool, class, "cache drain");
        let frozen = written(&pool, class).freeze();
        let clone = frozen.clone();
        drop(frozen);
        thread::spawn(move || drop(clone)).join().unwrap();
        assert_wiped(&pool, class, "drop of the last clone elsewhere");
        let panicked = std::panic::catch_unwind(|| {
            let _buffer = written(&pool, class);
            panic!("with a buffer in hand");
        });
        assert!(panicked.is_err());
        assert_wiped(&pool, class, "unwinding");
    }
}

#[test]
fn what_is_written_through_a_pointer_is_wiped_up_to_the_capacity() {
    let pool = pool(1);
    let mut buffer = pool.checkout(10).unwrap();
    let (start, capacity) = (buffer.as_mut_ptr(), buffer.capacity());
    // SAFETY: the capacity is what there is room for.
    unsafe { start.write_bytes(0xaa, capacity) };
    assert_eq!(buffer[..], [0xaa; 10]);
    drop(buffer);
    assert_wiped(&pool, 4096, "pointer");
}

#[test]
fn pool_buffer_is_a_slice_and_a_pair_of_pointers() {
    let mut buffer = pool(1).checkout(3).unwrap();
    let exclusive: &mut [u8] = buffer.as_mut();
    exclusive.copy_from_slice(b"abc");
    buffer[0] = b'A';
    let shared: &[u8] = buffer.as_ref();
    assert_eq!(shared, b"Abc");
    assert_eq!(buffer.as_ptr(), buffer[..].as_ptr());
    assert_eq!(buffer.as_mut_ptr().cast_const(), buffer.as_ptr());
    assert_eq!(buffer[..], *b"Abc", "pointers change nothing");
    assert_eq!(format!("{buffer:?}"), "PoolBuffer { len: 3, capacity: 4096, .. }");
}

#[test]
fn a_frozen_buffer_returns_its_memory_when_the_last_clone_drops() {
    fn is_shareable<T: Send + Sync + Clone + 'static>(_: &T) {}
    let pool = pool(1);
    let frozen: FrozenBuffer = written(&pool, 4096).freeze();
    is_shareable(&frozen);
    let clones: Vec<_> = (0..4).map(|_| frozen.clone()).collect();
    let threads: Vec<_> =
        clones.into_iter().map(|clone| thread::spawn(move || assert_eq!(clone[4095], 0xaa))).collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    assert_eq!(pool.stats().checked_out.load(Relaxed), 1);
    let shared: &[u8] = frozen.as_ref();
    assert_eq!(shared.len(), 4096);
    assert_eq!(format!("{frozen:?}"), "FrozenBuffer { len: 4096, capacity: 4096, .. }");
    drop(frozen);
    assert_eq!(pool.stats().checked_out.load(Relaxed), 0);
    assert_wiped(&pool, 4096, "last clone");
}

#[test]
fn numa_node_falls_back_where_there_is_no_such_node() {
    for node in [0, 63, 1000] {
        let pool = BufferPool::new(PoolConfig { four_kib_count: 1, numa_node: Some(node), ..PoolConfig::default() });
        let mut buffer = pool.checkout(4096).unwrap();
        buffer.fill(1);
        drop(pool.checkout_aligned(100, 8192).unwrap());
        assert_eq!(pool.stats().hits.load(Relaxed), 1);
    }
}

#[test]
fn stats_count_hits_misses_what_is_out_and_peaks() {
    let pool = pool(2);
    let first = pool.checkout(100).unwrap();
    let second = pool.checkout(5000).unwrap();
    let third = pool.checkout(2 << 20).unwrap();
    let all = 100 + 5000 + (2 << 20);
    let now = pool.stats().snapshot();
    let expected = PoolStatsSnapshot {
        hits: 2,
        misses: 1,
        checked_out: 3,
        peak_checked_out: 3,
        bytes_checked_out: all,
        peak_bytes_checked_out: all,
    };
    assert_eq!(now, expected);
    drop((first, third));
    let frozen = second.freeze();
    let expected = PoolStatsSnapshot { checked_out: 1, bytes_checked_out: 5000, ..expected };
    assert_eq!(pool.stats().snapshot(), expected);
    drop(frozen);
    let expected = PoolStatsSnapshot { checked_out: 0, bytes_checked_out: 0, ..expected };
    assert_eq!(pool.stats().snapshot(), expected);
    let again = pool.checkout(1).unwrap();
    let expected = PoolStatsSnapshot { hits: 3, checked_out: 1, bytes_checked_out: 1, ..expected };
    assert_eq!(pool.stats().snapshot(), expected);
    drop(again);
}

#[test]
fn stats_are_up_to_date_whenever_they_are_looked_at() {
    let pool = pool(1);
    let stats = pool.stats();
    assert_eq!(stats.hits.load(Relaxed), 0);
    let buffer = pool.checkout(7).unwrap();
    assert_eq!((stats.hits.load(Relaxed), stats.checked_out.load(Relaxed)), (1, 1));
    assert_eq!((stats.peak_checked_out.load(Relaxed), stats.bytes_checked_out.load(Relaxed)), (1, 7));
    drop(buffer);
    assert_eq!((stats.checked_out.load(Relaxed), stats.peak_bytes_checked_out.load(Relaxed)), (0, 7));
    assert!(format!("{stats:?}").contains("hits: 1, misses: 0, checked_out: 0, peak_checked_out: 1"));
}

#[test]
fn stats_of_many_threads_add_up() {
    const THREADS: usize = 4;
    const ROUNDS: usize = 500;
    let pool = &pool(4);
    thread::scope(|scope| {
        let work = move |thread: usize| {
            for round in 0..ROUNDS {
                let buffer = pool.checkout(1 + (thread * ROUNDS + round) % 6000).unwrap();
                if round % 3 == 0 { drop(buffer.freeze()) } else { drop(buffer) }
            }
        };
        let threads: Vec<_> = (0..THREADS).map(|thread| scope.spawn(move || work(thread))).collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    });
    let now = pool.stats().snapshot();
    assert_eq!((now.checked_out, now.bytes_checked_out), (0, 0));
    assert_eq!(now.hits + now.misses, THREADS * ROUNDS);
    assert!((1..=THREADS).contains(&now.peak_checked_out));
}
