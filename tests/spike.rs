//! After a spike the process is as small as before, two intervals later, without any call.
#![cfg(all(target_os = "linux", not(miri)))]

use std::fs;
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

use millpond::{BufferPool, Memory, Recycled};

const THREADS: usize = 8;
const SPIKE: usize = 1 << 30;
const INTERVAL: Duration = Duration::from_secs(2);

/// Bytes of the process that are in memory.
fn resident() -> usize {
    let pages = fs::read_to_string("/proc/self/statm").unwrap();
    pages.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

/// Gets and returns buffers of all sizes, touched, on threads that then sleep; the height of the spike, and what is left
/// of it two intervals later.
fn spike_on(memory: Memory) -> (usize, usize) {
    let pool = BufferPool::builder().memory(memory).max_idle(2 * SPIKE).decay(INTERVAL).build().unwrap();
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
    let (height, left) = spike_on(Memory::default());
    assert!(height > SPIKE / 10 * 9, "{height}");
    assert!(left <= height / 20, "{left} of {height}");
}
