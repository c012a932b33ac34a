//! A line at one node of a budget tree is none of the business of pools that could not help: they go on hitting their
//! caches. And where a line was, caches fill again when it has been gone for a while.

#[path = "support/waiting.rs"]
mod waiting;

use std::sync::mpsc;
use std::thread;

use millpond::{Budget, BufferPool, Capacity, Error, Pool};
use waiting::Waiting;

const KIB: usize = 1024;
const GETS: u64 = if cfg!(miri) { 20 } else { 1000 };
/// More returns for nobody than a pool waits before it trusts its caches again.
const CALM: usize = 5000;

fn pool_on(budget: &Budget) -> BufferPool {
    BufferPool::builder().size_classes([KIB, 4 * KIB]).budget(budget).build().unwrap()
}

/// A pool on a budget of its own, spent, with somebody in line.
fn with_a_line(budget: &Budget) -> (BufferPool, impl Drop, Waiting<millpond::Acquire<millpond::PooledBuf>>) {
    let pool = pool_on(budget);
    let held = pool.get_many([KIB; 4]);
    let waiting = Waiting::stand(pool.acquire(4 * KIB));
    assert_eq!(pool.try_get(KIB).unwrap_err(), Error::Queued { requested: KIB });
    (pool, held, waiting)
}

fn assert_hits(pool: &BufferPool) {
    drop(pool.get(Capacity(KIB)));
    let before = pool.stats();
    for _ in 0..GETS {
        drop(pool.get(Capacity(KIB)));
    }
    let after = pool.stats();
    assert_eq!(after.cache_hits - before.cache_hits, GETS, "{after}");
    assert_eq!((after.depot_hits, after.handed_over), (before.depot_hits, before.handed_over));
}

fn assert_hits_of_values(pool: &Pool<Vec<u8>>) {
    drop(pool.get());
    let before = pool.stats();
    for _ in 0..GETS {
        drop(pool.get());
    }
    assert_eq!(pool.stats().cache_hits - before.cache_hits, GETS);
}

#[test]
fn pools_under_other_nodes_and_above_keep_hitting() {
    let all = Budget::new(1 << 20);
    let (crowded, quiet) = (all.child(4 * KIB), all.child(64 * KIB));
    let (beside, above) = (pool_on(&quiet), pool_on(&all));
    let values = Pool::builder().create(|| vec![0_u8; 64]).max_objects(3).budget(&quiet).build().unwrap();
    let (pool, held, mut waiting) = with_a_line(&crowded);
    // Pools made before the line and after it.
    let later = pool_on(&quiet);
    for pool in [&beside, &above, &later] {
        assert_hits(pool);
        thread::scope(|scope| scope.spawn(|| assert_hits(pool)).join().unwrap());
    }
    assert_hits_of_values(&values);
    assert!(waiting.woken().is_none());
    assert_eq!(pool.stats().waiters, 1);
    drop(held);
    drop(waiting.served());
}

#[test]
fn a_pool_with_its_own_number_of_values_hinders_no_other() {
    let all = Budget::new(1 << 20);
    let full = Pool::builder().create(|| vec![0_u8; 64]).max_objects(1).budget(&all).build().unwrap();
    let (bytes, values) = (pool_on(&all), Pool::builder().create(|| vec![0_u8; 64]).budget(&all).build().unwrap());
    let held = full.get();
    let waiting = Waiting::stand(full.acquire());
    assert_hits(&bytes);
    assert_hits_of_values(&values);
    drop(held);
    drop(waiting.served());
}

/// A minimum is its pools' own, whoever waits above; beyond it, they wait with all others.
#[test]
fn a_reserved_minimum_is_served_while_a_line_stands_above() {
    // 3 KiB are free above, for whom they do not suffice.
    let all = Budget::new(11 * KIB);
    let tenant = pool_on(&all.child_reserving(4 * KIB, 8 * KIB).unwrap());
    let (_pool, held, mut waiting) = with_a_line(&all);
    let theirs = tenant.try_get_many([KIB; 4]).unwrap();
    assert_eq!(tenant.try_get(KIB).unwrap_err(), Error::Queued { requested: KIB });
    drop(theirs);
    for _ in 0..GETS {
        drop(tenant.try_get(4 * KIB).expect("within the minimum"));
    }
    assert!(waiting.woken().is_none(), "what was reserved is not for others");
    drop(held);
    drop(waiting.served());
}

#[test]
fn where_a_line_was_caches_fill_again() {
    let budget = Budget::new(4 * KIB);
    let (pool, held, waiting) = with_a_line(&budget);
    let other = pool_on(&budget);
    let (orders, to_do) = mpsc::channel::<()>();
    let (done, calm) = mpsc::channel();
    thread::scope(|scope| {
        let (pool, other) = (&pool, &other);
        // A thread that had a cache before the line, and one of its own afterwards.
        let attached = scope.spawn(move || {
            pool.attach_thread();
            for () in to_do {
                assert_hits(pool);
                done.send(()).unwrap();
            }
        });
        drop(held);
        drop(waiting.served());
        for pool in [pool, other] {
            for _ in 0..CALM {
                drop(pool.get(Capacity(KIB)));
            }
            assert_hits(pool);
            budget.trim(0);
        }
        orders.send(()).unwrap();
        calm.recv().unwrap();
        drop(orders);
        // Joined, not only left by the scope, so that its cache has come home.
        attached.join().unwrap();
    });
    // And a line may form again.
    let held = pool.get_many([KIB; 4]);
    let waiting = Waiting::stand(other.acquire(4 * KIB));
    drop(held);
    drop(waiting.served());
}
