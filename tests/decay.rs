//! What lies idle for an interval goes back to the system, and nothing else does.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use millpond::{BufferPool, BufferPoolBuilder, Maintenance, Pool, Recycled, Reuse};

const SIZE: usize = 64 << 10;
/// Of so many buffers, as statistics count them.
const fn bytes(buffers: usize) -> u64 {
    (buffers * SIZE) as u64
}
const INTERVAL: Duration = Duration::from_millis(if cfg!(miri) { 400 } else { 80 });

fn builder() -> BufferPoolBuilder {
    BufferPool::builder().size_classes([4096, SIZE]).decay(INTERVAL)
}

/// A pool that decays when it is told to.
fn manual() -> BufferPool {
    builder().maintenance(Maintenance::Manual).build().unwrap()
}

/// `count` buffers, out together and back again.
fn spike(pool: &BufferPool, count: usize) {
    drop(pool.get_many(vec![Recycled(SIZE); count]));
}

/// Lets so many intervals pass, looking after the pool as often as a program might. Where the system has it look later than
/// that, the end is later, too.
fn maintain(pool: &BufferPool, intervals: u32) {
    let mut end = Instant::now() + INTERVAL * intervals;
    while Instant::now() < end {
        let begun = Instant::now();
        pool.maintain();
        thread::sleep(INTERVAL / 16);
        end += begun.elapsed().saturating_sub(INTERVAL / 4);
    }
    pool.maintain();
}

/// Waits until it is so.
#[track_caller]
fn soon(what: &str, mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(20);
    while !is_so() {
        assert!(Instant::now() < end, "{what}: not within 20 seconds");
        thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn a_spike_is_gone_after_two_intervals() {
    let pool = manual();
    spike(&pool, 100);
    assert_eq!(pool.stats().footprint, bytes(100));
    maintain(&pool, 2);
    assert_eq!(pool.stats().footprint, 0);
}

#[test]
fn a_thread_that_sleeps_on_a_full_cache_keeps_nothing() {
    let pool = manual();
    let (to_sleeper, orders) = mpsc::channel::<()>();
    let (is_full, full) = mpsc::channel();
    let sleeper = thread::spawn({
        let pool = pool.clone();
        move || {
            spike(&pool, 8);
            is_full.send(()).unwrap();
            orders.recv().unwrap();
            drop(pool.get(Recycled(SIZE)));
        }
    });
    full.recv().unwrap();
    assert!(pool.stats().idle_in_caches > 0);
    maintain(&pool, 2);
    assert_eq!(pool.stats().footprint, 0);
    // It works with what it finds.
    to_sleeper.send(()).unwrap();
    sleeper.join().unwrap();
}

#[test]
fn a_thread_at_work_keeps_its_cache() {
    let pool = manual();
    spike(&pool, 4);
    // Until the magazine has what this loop needs.
    (0..100).for_each(|_| drop(pool.get(Recycled(SIZE))));
    let before = pool.stats();
    let end = Instant::now() + INTERVAL * 3;
    while Instant::now() < end {
        drop(pool.get(Recycled(SIZE)));
        pool.maintain();
    }
    let after = pool.stats();
    assert_eq!((after.fresh, after.depot_hits, after.stolen), (before.fresh, before.depot_hits, before.stolen));
}

#[test]
fn prefilled_buffers_stay() {
    let pool = builder().prefill(SIZE, 10).maintenance(Maintenance::Manual).build().unwrap();
    spike(&pool, 50);
    maintain(&pool, 2);
    assert_eq!(pool.stats().footprint, bytes(10));
    // Not only those in the depot.
    let held = pool.get_many([Recycled(SIZE); 10]);
    maintain(&pool, 2);
    drop(held);
    maintain(&pool, 2);
    assert_eq!((pool.stats().footprint, pool.stats().fresh), (bytes(10), 40));
}

#[test]
fn an_interval_without_end_keeps_everything() {
    let pool = builder().decay(Duration::MAX).maintenance(Maintenance::Manual).build().unwrap();
    spike(&pool, 10);
    maintain(&pool, 3);
    assert_eq!(pool.stats().footprint, bytes(10));
}

#[test]
fn an_interval_of_nothing_keeps_nothing() {
    let pool = builder().decay(Duration::ZERO).maintenance(Maintenance::Manual).build().unwrap();
    spike(&pool, 10);
    for _ in 0..10 {
        pool.maintain();
    }
    assert_eq!(pool.stats().footprint, 0);
}

#[test]
fn a_program_that_looks_seldom_needs_no_more_calls() {
    let pool = manual();
    spike(&pool, 100);
    let look = || {
        thread::sleep(INTERVAL * 2);
        pool.maintain();
        pool.stats().footprint
    };
    // Since the first look, what lies beside this thread's cache is known to be idle, and the cache not to be in use; since
    // the second, that what came out of the cache is idle.
    assert_eq!([look(), look(), look()], [bytes(100), bytes(64), 0]);
}

#[test]
fn values_may_use_pools_when_they_decay() {
    #[derive(Debug)]
    struct Meddler(BufferPool, Arc<AtomicUsize>);
    impl Reuse for Meddler {
        fn reuse(&mut self, _: usize) -> bool {
            true
        }
    }
    impl Drop for Meddler {
        fn drop(&mut self) {
            self.0.maintain();
            drop(self.0.get(Recycled(SIZE)));
            self.0.trim(0);
            self.1.fetch_add(1, SeqCst);
        }
    }
    let (buffers, dropped) = (manual(), Arc::new(AtomicUsize::new(0)));
    let make = {
        let dropped = dropped.clone();
        move || Meddler(buffers.clone(), dropped.clone())
    };
    let pool = Pool::builder().create(make).decay(INTERVAL).maintenance(Maintenance::Manual).build().unwrap();
    drop(pool.get_many(10));
    let end = Instant::now() + INTERVAL * 3;
    while Instant::now() < end {
        pool.maintain();
        thread::sleep(INTERVAL / 16);
    }
    assert_eq!(dropped.load(SeqCst), 10);
}

/// The thread is the process's, so these take turns. Miri, which has no such thread, goes without.
#[cfg(not(miri))]
mod by_the_thread {
    use super::*;

    static TURN: Mutex<()> = Mutex::new(());

    fn turn() -> impl Drop {
        struct Turn(#[allow(dead_code)] std::sync::MutexGuard<'static, ()>);
        impl Drop for Turn {
            fn drop(&mut self) {}
        }
        Turn(TURN.lock().unwrap_or_else(|poisoned| poisoned.into_inner()))
    }

    /// Threads of this process with the name that the documentation tells.
    #[cfg(target_os = "linux")]
    fn threads() -> usize {
        let tasks = std::fs::read_dir("/proc/self/task").unwrap();
        let name =
            |task: std::io::Result<std::fs::DirEntry>| std::fs::read_to_string(task.ok()?.path().join("comm")).ok();
        tasks.filter_map(name).filter(|name| name.trim_end() == "millpond").count()
    }

    #[test]
    fn a_spike_is_gone_without_any_call() {
        let _turn = turn();
        let pool = builder().build().unwrap();
        for _ in 0..3 {
            let begin = Instant::now();
            spike(&pool, 100);
            soon("a spike comes back", || pool.stats().footprint == 0);
            assert!(begin.elapsed() > INTERVAL / 2, "{:?}", begin.elapsed());
            // The thread sleeps now, until something is born.
            thread::sleep(INTERVAL);
        }
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn one_thread_for_all_pools_and_none_without() {
        let _turn = turn();
        soon("earlier tests' pools are gone", || threads() == 0);
        let pools: Vec<_> = (0..10).map(|_| builder().build().unwrap()).collect();
        let values = Pool::<String>::new();
        soon("the thread is there", || threads() == 1);
        drop(pools);
        thread::sleep(INTERVAL);
        assert_eq!(threads(), 1);
        values.close();
        soon("the thread ends", || threads() == 0);
        // With the feature `pressure` there may be something to do for one that does not decay.
        let lasting = builder().decay(Duration::MAX);
        let lasting = if cfg!(feature = "pressure") { lasting.maintenance(Maintenance::Manual) } else { lasting };
        let without = [lasting.build().unwrap(), manual()];
        thread::sleep(INTERVAL);
        assert_eq!(threads(), 0);
        drop(without);
        // And again.
        let pool = builder().build().unwrap();
        soon("the thread is there again", || threads() == 1);
        drop(pool);
        soon("the thread ends again", || threads() == 0);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn no_signal_comes_to_the_thread() {
        let _turn = turn();
        let _pool = builder().build().unwrap();
        soon("the thread is there", || threads() == 1);
        let tasks = std::fs::read_dir("/proc/self/task").unwrap().map(|task| task.unwrap().path());
        let named = |task: &std::path::PathBuf| {
            std::fs::read_to_string(task.join("comm")).is_ok_and(|name| name.trim_end() == "millpond")
        };
        let task = tasks.into_iter().find(named).unwrap();
        let status = std::fs::read_to_string(task.join("status")).unwrap();
        let blocked = status.lines().find_map(|line| line.strip_prefix("SigBlk:")).unwrap();
        let blocked = u64::from_str_radix(blocked.trim(), 16).unwrap();
        // All that can be blocked and that the C library does not keep for itself.
        for signal in (1..=31).filter(|signal| ![9, 19].contains(signal)) {
            assert_eq!(blocked >> (signal - 1) & 1, 1, "signal {signal}");
        }
    }

    #[test]
    fn a_value_that_panics_when_it_decays_does_no_harm() {
        let _turn = turn();
        #[derive(Debug, Default)]
        struct Bomb;
        impl Reuse for Bomb {
            fn reuse(&mut self, _: usize) -> bool {
                true
            }
        }
        impl Drop for Bomb {
            fn drop(&mut self) {
                panic!("planted: a destructor's own");
            }
        }
        let bombs = Pool::<Bomb>::builder().decay(INTERVAL).build().unwrap();
        let pool = builder().build().unwrap();
        drop(bombs.get_many(3));
        spike(&pool, 10);
        soon("bombs are dropped", || bombs.stats().footprint == 0);
        soon("others' spikes come back", || pool.stats().footprint == 0);
    }
}
