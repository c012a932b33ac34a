//! Values are charged by their weight: when they are made or adopted, and again when they come home.

#[path = "support/identities.rs"]
mod identities;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use identities::assert_identities;
use millpond::{Budget, BufferPool, Error, Pool, Reuse};

/// Weighs what it says.
#[derive(Debug, PartialEq)]
struct Weighty(usize);

impl Reuse for Weighty {
    fn reuse(&mut self, _: usize) -> bool {
        true
    }
}

fn pool_on(budget: &Budget) -> Pool<Weighty> {
    Pool::builder().budget(budget).create(|| Weighty(100)).weigh(|value| value.0).build().unwrap()
}

fn over(requested: usize, available: usize, limit: usize) -> Error {
    Error::OverBudget { requested, available, limit }
}

#[test]
fn a_value_is_charged_when_it_is_made() {
    let budget = Budget::new(1000);
    let pool = pool_on(&budget);
    let many = pool.get_many(10);
    assert_eq!((budget.used(), budget.peak()), (1000, 1000));
    assert_eq!(pool.try_get().unwrap_err(), over(100, 0, 1000));
    assert_eq!(pool.try_get_many(3).unwrap_err(), over(300, 0, 1000));
    drop(many);
    assert_eq!((budget.used(), budget.trim(0), budget.used()), (1000, 1000, 0));
    assert_identities(&pool.stats());
}

#[test]
fn without_weigh_it_is_charged_its_size() {
    let budget = Budget::new(3 * size_of::<Vec<u8>>() + 1);
    let pool = Pool::builder().budget(&budget).create(|| Vec::<u8>::with_capacity(5000)).build().unwrap();
    let many = pool.get_many(3);
    assert_eq!(pool.try_get().unwrap_err(), over(size_of::<Vec<u8>>(), 1, budget.limit()));
    drop(many);
    assert_eq!(budget.used(), 3 * size_of::<Vec<u8>>());
}

#[test]
fn values_of_different_weights_are_charged_each_its_own() {
    let (budget, next) = (Budget::new(1 << 20), AtomicUsize::new(0));
    let create = move || Weighty(next.fetch_add(7, SeqCst));
    let pool = Pool::builder().budget(&budget).create(create).weigh(|value: &Weighty| value.0).build().unwrap();
    let (one, many) = (pool.get(), pool.get_many(9));
    assert_eq!(budget.used(), (0..10).map(|n| 7 * n).sum());
    drop((one, many));
    budget.trim(0);
    assert_eq!((budget.used(), pool.stats().footprint), (0, 0));
}

/// What a value weighs is known when it is there: then more has to give way than was thought.
#[test]
fn the_first_value_makes_others_give_way_to_its_whole_weight() {
    for many in [false, true] {
        let budget = Budget::new(2048);
        let bytes = BufferPool::builder().budget(&budget).prefill(1024, 2).build().unwrap();
        let create = || Weighty(1500);
        let pool = Pool::builder().budget(&budget).create(create).weigh(|value: &Weighty| value.0).build().unwrap();
        if many {
            assert_eq!(pool.try_get_many(1).unwrap()[0].0, 1500);
        } else {
            assert_eq!(pool.try_get().unwrap().0, 1500);
        }
        assert_eq!((budget.used(), bytes.stats().footprint), (1500, 0));
    }
}

#[test]
fn a_value_too_heavy_is_refused_with_its_weight() {
    let budget = Budget::new(1000);
    let create = || Weighty(1500);
    let pool = Pool::builder().budget(&budget).create(create).weigh(|value: &Weighty| value.0).build().unwrap();
    assert_eq!(pool.try_get().unwrap_err(), Error::NeverFits { requested: 1500, limit: 1000 });
    assert_eq!((budget.used(), pool.stats().footprint), (0, 0));
}

#[test]
fn a_value_is_charged_when_it_is_adopted() {
    let budget = Budget::new(1000);
    let pool = pool_on(&budget);
    let adopted = pool.adopt(Weighty(700));
    assert_eq!(pool.try_adopt(Weighty(301)).unwrap_err(), (Weighty(301), over(301, 300, 1000)));
    let second = pool.try_adopt(Weighty(300)).unwrap();
    drop(adopted);
    // The idle one gives way.
    assert_eq!(pool.try_adopt(Weighty(1)).unwrap().0, 1);
    drop(second);
    assert_eq!(budget.used(), 301);
}

#[test]
fn a_returned_value_is_weighed_again() {
    let budget = Budget::new(1000);
    let pool = pool_on(&budget);
    for weight in [100, 900, 1000, 3, 0, 500] {
        let mut value = pool.get();
        value.0 = weight;
        drop(value);
        assert_eq!((budget.used(), pool.stats().footprint), (weight, 1));
    }
    let mut batch = pool.get_many(3);
    batch.iter_mut().for_each(|value| value.0 = 10);
    drop(batch);
    assert_eq!((budget.used(), pool.trim(0), budget.used()), (30, 30, 0));
}

#[test]
fn a_returned_value_that_has_grown_too_much_is_dropped() {
    let budget = Budget::new(1000);
    let pool = pool_on(&budget);
    let mut batch = pool.get_many(3);
    batch.iter_mut().for_each(|value| value.0 = 450);
    drop(batch);
    // 450 + 450, and the third is let go of.
    assert_eq!((budget.used(), pool.stats().footprint), (900, 2));
    let mut value = pool.get();
    value.0 = 551;
    drop(value);
    assert_eq!((budget.used(), pool.stats().footprint), (450, 1));
    assert_identities(&pool.stats());
}

#[test]
fn a_detached_value_is_the_budgets_no_more() {
    let budget = Budget::new(1000);
    let pool = pool_on(&budget);
    let mut value = pool.get();
    value.0 = 5000;
    assert_eq!(budget.used(), 100, "as long as it is out, what it was");
    assert_eq!(value.detach(), Weighty(5000));
    assert_eq!((budget.used(), pool.stats().footprint), (0, 0));
}

#[test]
fn values_that_come_home_to_no_pool_are_released() {
    let budget = Budget::new(1000);
    let pool = pool_on(&budget);
    let mut values = [pool.get(), pool.get(), pool.get()];
    values[0].0 = 900;
    drop(pool);
    assert_eq!(budget.used(), 300);
    drop(values);
    assert_eq!(budget.used(), 0);
}

/// What weighing panics at.
const UNWEIGHABLE: usize = 666;

/// Whether the work panicked as it was told to.
fn panics(work: impl FnOnce()) -> bool {
    catch_unwind(AssertUnwindSafe(work)).is_err_and(|panic| panic.downcast_ref() == Some(&UNWEIGHABLE))
}

#[test]
fn a_weigh_that_panics_loses_nothing() {
    let (budget, weight) = (Budget::new(1000), Arc::new(AtomicUsize::new(100)));
    let next = weight.clone();
    let weigh = |value: &Weighty| if value.0 == UNWEIGHABLE { resume_unwind(Box::new(UNWEIGHABLE)) } else { value.0 };
    let create = move || Weighty(next.load(SeqCst));
    let pool = Pool::builder().budget(&budget).create(create).weigh(weigh).build().unwrap();
    let (mut returned, mut batch) = (pool.get(), pool.get_many(3));
    assert_eq!(budget.used(), 400);
    weight.store(UNWEIGHABLE, SeqCst);
    assert!(panics(|| drop(pool.try_get())));
    assert!(panics(|| drop(pool.try_get_many(2))));
    assert!(panics(|| drop(pool.try_adopt(Weighty(UNWEIGHABLE)))));
    assert_eq!(budget.used(), 400);
    (returned.0, batch[1].0) = (UNWEIGHABLE, UNWEIGHABLE);
    assert!(panics(|| drop(returned)));
    assert_eq!((budget.used(), pool.stats().footprint), (300, 3));
    assert!(panics(|| drop(batch)));
    assert_eq!((budget.used(), pool.stats().footprint, pool.stats().outstanding), (200, 2, 0));
    weight.store(100, SeqCst);
    drop(pool.get_many(10));
    assert_eq!((budget.trim(0), budget.used(), pool.stats().footprint), (1000, 0, 0));
}

/// A value that weighs more than there may ever be is refused by itself; the next may be lighter.
#[test]
fn a_value_that_never_fits_spoils_nothing() {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
    let size = Arc::new(AtomicUsize::new(1000));
    let made = size.clone();
    let pool = Pool::builder()
        .create(move || Vec::<u8>::with_capacity(made.load(Relaxed)))
        .weigh(Vec::capacity)
        .budget(&Budget::new(100))
        .build()
        .unwrap();
    let never = Error::NeverFits { requested: 1000, limit: 100 };
    assert_eq!(pool.try_get().unwrap_err(), never);
    assert_eq!(pool.acquire().wait().unwrap_err(), never);
    size.store(10, Relaxed);
    assert_eq!(pool.acquire().wait().unwrap().capacity(), 10);
}
