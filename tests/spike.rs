//! After a spike the process is as small as before.
#![cfg(all(target_os = "linux", not(miri)))]

use std::fs;
use std::sync::{Arc, Barrier, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use millpond::{Budget, BufferPool, Memory, Recycled};

const THREADS: usize = 8;
/// Of 32-bit addresses there are not many more.
const SPIKE: usize = if usize::BITS > 32 { 1 << 30 } else { 256 << 20 };
const INTERVAL: Duration = Duration::from_secs(2);

/// What the process has in memory is that of all tests, so they take turns.
fn alone() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Bytes of the process that are in memory.
fn resident() -> usize {
    let pages = fs::read_to_string("/proc/self/statm").unwrap();
    pages.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

/// Gets and returns buffers of all sizes, touched, on threads that then sleep; the height of the spike, and what is left
/// of it two intervals later.
fn spike_on(memory: Memory) -> (usize, usize) {
    // The process' budget may be smaller.
    let budget = Budget::new(2 * SPIKE);
    let pool =
        BufferPool::builder().memory(memory).budget(&budget).max_idle(2 * SPIKE).decay(INTERVAL).build().unwrap();
    let before = resident();
    let met = Arc::new(Barrier::new(THREADS + 1));
    let work = |pool: BufferPool, met: Arc<Barrier>| {
        move || {
            let mut held = Vec::new();
            let mut bytes = 0;
            for size in [512, 4 << 10, 20 << 10, 64 << 10, 300 << 10, 2 << 20].into_iter().cycle() {
                if bytes >= SPIKE / THREADS {
                    break;
                }
                // About as many bytes of each size.
                for _ in 0..(2 << 20) / size {
                    let mut buf = pool.get(Recycled(size));
                    buf.chunks_mut(4096).for_each(|page| page[0] = 1);
                    bytes += buf.capacity();
                    held.push(buf);
                }
            }
            met.wait();
            drop(held);
            met.wait();
            // Asleep on a full cache.
            met.wait();
        }
    };
    let threads: Vec<_> = (0..THREADS).map(|_| thread::spawn(work(pool.clone(), met.clone()))).collect();
    met.wait();
    let height = resident() - before;
    met.wait();
    let silent = Instant::now();
    thread::sleep(2 * INTERVAL);
    let left = resident().saturating_sub(before);
    println!("{height} bytes, {left} of them left after {:?}; {}", silent.elapsed(), pool.stats());
    met.wait();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    (height, left)
}

#[test]
fn a_spike_is_gone_two_intervals_later() {
    let _alone = alone();
    let (height, left) = spike_on(Memory::default());
    assert!(height > SPIKE / 10 * 9, "{height}");
    assert!(left <= height / 20, "{left} of {height}");
}

/// 128 bytes of header for each buffer, and the memory of the smallest classes, too.
#[test]
fn a_million_small_buffers_leave_nothing_behind() {
    const COUNT: usize = 1_000_000;
    let _alone = alone();
    let pool = BufferPool::builder().size_classes([64]).decay(Duration::MAX).build().unwrap();
    let before = resident();
    let touched = |_| {
        let mut buf = pool.get(64);
        buf[0] = 1;
        buf
    };
    let mut held: Vec<_> = (0..COUNT).map(touched).collect();
    let height = resident() - before;
    assert!(height > COUNT * (64 + 128), "{height}");
    // One is in use, in the middle of all.
    let kept = held.swap_remove(COUNT / 2);
    drop(held);
    pool.trim(0);
    let left = resident().saturating_sub(before);
    println!("{height} bytes, {left} of them left");
    assert!(left <= height / 50, "{left} of {height}");
    assert_eq!(kept[..2], [1, 0]);
    // All headers serve again.
    let overhead = pool.stats().overhead;
    let held: Vec<_> = (0..COUNT).map(|_| pool.get(64)).collect();
    assert!(held.iter().all(|buf| buf[..] == [0; 64]));
    drop((held, kept));
    pool.trim(0);
    assert!(pool.stats().overhead <= overhead + (64 << 10), "{} after {overhead}", pool.stats().overhead);
}
