//! What was seen to go wrong in the originals. None of it goes wrong here.

use std::cell::RefCell;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc;
use std::thread;

use millpond_compat::kithara::{self, SharedPool};
use millpond_compat::santh::{self, PoolConfig};
use millpond_compat::zeropool;

/// The three pools as one, for what goes wrong alike.
trait System: Clone + Send + Sync + 'static {
    type Buffer: Send + 'static;

    fn new() -> Self;
    /// A buffer of so many bytes, written.
    fn get(&self, size: usize) -> Self::Buffer;
    /// A buffer, and whether its memory is fresh.
    fn next(&self) -> (Self::Buffer, bool);
    fn address(buffer: &Self::Buffer) -> usize;
    fn capacity(buffer: &Self::Buffer) -> usize;
}

#[derive(Clone)]
struct Santh(std::sync::Arc<santh::BufferPool>);

impl System for Santh {
    type Buffer = santh::PoolBuffer;

    fn new() -> Self {
        Santh(santh::BufferPool::new(PoolConfig { four_kib_count: 8, ..PoolConfig::default() }).into())
    }

    fn get(&self, size: usize) -> santh::PoolBuffer {
        let mut buffer = self.0.checkout(size).unwrap();
        buffer.fill(1);
        buffer
    }

    fn next(&self) -> (santh::PoolBuffer, bool) {
        let misses = self.0.stats().misses.load(Relaxed);
        let buffer = self.get(10_000);
        (buffer, self.0.stats().misses.load(Relaxed) > misses)
    }

    fn address(buffer: &santh::PoolBuffer) -> usize {
        buffer.as_ptr().addr()
    }

    fn capacity(buffer: &santh::PoolBuffer) -> usize {
        buffer.capacity()
    }
}

#[derive(Clone)]
struct Zeropool(zeropool::BufferPool);

impl System for Zeropool {
    type Buffer = zeropool::PooledBuffer;

    fn new() -> Self {
        Zeropool(zeropool::BufferPool::builder().min_buffer_size(0).build())
    }

    fn get(&self, size: usize) -> zeropool::PooledBuffer {
        let mut buffer = self.0.get(size);
        buffer.fill(1);
        buffer
    }

    /// What is fresh is zero.
    fn next(&self) -> (zeropool::PooledBuffer, bool) {
        let mut buffer = self.0.get(10_000);
        let is_fresh = buffer[0] == 0;
        buffer[0] = 1;
        (buffer, is_fresh)
    }

    fn address(buffer: &zeropool::PooledBuffer) -> usize {
        buffer.as_ptr().addr()
    }

    fn capacity(buffer: &zeropool::PooledBuffer) -> usize {
        buffer.capacity()
    }
}

#[derive(Clone)]
struct Kithara(SharedPool<4, Vec<u8>>);

impl System for Kithara {
    type Buffer = kithara::PooledOwned<4, Vec<u8>>;

    fn new() -> Self {
        Kithara(SharedPool::new(256, 2 << 20))
    }

    fn get(&self, size: usize) -> Self::Buffer {
        self.0.get_with(|vec| vec.resize(size, 1))
    }

    fn next(&self) -> (Self::Buffer, bool) {
        let mut buffer = self.0.get();
        let is_fresh = buffer.capacity() == 0;
        buffer.resize(10_000, 1);
        (buffer, is_fresh)
    }

    fn address(buffer: &Self::Buffer) -> usize {
        buffer.as_ptr().addr()
    }

    fn capacity(buffer: &Self::Buffer) -> usize {
        buffer.capacity()
    }
}

macro_rules! systems {
    ($($test:ident)*) => {
        mod santh_ {
            $(#[test] fn $test() { super::$test::<super::Santh>(); })*
        }

        mod zeropool_ {
            $(#[test] fn $test() { super::$test::<super::Zeropool>(); })*
        }

        mod kithara_ {
            $(#[test] fn $test() { super::$test::<super::Kithara>(); })*
        }
    };
}

systems! {
    no_pool_hands_out_what_is_of_another
    two_pools_in_turn_reuse_what_each_returned
    buffers_that_a_thread_cached_survive_its_end
    a_buffer_dropped_with_the_thread_locals_goes_home
    from_producer_to_consumer_memory_is_used_again
}

/// One thread cache for all pools: B handed out A's 1 MiB buffer for a request of 16 bytes.
fn no_pool_hands_out_what_is_of_another<S: System>() {
    let (a, b) = (S::new(), S::new());
    let large = a.get(1 << 20);
    let address = S::address(&large);
    drop(large);
    let small = b.get(16);
    assert_ne!(S::address(&small), address);
    assert!(S::capacity(&small) <= 4096);
    assert_eq!(S::address(&a.get(1 << 20)), address, "A has it still");
}

/// One thread cache for the pool that was used last: two pools in turn made every get a fresh allocation.
fn two_pools_in_turn_reuse_what_each_returned<S: System>() {
    let pools = [S::new(), S::new()];
    let first = pools.each_ref().map(|pool| S::address(&pool.get(1000)));
    for _ in 0..100 {
        assert_eq!(pools.each_ref().map(|pool| S::address(&pool.get(1000))), first);
    }
}

/// Buffers cached by a thread were lost when it ended.
fn buffers_that_a_thread_cached_survive_its_end<S: System>() {
    for size in [1000, 300_000] {
        let pool = S::new();
        let other = pool.clone();
        let address = thread::spawn(move || S::address(&other.get(size))).join().unwrap();
        assert_eq!(S::address(&pool.get(size)), address, "{size} bytes");
    }
}

/// A buffer dropped while thread-locals were being destroyed aborted the process.
fn a_buffer_dropped_with_the_thread_locals_goes_home<S: System>() {
    /// Uses the pool once more, as it is destroyed.
    struct Last<S: System> {
        pool: S,
        buffer: Option<S::Buffer>,
    }

    impl<S: System> Drop for Last<S> {
        fn drop(&mut self) {
            self.buffer = None;
            drop(self.pool.get(2000));
        }
    }

    thread_local! {
        // Made before anything of the pool's, so that it is destroyed after it, or before: either must do.
        static EARLY: RefCell<Option<Box<dyn std::any::Any>>> = const { RefCell::new(None) };
        static LATE: RefCell<Option<Box<dyn std::any::Any>>> = const { RefCell::new(None) };
    }

    let pool = S::new();
    let other = pool.clone();
    let address = thread::spawn(move || {
        let keep = |place: &'static thread::LocalKey<RefCell<Option<Box<dyn std::any::Any>>>>, buffer| {
            let last = Last { pool: other.clone(), buffer: Some(buffer) };
            place.with(|kept| *kept.borrow_mut() = Some(Box::new(last)));
        };
        EARLY.with(|_| ());
        let buffer = other.get(2000);
        let address = S::address(&buffer);
        keep(&EARLY, buffer);
        keep(&LATE, other.get(2000));
        address
    });
    let address = address.join().unwrap();
    let now: Vec<_> = (0..8).map(|_| pool.get(2000)).collect();
    assert!(now.iter().any(|buffer| S::address(buffer) == address), "it is in the pool");
}

/// A producer on one thread and a consumer on another: every buffer was a fresh allocation, or memory grew without bound.
fn from_producer_to_consumer_memory_is_used_again<S: System>() {
    const ROUNDS: usize = if cfg!(miri) { 200 } else { 3000 };
    const QUEUE: usize = 4;
    let pool = S::new();
    let (sender, receiver) = mpsc::sync_channel::<S::Buffer>(QUEUE);
    let consumer = thread::spawn(move || receiver.into_iter().for_each(drop));
    let mut fresh = 0;
    for _ in 0..ROUNDS {
        let (buffer, is_fresh) = pool.next();
        fresh += usize::from(is_fresh);
        sender.send(buffer).unwrap();
    }
    drop(sender);
    consumer.join().unwrap();
    // In the queue, in hands, and in the consumer's cache, out of which memory comes by the handful.
    assert!(fresh <= 80, "{fresh} of {ROUNDS} are fresh allocations");
}

/// The first example of the README panicked.
#[test]
fn santh_the_first_example_runs() {
    let pool = santh::BufferPool::new(PoolConfig { four_kib_count: 64, ..PoolConfig::default() });
    let mut buf = pool.checkout(1024).unwrap();
    buf[..11].copy_from_slice(b"hello world");
    assert_eq!(&buf[..11], b"hello world");
}

/// What another pool's buffer served was not counted, nor what the thread's cache did, and a frozen buffer not always.
#[test]
fn santh_every_exit_is_counted() {
    let pool = santh::BufferPool::new(PoolConfig { four_kib_count: 2, ..PoolConfig::default() });
    let count = || pool.stats().hits.load(Relaxed) + pool.stats().misses.load(Relaxed);
    let out = || (pool.stats().checked_out.load(Relaxed), pool.stats().bytes_checked_out.load(Relaxed));
    for round in 1..=3 {
        drop(pool.checkout(100).unwrap());
        drop(pool.checkout_zeroed(5000).unwrap().freeze());
        drop(pool.checkout_aligned(100, 4096).unwrap());
        drop(pool.checkout_aligned(100, 4 << 20).unwrap());
        let (frozen, large) = (pool.checkout(1).unwrap().freeze(), pool.checkout(2 << 20).unwrap());
        assert_eq!(out(), (2, 1 + (2 << 20)));
        thread::spawn(move || drop((frozen.clone(), frozen, large))).join().unwrap();
        assert_eq!((count(), out()), (6 * round, (0, 0)));
    }
}

/// `checkout_aligned(_, 4096)` checked its argument and then ignored it.
#[test]
fn santh_aligned_is_aligned() {
    let pool = santh::BufferPool::new(PoolConfig { four_kib_count: 8, ..PoolConfig::default() });
    let out: Vec<_> = (0..20).map(|size| pool.checkout_aligned(1 + 50 * size, 4096).unwrap()).collect();
    assert!(out.iter().all(|buffer| buffer.as_ptr().addr() % 4096 == 0));
}

/// Stale bytes where zeroed ones were promised.
#[test]
fn santh_no_stale_byte_is_seen() {
    let pool = santh::BufferPool::new(PoolConfig { four_kib_count: 1, ..PoolConfig::default() });
    for written in [1, 100, 4096] {
        pool.checkout(written).unwrap().fill(0xaa);
        assert!(pool.checkout(4096).unwrap().iter().all(|&byte| byte == 0), "{written} bytes written");
    }
}

/// A safe `get` exposed uninitialised memory. Miri finds that in this test.
#[test]
fn zeropool_get_exposes_initialised_bytes_alone() {
    let pool = zeropool::BufferPool::builder().min_buffer_size(0).build();
    let sum = |size| pool.get(size).iter().map(|&byte| usize::from(byte)).sum::<usize>();
    assert_eq!(sum(1024), 0, "fresh memory is zero");
    pool.get(1000).truncate(10);
    let mut short = pool.get(10);
    short.extend_from_slice(&[1; 500]);
    drop(short);
    assert!(sum(1024) <= 1024 * 255);
}

/// Pools were `Send` and `Sync` for values that were not. Here such pools do not compile; see the examples of
/// `kithara::SharedPool`.
#[test]
fn what_is_sent_between_threads_may_be() {
    fn both<T: Send + Sync>() {}
    both::<(santh::BufferPool, santh::PoolBuffer, santh::FrozenBuffer)>();
    both::<(zeropool::BufferPool, zeropool::PooledBuffer)>();
    both::<(kithara::Pool<4, Vec<u8>>, kithara::Pooled<'static, 4, Vec<u8>>, SharedPool<4, Vec<u8>>)>();
    both::<(kithara::PooledSlice<'static, 4, u8>, kithara::PooledSliceOwned<4, u8>)>();
}
