//! `Overflow::Unpooled`: what the budget refuses comes from outside it, is counted, and is freed when it comes home.

#[path = "support/identities.rs"]
mod identities;

use identities::assert_identities;
use millpond::{Budget, BufferPool, BufferPoolBuilder, Capacity, Error, Overflow, Pool, PoolBuilder, Recycled};

const KIB: usize = 1 << 10;

fn on(budget: &Budget) -> BufferPoolBuilder {
    BufferPool::builder().budget(budget).overflow(Overflow::Unpooled)
}

fn values_on(budget: &Budget) -> PoolBuilder<Vec<u8>> {
    Pool::builder().budget(budget).weigh(|_| KIB).overflow(Overflow::Unpooled)
}

#[test]
fn what_the_budget_refuses_is_served_and_counted() {
    let budget = Budget::new(2 * KIB);
    let pool = on(&budget).build().unwrap();
    let mut held: Vec<_> = (0..2).map(|_| pool.get(KIB)).collect();
    held.extend([pool.get(KIB), pool.get(Capacity(700)), pool.get(Recycled(300_000))]);
    assert!(held[..3].iter().all(|buf| buf[..] == [0; KIB]));
    let stats = pool.stats();
    assert_identities(&stats);
    assert_eq!((stats.gets, stats.fresh, stats.unpooled), (5, 2, 3), "{stats}");
    assert_eq!((budget.used(), budget.peak()), (2 * KIB, 2 * KIB));
    let outside = held[2..].iter().map(|buf| buf.capacity()).sum::<usize>();
    assert_eq!(stats.outstanding as usize, 2 * KIB + outside);
    held.drain(2..).for_each(drop);
    let stats = pool.stats();
    assert_eq!((stats.footprint, stats.outstanding), (2 * KIB as u64, 2 * KIB as u64), "freed, not kept");
    drop(held);
    assert_eq!((pool.stats().outstanding, budget.trim(0), budget.used()), (0, 2 * KIB, 0));
}

#[test]
fn it_is_a_last_resort() {
    let budget = Budget::new(2 * KIB);
    let (pool, other) = (on(&budget).build().unwrap(), on(&budget).prefill(KIB, 2).build().unwrap());
    drop(pool.get(2 * KIB));
    assert_eq!((pool.stats().unpooled, other.stats().footprint), (0, 0));
    // Outside the budget there are limits, too.
    let small = on(&budget).max_request(3 * KIB).build().unwrap();
    assert_eq!(small.try_get(4 * KIB).unwrap_err(), Error::TooLarge { requested: 4 * KIB, limit: 3 * KIB });
    small.close();
    assert_eq!(small.try_get(KIB).unwrap_err(), Error::Closed);
}

#[test]
fn who_waits_is_served_from_the_budget_alone() {
    let budget = Budget::new(KIB);
    let pool = on(&budget).build().unwrap();
    let never = Error::NeverFits { requested: 2 * KIB, limit: KIB };
    assert_eq!(pool.acquire(2 * KIB).wait().unwrap_err(), never);
    assert_eq!(pool.acquire_many([KIB; 2]).wait().unwrap_err(), never);
    assert_eq!(pool.stats().unpooled, 0);
}

#[test]
fn a_buffer_grows_out_of_the_budget_and_comes_back() {
    let budget = Budget::new(4 * KIB);
    let pool = on(&budget).build().unwrap();
    let mut buf = pool.copy_from(&[7; 2 * KIB]);
    buf.extend_from_slice(&[8; 2 * KIB]);
    assert_eq!((budget.used(), pool.stats().unpooled), (2 * KIB, 1), "the old place is idle");
    buf.extend_from_slice(&[9; 9 * KIB]);
    let frozen = buf.freeze();
    assert_eq!((frozen[0], frozen[3 * KIB], frozen[12 * KIB]), (7, 8, 9));
    assert_eq!(pool.stats().unpooled, 2);
    let unique = frozen.try_into_mut().unwrap();
    drop(unique);
    let stats = pool.stats();
    assert_identities(&stats);
    assert_eq!((stats.outstanding, stats.footprint), (0, 0), "the old place had to give way, in vain");
}

#[test]
fn of_a_batch_only_what_does_not_fit_is_outside() {
    let budget = Budget::new(4 * KIB);
    let pool = on(&budget).build().unwrap();
    let batch = pool.get_many([KIB, 2 * KIB, KIB, KIB, KIB]);
    assert_eq!(batch.iter().map(|buf| buf.len()).collect::<Vec<_>>(), [KIB, 2 * KIB, KIB, KIB, KIB]);
    let stats = pool.stats();
    assert_identities(&stats);
    assert_eq!((stats.fresh, stats.unpooled, budget.used()), (4, 1, 4 * KIB), "{stats}");
    drop(batch);
    assert_eq!((pool.stats().footprint, pool.stats().outstanding), (4 * KIB as u64, 0));
}

/// Where blocks are larger than their class, because of the alignment.
#[test]
fn of_a_batch_of_a_class_that_is_rounded_up() {
    let budget = Budget::new(2 * KIB);
    let pool = on(&budget).size_classes([1000]).build().unwrap();
    let batch = pool.get_many([1000; 3]);
    let stats = pool.stats();
    assert_eq!((stats.fresh, stats.unpooled, budget.used()), (2, 1, 2 * KIB), "{stats}");
    drop(batch);
    assert_eq!(pool.stats().footprint as usize, 2 * KIB);
}

#[test]
fn values_come_from_outside_the_budget() {
    let budget = Budget::new(2 * KIB);
    let pool = values_on(&budget).build().unwrap();
    let mut values: Vec<_> = (0..4).map(|_| pool.get()).collect();
    values.iter_mut().for_each(|value| value.push(1));
    let stats = pool.stats();
    assert_identities(&stats);
    assert_eq!((stats.fresh, stats.unpooled, stats.outstanding), (2, 2, 4));
    assert_eq!(budget.used(), 2 * KIB);
    values.truncate(2);
    drop(values.pop().map(|value| value.freeze()));
    drop(values);
    let stats = pool.stats();
    assert_eq!((stats.footprint, stats.outstanding, budget.used()), (2, 0, 2 * KIB));
    let batch = pool.get_many(5);
    assert_eq!((pool.stats().unpooled, budget.used()), (5, 2 * KIB));
    assert!(batch.iter().all(|value| value.is_empty()));
    drop(batch);
    assert_eq!((budget.trim(0), budget.used(), pool.stats().footprint), (2 * KIB, 0, 0));
}

#[test]
fn values_beyond_max_objects_come_from_outside() {
    let budget = Budget::new(usize::MAX);
    let pool = values_on(&budget).max_objects(2).build().unwrap();
    let mut values = pool.get_many(3);
    assert_eq!((pool.stats().unpooled, budget.used()), (1, 2 * KIB));
    values.iter_mut().for_each(|value| value.push(1));
    let first = values.into_iter().map(|value| value.detach().len()).sum::<usize>();
    assert_eq!((first, budget.used(), pool.stats().footprint), (3, 0, 0));
}

#[test]
fn they_may_outlive_their_pool() {
    let budget = Budget::new(0);
    let (pool, values) = (on(&budget).build().unwrap(), values_on(&budget).build().unwrap());
    let held = (pool.copy_from(b"still valid"), values.get_with(|value| value.push(1)));
    drop((pool, values));
    assert_eq!((&held.0[..], held.1.len(), budget.used()), (&b"still valid"[..], 1, 0));
}
