//! How idle memory decays, tick by tick.

use std::time::Duration;

use super::*;
use crate::bytes::request::Recycled;
use crate::engine::core::QUARTERS;
use crate::engine::tally;

const SIZE: usize = 64 << 10;

/// A pool that decays when a test ticks.
fn pool() -> BufferPool {
    let builder = BufferPool::builder().size_classes([SIZE]).thread_cache(0).decay(Duration::MAX);
    builder.maintenance(Maintenance::Manual).build().unwrap()
}

fn spike(pool: &BufferPool, count: usize) {
    drop(pool.get_many(vec![Recycled(SIZE); count]));
}

fn resident(pool: &BufferPool) -> usize {
    pool.stats().footprint as usize / SIZE
}

fn tick(pool: &BufferPool) {
    pool.core.core().tick(1);
}

#[test]
fn nothing_decays_before_an_interval_is_over() {
    let pool = pool();
    spike(&pool, 100);
    // The one that is under way, and a whole interval.
    for quarter in 0..=QUARTERS {
        assert_eq!(resident(&pool), 100, "quarter {quarter}");
        tick(&pool);
    }
    // One lay in this thread's cache, and was found to lie still.
    assert_eq!(resident(&pool), 1);
    (0..QUARTERS).for_each(|_| tick(&pool));
    assert_eq!(resident(&pool), 0);
}

#[test]
fn a_load_that_comes_once_in_an_interval_keeps_what_it_uses() {
    let pool = pool();
    spike(&pool, 100);
    for _ in 0..10 {
        spike(&pool, 40);
        (0..QUARTERS).for_each(|_| tick(&pool));
    }
    // A batch from the depot may hold more than was asked for.
    assert!((40..40 + 16).contains(&resident(&pool)), "{}", resident(&pool));
    assert_eq!(pool.stats().fresh, 100);
}

#[test]
fn a_load_that_sinks_gives_back_as_it_sinks() {
    let pool = pool();
    for count in [100, 80, 60, 40, 20] {
        for _ in 0..2 * QUARTERS {
            spike(&pool, count);
            tick(&pool);
        }
        assert!((count..count + 16).contains(&resident(&pool)), "{} for {count}", resident(&pool));
    }
    assert_eq!(pool.stats().fresh, 100);
}

#[test]
fn relief_looks_back_a_quarter_at_least_but_not_behind_itself() {
    let pool = pool();
    let relieve = || pool.pressure(Pressure::Moderate) / SIZE;
    spike(&pool, 100);
    tick(&pool);
    spike(&pool, 40);
    tick(&pool);
    // 40 were needed in the quarter before the tick a moment ago; the magazine has been still since then.
    assert!((44..=61).contains(&relieve()), "{} stay", resident(&pool));
    tick(&pool);
    // That quarter began before the last relief, whose own time has been idle.
    relieve();
    assert!(resident(&pool) <= 1, "{} stay", resident(&pool));
}

#[test]
fn relief_hides_nothing_from_decay() {
    let pool = pool();
    spike(&pool, 100);
    tick(&pool);
    for _ in 0..QUARTERS {
        spike(&pool, 40);
        // The magazine's slot and the batch it came in go and come.
        pool.pressure(Pressure::Moderate);
        spike(&pool, 40);
        tick(&pool);
    }
    assert!((40..40 + 16).contains(&resident(&pool)), "{}", resident(&pool));
    assert_eq!(pool.stats().fresh, 100);
}

#[test]
fn what_is_out_is_not_idle() {
    let pool = pool();
    let held = pool.get_many([Recycled(SIZE); 30]);
    spike(&pool, 10);
    (0..2 * QUARTERS).for_each(|_| tick(&pool));
    assert_eq!(resident(&pool), 30);
    drop(held);
    tick(&pool);
    assert_eq!(resident(&pool), 30);
}

#[test]
fn a_pool_that_has_nothing_to_give_is_left_alone_until_a_birth() {
    let pool = pool();
    let core = || pool.core.core();
    spike(&pool, 10);
    assert!(core().tick(1) && !core().fall_asleep());
    (0..QUARTERS).for_each(|_| tick(&pool));
    assert!(!core().tick(1) && core().fall_asleep());
    let _held = pool.get(SIZE);
    assert!(core().tick(1));
}

#[test]
fn a_tick_makes_one_barrier_for_all_threads_that_sleep_and_none_for_those_that_work() {
    let pool = pool();
    let barrier = std::sync::Barrier::new(9);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                drop(pool.get(SIZE));
                barrier.wait();
                // Asleep on a full cache.
                barrier.wait();
            });
        }
        barrier.wait();
        let work_and_tick = || {
            drop(pool.get(SIZE));
            tally::barriers(|| tick(&pool))
        };
        assert_eq!(work_and_tick(), 0, "nobody is known to sleep");
        assert_eq!(work_and_tick(), 1, "eight threads sleep");
        assert_eq!(work_and_tick(), 0, "their caches are empty");
        barrier.wait();
    });
}
