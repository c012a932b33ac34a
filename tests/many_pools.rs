//! 100,000 pools made and dropped (in a debug build 30,000), on one thread and on several: memory stays flat, and no pool
//! ever sees another's memory.

#[path = "support/zero.rs"]
mod zero;

use std::collections::VecDeque;
use std::sync::Mutex;
use std::thread;

use millpond::{BufferPool, PooledBuf};
use zero::is_zero;

const POOLS: usize = match () {
    () if cfg!(miri) => 60,
    () if cfg!(debug_assertions) => 30_000,
    () => 100_000,
};
/// So many buffers outlive their pools, each as long as it takes to make so many pools more.
const OUTLIVING: usize = 100;
const ALIGNMENT: usize = 64;

/// Makes pool number `n` with a size class of its own, uses it, and returns a buffer that outlives it.
fn live_and_die(n: usize) -> PooledBuf {
    let size = (1 + n % 500) * ALIGNMENT;
    let pool = BufferPool::builder().size_classes([size]).alignment(ALIGNMENT).build().unwrap();
    for _ in 0..3 {
        let mut bufs = [pool.get(size), pool.get(1)];
        for buf in &mut bufs {
            assert_eq!(buf.capacity(), size, "pool {n} got another pool's memory");
            assert!(is_zero(buf));
            buf.fill(n as u8 | 1);
        }
    }
    let stats = pool.stats();
    assert_eq!((stats.gets, stats.footprint, stats.outstanding), (6, 2 * size as u64, 0));
    if n % 7 == 0 {
        pool.close();
        return survivor(n);
    }
    pool.copy_from(&tag(n))
}

/// A buffer of a pool that is closed while it is out.
fn survivor(n: usize) -> PooledBuf {
    let pool = BufferPool::builder().size_classes([8]).build().unwrap();
    let buf = pool.copy_from(&tag(n));
    pool.close();
    buf
}

fn tag(n: usize) -> [u8; 8] {
    (n as u64).to_le_bytes()
}

/// Goes through `count` pools from number `first` on.
fn go_through(first: usize, count: usize) {
    let mut outliving = VecDeque::new();
    for n in first..first + count {
        outliving.push_back((n, live_and_die(n)));
        if outliving.len() > OUTLIVING {
            let (n, buf) = outliving.pop_front().unwrap();
            assert_eq!(buf[..], tag(n));
        }
    }
}

/// Bytes of memory that the process has resident.
#[cfg(all(target_os = "linux", not(miri)))]
fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

#[cfg(not(all(target_os = "linux", not(miri))))]
fn resident() -> usize {
    0
}

/// Tests of this file measure the whole process, so they take turns.
static TURN: Mutex<()> = Mutex::new(());

fn stays_flat(work: impl Fn(usize, usize)) {
    let _turn = TURN.lock().unwrap();
    work(0, POOLS / 10);
    let before = resident();
    work(POOLS / 10, POOLS - POOLS / 10);
    let grown = resident().saturating_sub(before);
    assert!(grown < 8 << 20, "{grown} bytes grown over {POOLS} pools");
}

#[test]
fn memory_stays_flat_on_one_thread() {
    stays_flat(go_through);
}

#[test]
fn memory_stays_flat_on_several_threads() {
    const THREADS: usize = 4;
    stays_flat(|first, count| {
        thread::scope(|scope| {
            for thread in 0..THREADS {
                scope.spawn(move || go_through(first + thread * (count / THREADS), count / THREADS));
            }
        });
    });
}

#[test]
fn a_lane_used_again_shows_nothing_of_the_pool_before() {
    let _turn = TURN.lock().unwrap();
    // This thread fills a cache and sleeps while pools that it never sees take the lane over.
    let rounds = if cfg!(miri) { 5 } else { 500 };
    for round in 1..=rounds {
        let size = round * ALIGNMENT;
        let old = BufferPool::builder().size_classes([size]).build().unwrap();
        drop([old.get(size), old.get(size)]);
        let left = old.get(size);
        drop(old);
        let new = thread::spawn(move || {
            drop(left);
            let new = BufferPool::builder().size_classes([size + ALIGNMENT]).build().unwrap();
            let buf = new.get(size + ALIGNMENT);
            (new, buf)
        });
        let (new, buf) = new.join().unwrap();
        // The first thing that the old magazine meets in this lane is a return, then a get.
        drop(buf);
        let again = new.get(1);
        assert_eq!(again.capacity(), size + ALIGNMENT);
        assert_eq!(new.stats().footprint, (size + ALIGNMENT) as u64);
    }
}
