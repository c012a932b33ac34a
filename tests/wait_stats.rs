//! What statistics say of those who wait, and that gets add up with what is handed over.

#[path = "support/identities.rs"]
mod identities;
#[path = "support/waiting.rs"]
mod waiting;

use std::thread;
use std::time::{Duration, Instant};

use identities::assert_identities;
use millpond::{BufferPool, Overflow, Pool, Recycled, Stats};
use waiting::Waiting;

const KIB: usize = 1024;
const NAP: Duration = Duration::from_millis(15);

fn pool_of(limit: usize) -> BufferPool {
    BufferPool::builder().size_classes([KIB, 4 * KIB]).max_memory(limit).build().unwrap()
}

fn counts(stats: &Stats) -> (u64, u64) {
    (stats.waiters, stats.waits)
}

#[test]
fn who_waits_is_counted_until_it_is_done_or_gives_up() {
    let pool = pool_of(2 * KIB);
    let held = pool.get_many([KIB; 2]);
    drop(pool.acquire(KIB));
    assert_eq!(counts(&pool.stats()), (0, 0));
    let first = Waiting::stand(pool.acquire(KIB));
    let both = Waiting::stand(pool.acquire_many([KIB; 2]));
    let third = Waiting::stand(pool.acquire(KIB));
    // Others that never stand in line.
    assert!(pool.try_get(KIB).is_err() && pool.acquire(8 * KIB).wait().is_err());
    assert_eq!(counts(&pool.stats()), (3, 3));
    drop(both);
    assert_eq!(counts(&pool.stats()), (2, 3));
    drop(held);
    // Granted, and not fetched.
    assert_eq!(counts(&pool.stats()), (2, 3));
    let first = first.served();
    assert_eq!(counts(&pool.stats()), (1, 3));
    drop(third);
    drop(first);
    drop(pool.acquire(KIB).wait().unwrap());
    assert_eq!(counts(&pool.stats()), (0, 3));
}

#[test]
fn the_time_of_all_and_of_the_longest() {
    let pool = pool_of(KIB);
    assert_eq!((pool.stats().waited, pool.stats().longest_wait), (Duration::ZERO, Duration::ZERO));
    let began = Instant::now();
    let held = pool.get(KIB);
    let long = Waiting::stand(pool.acquire(KIB));
    thread::sleep(NAP);
    assert_eq!(pool.stats().waited, Duration::ZERO, "of those who wait no more");
    let short = Waiting::stand(pool.acquire(KIB));
    thread::sleep(NAP);
    drop(held);
    let held = long.served();
    let first = pool.stats();
    assert!(first.waited == first.longest_wait && first.waited >= 2 * NAP && first.waited <= began.elapsed());
    drop(held);
    drop(short);
    let second = pool.stats();
    assert_eq!(second.longest_wait, first.longest_wait);
    assert!(second.waited >= 3 * NAP && second.waited <= 2 * began.elapsed());
    // A wait that was in vain is one, too.
    let held = pool.get(KIB);
    assert!(pool.acquire(KIB).wait_timeout(NAP).is_err());
    drop(held);
    let third = pool.stats();
    assert!(third.waited > second.waited);
    assert_eq!((third.waits, third.waiters), (3, 0));
}

#[test]
fn what_is_handed_over_is_a_get() {
    let pool = pool_of(3 * KIB);
    let mut held: Vec<_> = (0..3).map(|_| pool.get(Recycled(KIB))).collect();
    let line = [(); 6].map(|()| Waiting::stand(pool.acquire(Recycled(KIB))));
    let batch = Waiting::stand(pool.acquire_many([Recycled(KIB); 3]));
    for waiting in line {
        held.remove(0);
        held.push(waiting.served());
    }
    assert_identities(&pool.stats());
    held.clear();
    drop(batch.served());
    let stats = pool.stats();
    assert_identities(&stats);
    assert_eq!((stats.gets, stats.fresh, stats.handed_over, stats.classes[0].handed_over), (12, 3, 9, 9));
    assert_eq!((stats.waits, stats.waiters, stats.outstanding), (7, 0, 0));
}

#[test]
fn memory_that_was_waited_for_is_fresh() {
    let pool = pool_of(4 * KIB);
    let held = pool.get_many([KIB; 4]);
    let waiting = Waiting::stand(pool.acquire(4 * KIB));
    drop(held);
    drop(waiting.served());
    let stats = pool.stats();
    assert_identities(&stats);
    assert_eq!((stats.gets, stats.fresh, stats.handed_over, stats.waits), (5, 5, 0, 1));
}

#[test]
fn values_that_are_handed_over_and_those_outside_the_limit() {
    let pool =
        Pool::<Vec<u8>>::builder().create(|| vec![1]).max_objects(2).overflow(Overflow::Unpooled).build().unwrap();
    let mut held: Vec<_> = pool.get_many(2).into_iter().collect();
    let waiting = Waiting::stand(pool.acquire());
    let outside = pool.get();
    drop(outside);
    held.pop();
    drop(waiting.served());
    let stats = pool.stats();
    assert_identities(&stats);
    assert_eq!((stats.gets, stats.fresh, stats.handed_over, stats.unpooled, stats.waits), (4, 2, 1, 1, 1));
}
