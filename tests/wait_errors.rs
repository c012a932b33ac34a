//! Why a wait ends without a handle, with the numbers.

#[path = "support/waiting.rs"]
mod waiting;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;
use std::time::{Duration, Instant};

use millpond::{Budget, BufferPool, Error, Pool};
use waiting::Waiting;

const KIB: usize = 1024;
const SHORT: Duration = Duration::from_millis(20);

fn pool_of(limit: usize) -> BufferPool {
    BufferPool::builder().size_classes([KIB, 4 * KIB]).max_memory(limit).build().unwrap()
}

fn timed_out(error: Option<Error>) -> (usize, Duration) {
    match error {
        Some(Error::TimedOut { requested, waited }) => (requested, waited),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_time_is_up() {
    let pool = pool_of(4 * KIB);
    let held = pool.get(KIB);
    let began = Instant::now();
    let (requested, waited) = timed_out(pool.acquire(4 * KIB).wait_timeout(SHORT).err());
    assert!(requested == 4 * KIB && waited >= SHORT && waited <= began.elapsed());
    let (requested, waited) = timed_out(pool.acquire_many([900; 4]).wait_deadline(Instant::now() + SHORT).err());
    // What was asked for, not what it would have cost.
    assert!(requested == 3600 && waited < began.elapsed());
    let values = Pool::<Vec<u8>>::builder().max_objects(2).build().unwrap();
    let both = values.get_many(2);
    assert_eq!(timed_out(values.acquire().wait_timeout(SHORT).err()).0, 1);
    assert_eq!(timed_out(values.acquire_many(2).wait_timeout(SHORT).err()).0, 2);
    // Nobody stands in line any more.
    assert!(matches!(pool.try_get(4 * KIB), Err(Error::OverBudget { available, .. }) if available == 3 * KIB));
    drop((held, both));
    assert!(pool.try_get(4 * KIB).is_ok() && values.try_get_many(2).is_ok());
}

#[test]
fn no_time_is_one_try() {
    let pool = pool_of(KIB);
    let held = pool.get(KIB);
    let began = Instant::now();
    for deadline in [began, began.checked_sub(SHORT).unwrap_or(began)] {
        assert_eq!(timed_out(pool.acquire(KIB).wait_deadline(deadline).err()).0, KIB);
    }
    assert_eq!(timed_out(pool.acquire(KIB).wait_timeout(Duration::ZERO).err()).0, KIB);
    drop(held);
    assert!(pool.acquire(KIB).wait_timeout(Duration::ZERO).is_ok());
    assert!(pool.acquire(KIB).wait_deadline(began).is_ok());
}

#[test]
fn a_time_that_never_comes() {
    let pool = pool_of(KIB);
    let held = pool.get(KIB);
    let other = thread::spawn(move || {
        thread::sleep(SHORT);
        drop(held);
    });
    assert!(pool.acquire(KIB).wait_timeout(Duration::MAX).is_ok());
    other.join().unwrap();
}

#[test]
fn more_than_there_may_ever_be() {
    let all = Budget::new(16 * KIB);
    let pool = BufferPool::builder().size_classes([KIB, 4 * KIB]).budget(&all).max_memory(6 * KIB).build().unwrap();
    let held = pool.get_many([KIB; 6]);
    let never = |requested, limit| Some(Error::NeverFits { requested, limit });
    // In bytes as the classes round them, and at once, be there ever so little.
    assert_eq!(pool.acquire_many([2000, 2000]).wait().err(), never(8 * KIB, 6 * KIB));
    assert_eq!(pool.acquire(7 * KIB).wait().err(), never(8 * KIB, 6 * KIB));
    all.set_limit(2 * KIB);
    assert_eq!(pool.acquire(4 * KIB).wait().err(), never(4 * KIB, 2 * KIB));
    drop(held);
    let values = Pool::<Vec<u8>>::builder().max_objects(3).build().unwrap();
    assert_eq!(values.acquire_many(4).wait().err(), never(4, 3));
    assert!(values.acquire_many(3).wait().is_ok());
}

#[test]
fn less_than_was_waited_for() {
    let budget = Budget::new(8 * KIB);
    let pool = BufferPool::builder().size_classes([KIB, 4 * KIB]).budget(&budget).build().unwrap();
    let held = pool.get_many([4 * KIB, 4 * KIB]);
    let large = Waiting::stand(pool.acquire_many([4 * KIB, KIB]));
    let mut fits = Waiting::stand(pool.acquire(4 * KIB));
    let also = Waiting::stand(pool.acquire_many([KIB, 4 * KIB]));
    budget.set_limit(4 * KIB);
    assert_eq!(large.refused(), Error::NeverFits { requested: 5 * KIB, limit: 4 * KIB });
    assert_eq!((fits.rung(), also.rung()), (0, 0), "it is not their turn");
    drop(held);
    drop(fits.woken().expect("it came home").unwrap());
    assert_eq!(also.refused(), Error::NeverFits { requested: 5 * KIB, limit: 4 * KIB });
}

#[test]
fn a_closed_pool() {
    let budget = Budget::new(4 * KIB);
    let [pool, other] =
        [(); 2].map(|()| BufferPool::builder().size_classes([KIB, 4 * KIB]).budget(&budget).build().unwrap());
    let held = pool.get(KIB);
    let line = [(); 20].map(|()| Waiting::stand(pool.acquire(4 * KIB)));
    let behind = Waiting::stand(other.acquire(KIB));
    pool.close();
    assert!(line.into_iter().all(|waiting| waiting.refused() == Error::Closed));
    drop(behind.served());
    assert_eq!(pool.acquire(KIB).wait().err(), Some(Error::Closed));
    assert_eq!(pool.acquire_many([KIB]).wait().err(), Some(Error::Closed));
    drop(held);
    let values = Pool::<Vec<u8>>::builder().max_objects(1).build().unwrap();
    let value = values.get();
    let first = Waiting::stand(values.acquire());
    let second = Waiting::stand(values.acquire());
    drop(value);
    let theirs = values.clone();
    thread::spawn(move || theirs.close()).join().unwrap();
    // What was handed over before may be fetched.
    drop(first.served());
    assert_eq!(second.refused(), Error::Closed);
    assert_eq!(values.acquire().wait().err(), Some(Error::Closed));
    assert_eq!(values.stats().footprint, 0);
}

#[test]
fn what_no_wait_changes() {
    let pool = BufferPool::builder().max_memory(KIB).max_request(4 * KIB).build().unwrap();
    let held = pool.get(KIB);
    let too_large = Some(Error::TooLarge { requested: 4 * KIB + 1, limit: 4 * KIB });
    assert_eq!(pool.acquire(4 * KIB + 1).wait().err(), too_large);
    assert_eq!(pool.acquire_many([KIB, 4 * KIB + 1]).wait().err(), too_large);
    drop(held);
}

#[test]
fn a_value_that_cannot_be_made() {
    let create = || "none".parse::<u32>().map(|number| vec![number]);
    let pool = Pool::builder().try_create(create).max_objects(1).build().unwrap();
    assert!(matches!(pool.acquire().wait(), Err(Error::Create(_))));
    let held = pool.try_adopt(vec![1]).ok().unwrap();
    let line = [(); 3].map(|()| Waiting::stand(pool.acquire()));
    drop(held.detach());
    let mut errors = line.into_iter().map(|waiting| waiting.refused());
    assert!(
        errors.all(|error| matches!(error, Error::Create(error) if error.get_ref().is::<std::num::ParseIntError>()))
    );
    assert_eq!(pool.stats().waiters, 0);
}

#[test]
#[should_panic(expected = "after it was done")]
fn a_poll_too_many() {
    let pool = pool_of(KIB);
    let held = pool.get(KIB);
    let mut waiting = Waiting::stand(pool.acquire(KIB));
    drop(held);
    assert!(waiting.woken().is_some());
    // It panics, which the result cannot tell.
    let _ = waiting.poll();
}

#[test]
fn a_poll_too_many_harms_nobody() {
    let pool = pool_of(KIB);
    let held = pool.get(KIB);
    let mut first = Waiting::stand(pool.acquire(KIB));
    let second = Waiting::stand(pool.acquire(KIB));
    drop(held);
    let buf = first.woken();
    assert!(catch_unwind(AssertUnwindSafe(|| first.poll().is_ready())).is_err());
    drop((first, buf));
    drop(second.served());
}
