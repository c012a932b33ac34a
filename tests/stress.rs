//! Owners against robbers: threads get, drop and swap buffers while others rob their caches and close their pools.
//!
//! Two things rob: a get that finds the system without memory, which the allocator here feigns for a while again and
//! again, and a pool that closes. Each buffer carries a tag that only its holder knows; a buffer in two hands would
//! show a stranger's.
#![allow(unsafe_code)] // A global allocator.

#[cfg(all(target_os = "linux", not(miri)))]
#[path = "support/child.rs"]
mod child;
#[path = "support/identities.rs"]
mod identities;
#[path = "support/random.rs"]
mod random;
#[cfg(all(target_os = "linux", not(miri)))]
#[path = "support/seccomp.rs"]
mod seccomp;

use std::alloc::{GlobalAlloc, Layout, System};
use std::mem;
use std::sync::atomic::{AtomicBool, AtomicIsize, AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, RwLock};
use std::thread;
use std::time::{Duration, Instant};

use identities::assert_identities;
use millpond::{BufferPool, Capacity, Error, Memory, PooledBuf, PooledBytes};
use random::Random;

/// Tells pools' blocks from all other memory.
const BLOCK_ALIGN: usize = 1024;
/// Gets and drops in all.
const CALLS: usize = if cfg!(miri) { 3000 } else { 10_000_000 };
const OWNERS: usize = if cfg!(miri) { 2 } else { 4 };
const POOLS: usize = 3;
/// An owner works this long on one pool before it looks for the present one.
const ROUND: usize = if cfg!(miri) { 50 } else { 400 };
const HELD: usize = 24;
const SIZE: usize = 1024;

static STARVED: AtomicBool = AtomicBool::new(false);
/// Blocks that are allocated and not freed.
static LIVE: AtomicIsize = AtomicIsize::new(0);

struct Starving;

fn refuses(layout: Layout) -> bool {
    layout.align() == BLOCK_ALIGN && STARVED.load(Relaxed)
}

fn count(layout: Layout, change: isize) {
    if layout.align() == BLOCK_ALIGN {
        LIVE.fetch_add(change, Relaxed);
    }
}

// SAFETY: the system's allocator, or no memory.
unsafe impl GlobalAlloc for Starving {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if refuses(layout) {
            return std::ptr::null_mut();
        }
        count(layout, 1);
        // SAFETY: the caller's conditions.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if refuses(layout) {
            return std::ptr::null_mut();
        }
        count(layout, 1);
        // SAFETY: the caller's conditions.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        count(layout, -1);
        // SAFETY: the caller's conditions.
        unsafe { System.dealloc(ptr, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Starving = Starving;

/// A handle, unique or frozen, with the tag that must be at both ends of its bytes.
struct Tagged {
    bytes: Handle,
    tag: [u8; 8],
}

enum Handle {
    Unique(PooledBuf),
    Frozen(PooledBytes),
}

impl Tagged {
    fn new(mut buf: PooledBuf, tag: u64) -> Self {
        let tag = tag.to_le_bytes();
        let end = SIZE - tag.len();
        buf.resize(SIZE, 0);
        buf[..tag.len()].copy_from_slice(&tag);
        buf[end..].copy_from_slice(&tag);
        let bytes = if tag[0] % 4 == 0 { Handle::Frozen(buf.freeze()) } else { Handle::Unique(buf) };
        Tagged { bytes, tag }
    }
}

impl Drop for Tagged {
    fn drop(&mut self) {
        let bytes: &[u8] = match &self.bytes {
            Handle::Unique(buf) => buf,
            Handle::Frozen(bytes) => bytes,
        };
        if !thread::panicking() {
            assert!(bytes.starts_with(&self.tag) && bytes.ends_with(&self.tag), "a buffer in two hands");
        }
    }
}

struct Arena {
    pools: [RwLock<BufferPool>; POOLS],
    /// Where owners leave handles for each other.
    exchange: Mutex<Vec<Tagged>>,
    calls: AtomicUsize,
    stolen: AtomicUsize,
}

fn new_pool() -> BufferPool {
    BufferPool::builder().size_classes([SIZE, 4 * SIZE]).alignment(BLOCK_ALIGN).memory(Memory::heap()).build().unwrap()
}

impl Arena {
    fn new() -> Self {
        Arena {
            pools: std::array::from_fn(|_| RwLock::new(new_pool())),
            exchange: Mutex::default(),
            calls: AtomicUsize::new(0),
            stolen: AtomicUsize::new(0),
        }
    }

    fn is_over(&self) -> bool {
        self.calls.load(Relaxed) >= CALLS
    }

    fn own(&self, owner: u64) {
        let mut random = Random::new(owner);
        let mut held: Vec<Tagged> = Vec::new();
        while !self.is_over() {
            let pool = self.pools[random.below(POOLS)].read().unwrap().clone();
            for _ in 0..ROUND {
                self.step(&pool, &mut random, &mut held);
            }
            self.calls.fetch_add(2 * ROUND, Relaxed);
        }
    }

    /// One get and one drop, on average.
    fn step(&self, pool: &BufferPool, random: &mut Random, held: &mut Vec<Tagged>) {
        match pool.try_get(Capacity(SIZE)) {
            Ok(buf) => held.push(Tagged::new(buf, random.next())),
            Err(Error::OutOfMemory { .. } | Error::Closed) => {}
            Err(error) => panic!("{error}"),
        }
        if held.len() > 1 && random.below(64) == 0 {
            *held = mem::replace(&mut *self.exchange.lock().unwrap(), mem::take(held));
        } else if random.below(256) == 0 {
            held.clear();
        } else if held.len() > HELD || random.below(8) != 0 {
            held.pop();
        }
    }

    /// Takes what there is, out of all caches, and leaves it to the owners.
    fn rob(&self) {
        let mut random = Random::new(99);
        while !self.is_over() {
            let pool = self.pools[random.below(POOLS)].read().unwrap().clone();
            let loot: Vec<_> = (0..2 * HELD).map_while(|_| pool.try_get(Capacity(SIZE)).ok()).collect();
            let loot = loot.into_iter().map(|buf| Tagged::new(buf, random.next()));
            self.exchange.lock().unwrap().extend(loot);
            thread::yield_now();
        }
    }

    /// Lets the system run dry and recover.
    fn starve(&self) {
        while !self.is_over() {
            STARVED.store(true, Relaxed);
            nap(300);
            STARVED.store(false, Relaxed);
            nap(100);
        }
    }

    /// Closes, or drops, one pool after the other and puts a new one in its place.
    fn close(&self) -> usize {
        let mut closed = 0;
        while !self.is_over() {
            nap(500);
            let old = mem::replace(&mut *self.pools[closed % POOLS].write().unwrap(), new_pool());
            self.stolen.fetch_add(old.stats().stolen as usize, Relaxed);
            if closed % 2 == 0 {
                old.close();
            }
            drop(old);
            closed += 1;
        }
        closed
    }
}

/// Lets the others run, for about so many microseconds.
fn nap(micros: u64) {
    if cfg!(miri) {
        thread::yield_now();
    } else {
        thread::sleep(Duration::from_micros(micros));
    }
}

#[test]
fn no_buffer_is_ever_in_two_hands_and_none_is_lost() {
    stress();
}

/// In a child process, because a process asks once whether there is the call.
#[cfg(all(target_os = "linux", not(miri)))]
#[test]
fn the_same_with_fences_in_place_of_membarrier() {
    if child::is_child() {
        seccomp::filter(
            &[libc::SYS_membarrier],
            libc::SECCOMP_RET_ERRNO | libc::ENOSYS as u32,
            libc::SECCOMP_RET_ALLOW,
        );
        stress();
    } else {
        assert!(child::run("the_same_with_fences_in_place_of_membarrier").success());
    }
}

fn stress() {
    let arena = Arena::new();
    let start = Instant::now();
    let closed = thread::scope(|scope| {
        let closer = scope.spawn(|| arena.close());
        let mut others = vec![scope.spawn(|| arena.starve()), scope.spawn(|| arena.rob())];
        others.extend((0..OWNERS as u64).map(|owner| {
            let arena = &arena;
            scope.spawn(move || arena.own(owner))
        }));
        // Joined, not only left by the scope, so that their caches have come home.
        others.into_iter().for_each(|thread| thread.join().unwrap());
        closer.join().unwrap()
    });
    arena.exchange.lock().unwrap().clear();
    for pool in &arena.pools {
        let pool = pool.read().unwrap();
        assert_identities(&pool.stats());
        assert_eq!(pool.stats().outstanding, 0);
        pool.close();
        assert_eq!(pool.stats().footprint, 0);
    }
    assert_eq!(LIVE.load(Relaxed), 0, "blocks of closed pools that were never freed");
    let stolen = arena.stolen.load(Relaxed);
    println!("{CALLS} calls, {closed} pools closed, {stolen} buffers stolen, {:.1} s", start.elapsed().as_secs_f64());
    assert!(cfg!(miri) || closed > 10 && stolen > 10, "{closed} pools closed, {stolen} buffers stolen");
}
