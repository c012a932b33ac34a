//! `trim` gives back what lies idle, wherever it lies, down to what is to stay.

#[path = "support/identities.rs"]
mod identities;
#[path = "support/parked.rs"]
mod parked;

use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread;

use identities::assert_identities;
use millpond::{Budget, BufferPool, Capacity, Pool, Stats};
use parked::Parked;

const KIB: usize = 1 << 10;
const THREADS: usize = if cfg!(miri) { 2 } else { 4 };
const ROUNDS: usize = if cfg!(miri) { 15 } else { 3000 };

/// Few classes, for Miri's sake.
fn pool_on(budget: &Budget) -> BufferPool {
    BufferPool::builder().budget(budget).size_classes([KIB, 2 * KIB, 96 * KIB]).build().unwrap()
}

fn values_on(budget: &Budget) -> Pool<Vec<u8>> {
    Pool::builder().budget(budget).create(|| Vec::with_capacity(1)).weigh(|_| KIB).build().unwrap()
}

fn idle(stats: &Stats) -> usize {
    (stats.idle_in_caches + stats.idle_in_depot) as usize
}

#[test]
fn a_pool_keeps_what_it_is_told_to() {
    let budget = Budget::new(1 << 20);
    let pool = pool_on(&budget);
    drop(pool.get_many([KIB; 100]));
    for (keep, freed) in [(200 * KIB, 0), (100 * KIB, 0), (90 * KIB, 10), (10 * KIB + 1, 80), (0, 10), (0, 0)] {
        assert_eq!(pool.trim(keep), freed * KIB, "keep {keep}");
        assert_eq!(idle(&pool.stats()), budget.used());
    }
    assert_identities(&pool.stats());
}

#[test]
fn values_are_kept_by_their_weight() {
    let budget = Budget::new(1 << 20);
    let pool = values_on(&budget);
    drop(pool.get_many(100));
    for (keep, freed) in [(100 * KIB, 0), (90 * KIB, 10), (10 * KIB + 1, 80), (0, 10), (0, 0)] {
        assert_eq!(pool.trim(keep), freed * KIB, "keep {keep}");
        assert_eq!(idle(&pool.stats()) * KIB, budget.used());
    }
}

/// What is out stays out.
#[test]
fn only_idle_memory_is_freed() {
    let budget = Budget::new(1 << 20);
    let (pool, values) = (pool_on(&budget), values_on(&budget));
    let out = (pool.get_many([KIB; 3]), values.get_many(2), pool.get(96 * KIB));
    drop((pool.get_many([KIB; 3]), values.get_many(2)));
    assert_eq!((budget.used(), budget.trim(0)), (106 * KIB, 5 * KIB));
    assert_eq!((budget.used(), budget.peak()), (101 * KIB, 106 * KIB));
    drop(out);
    assert_eq!((budget.trim(0), budget.used()), (101 * KIB, 0));
    assert_eq!((pool.stats().footprint, values.stats().footprint), (0, 0));
}

#[test]
fn a_budget_reaches_all_pools_and_sleeping_threads_below_it() {
    let budget = Budget::new(1 << 20);
    let (child, tenant) = (budget.child(1 << 20), budget.child_reserving(4 * KIB, 1 << 20).unwrap());
    let pools = [pool_on(&budget), pool_on(&child), pool_on(&tenant)];
    let values = values_on(&child);
    let sleepers: Vec<_> = (0..THREADS)
        .map(|_| {
            let (pools, values) = (pools.clone(), values.clone());
            Parked::after(move || {
                pools.iter().for_each(|pool| drop(pool.get_many([Capacity(2 * KIB); 4])));
                drop((0..8).map(|_| values.get()).collect::<Vec<_>>());
            })
        })
        .collect();
    let cached: u64 = pools.iter().map(|pool| pool.stats().idle_in_caches).sum();
    assert!(cached > 0 && values.stats().idle_in_caches > 0);
    let all = THREADS * 32 * KIB;
    assert_eq!([&budget, &child, &tenant].map(Budget::used), [all, all / 2, all / 4]);
    assert_eq!(budget.trim(all - KIB), 2 * KIB, "one buffer is more than was to go");
    assert_eq!(child.trim(3 * KIB), all / 2 - 3 * KIB);
    assert_eq!(budget.trim(0), all / 2 + KIB);
    assert_eq!([&budget, &child, &tenant].map(Budget::used), [4 * KIB, 0, 0]);
    assert!(pools.iter().all(|pool| pool.stats().footprint == 0) && values.stats().footprint == 0);
    drop(sleepers);
}

/// The caches that were emptied serve their threads again.
#[test]
fn a_robbed_cache_goes_on() {
    let budget = Budget::new(1 << 20);
    let pool = pool_on(&budget);
    for round in 1..=5 {
        drop(pool.get_many([KIB; 20]));
        assert_eq!(pool.trim(0), 20 * KIB, "round {round}");
        let stats = pool.stats();
        assert_identities(&stats);
        assert_eq!((stats.fresh, stats.footprint), (20 * round, 0));
    }
}

#[test]
fn while_others_work() {
    let budget = Budget::new(1 << 30);
    let (pool, values) = (pool_on(&budget), values_on(&budget));
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let (pool, values, over) = (&pool, &values, &over);
        let workers: Vec<_> = (0..THREADS)
            .map(|thread| {
                scope.spawn(move || {
                    for round in 0..ROUNDS {
                        let mark = (thread * ROUNDS + round) as u8;
                        let mut bufs: Vec<_> = (0..round % 10).map(|_| pool.get(Capacity(KIB))).collect();
                        bufs.iter_mut().for_each(|buf| buf.extend_from_slice(&[mark; 50]));
                        drop(values.get_many(round % 3));
                        assert!(bufs.iter().all(|buf| buf[..] == [mark; 50]));
                    }
                })
            })
            .collect();
        let trimmer = scope.spawn(|| {
            let mut freed = 0;
            while !over.load(SeqCst) {
                freed += pool.trim(4 * KIB) + values.trim(4 * KIB) + budget.trim(0);
                thread::yield_now();
            }
            freed
        });
        workers.into_iter().for_each(|worker| worker.join().unwrap());
        over.store(true, SeqCst);
        assert!(trimmer.join().unwrap() > 0 || cfg!(miri));
    });
    assert_identities(&pool.stats());
    assert_eq!((pool.stats().outstanding, values.stats().outstanding), (0, 0));
    let idle = idle(&pool.stats()) + idle(&values.stats()) * KIB;
    assert_eq!((budget.trim(0), budget.used()), (idle, 0));
}
