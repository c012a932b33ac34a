//! Who waits above a tenant's minimum is served by what comes home within it, and in the order of arrival.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use millpond::{Acquire, Budget, BufferPool, Error, PooledBuf};

const KIB: usize = 1024;

fn pool(budget: &Budget) -> BufferPool {
    BufferPool::builder().budget(budget).build().unwrap()
}

fn poll(acquire: &mut Acquire<PooledBuf>) -> Poll<Result<PooledBuf, Error>> {
    Pin::new(acquire).poll(&mut Context::from_waker(Waker::noop()))
}

fn served(acquire: &mut Acquire<PooledBuf>) -> PooledBuf {
    match poll(acquire) {
        Poll::Ready(Ok(buf)) => buf,
        other => panic!("not served: {other:?}"),
    }
}

#[test]
fn what_comes_home_within_a_minimum_serves_the_tenant() {
    let budget = Budget::new(8 * KIB);
    let tenant = budget.child_reserving(4 * KIB, 8 * KIB).unwrap();
    let (other, theirs) = (pool(&budget), pool(&tenant));
    let out = other.get(4 * KIB);
    let held = theirs.get(4 * KIB);
    let mut waiter = theirs.acquire(4 * KIB);
    assert!(poll(&mut waiter).is_pending());
    drop(held);
    assert_eq!(served(&mut waiter).len(), 4 * KIB);
    drop(out);
}

#[test]
fn nobody_overtakes_within_a_minimum() {
    let budget = Budget::new(12 * KIB);
    let tenant = budget.child_reserving(4 * KIB, 12 * KIB).unwrap();
    let (other, theirs, sibling) = (pool(&budget), pool(&tenant), pool(&tenant));
    let out = other.get(8 * KIB);
    let mut large = theirs.acquire(8 * KIB);
    assert!(poll(&mut large).is_pending());
    assert_eq!(theirs.try_get(4 * KIB).unwrap_err(), Error::Queued { requested: 4 * KIB });
    assert_eq!(sibling.try_get(4 * KIB).unwrap_err(), Error::Queued { requested: 4 * KIB });
    let mut small = sibling.acquire(4 * KIB);
    assert!(poll(&mut small).is_pending());
    drop(out);
    // Both fit now, the first because of it and the second behind the first.
    let large = served(&mut large);
    assert!(large.len() == 8 * KIB && budget.used() <= 12 * KIB);
    assert_eq!(served(&mut small).len(), 4 * KIB);
}

#[test]
fn another_tenants_waiter_in_front_does_not_keep_what_only_a_minimum_covers() {
    let budget = Budget::new(12 * KIB);
    let tenant = budget.child_reserving(4 * KIB, 12 * KIB).unwrap();
    let (other, theirs) = (pool(&budget), pool(&tenant));
    let out = other.get(8 * KIB);
    let held = theirs.get(4 * KIB);
    let (mut first, mut second) = (other.acquire(8 * KIB), theirs.acquire(4 * KIB));
    assert!(poll(&mut first).is_pending() && poll(&mut second).is_pending());
    drop(held);
    assert!(poll(&mut first).is_pending());
    assert_eq!(served(&mut second).len(), 4 * KIB);
    drop(out);
    assert_eq!(served(&mut first).len(), 8 * KIB);
}
