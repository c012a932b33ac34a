//! Callbacks at pressure run without a lock: they may use pools and budgets as anybody may.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::thread;

use millpond::{Budget, BufferPool, BufferPoolBuilder, BuildError, Error, Pool, PooledBuf};

const KIB: usize = 1 << 10;

fn on(budget: &Budget) -> BufferPoolBuilder {
    BufferPool::builder().budget(budget)
}

fn over(requested: usize, available: usize, limit: usize) -> Error {
    Error::OverBudget { requested, available, limit }
}

/// Has a callback called as long as the result lives.
fn at_pressure<T: Send + Sync + 'static>(
    budget: &Budget,
    state: T,
    callback: impl Fn(&T, usize) -> usize + Send + Sync + 'static,
) -> Arc<T> {
    let state = Arc::new(state);
    let weak = Arc::downgrade(&state);
    budget.on_pressure(move |needed| weak.upgrade().map_or(0, |state| callback(&state, needed)));
    state
}

#[test]
fn they_are_asked_in_order_until_enough_is_freed() {
    let budget = Budget::new(8 * KIB);
    let child = budget.child(8 * KIB);
    let pool = on(&child).max_idle(0).build().unwrap();
    let asked = Arc::<Mutex<Vec<_>>>::default();
    let held = Arc::new(Mutex::new(pool.get_many([KIB; 8]).into_iter().collect::<Vec<PooledBuf>>()));
    for (place, at) in [(1, &child), (2, &budget), (3, &budget)] {
        let (asked, held) = (asked.clone(), Arc::downgrade(&held));
        at.on_pressure(move |needed| {
            asked.lock().unwrap().push((place, needed));
            held.upgrade().and_then(|held| held.lock().unwrap().pop()).map_or(0, |buf| buf.capacity())
        });
    }
    let other = on(&budget).build().unwrap();
    let first = other.try_get(2 * KIB).unwrap();
    // Those of the budget that refused come first, then those below it.
    assert_eq!(*asked.lock().unwrap(), [(2, 2 * KIB), (3, KIB)]);
    asked.lock().unwrap().clear();
    let second = other.try_get(3 * KIB).unwrap();
    assert_eq!(*asked.lock().unwrap(), [(2, 3 * KIB), (3, 2 * KIB), (1, KIB)]);
    assert_eq!((budget.used(), child.used()), (8 * KIB, 3 * KIB));
    asked.lock().unwrap().clear();
    child.set_limit(3 * KIB);
    // The child's own limit is no matter of its parent.
    assert_eq!(pool.try_get(6 * KIB).unwrap_err(), over(6 * KIB, KIB, 3 * KIB));
    assert_eq!(*asked.lock().unwrap(), [(1, 6 * KIB)]);
    drop((first, second));
}

#[test]
fn they_may_use_pools_and_budgets() {
    let budget = Budget::new(8 * KIB);
    let (pool, values) = (on(&budget).build().unwrap(), Pool::<Vec<u8>>::builder().budget(&budget).build().unwrap());
    let held = Mutex::new(Some(pool.get_many([KIB; 4])));
    let state = (budget.clone(), pool.clone(), values, held);
    let state = at_pressure(&budget, state, |(budget, pool, values, held), needed| {
        assert_eq!((budget.used(), budget.available(), needed), (4 * KIB, 4 * KIB, 4 * KIB));
        drop(held.lock().unwrap().take());
        drop(pool.get(KIB));
        values.get().push(1);
        let child = budget.child_reserving(KIB, KIB).unwrap();
        child.on_pressure(|_| 0);
        assert!(budget.to_string().contains("idle") && pool.stats().idle_in_caches > 0);
        drop(child);
        values.trim(0);
        pool.trim(KIB)
    });
    assert_eq!(pool.try_get(8 * KIB).unwrap().len(), 8 * KIB);
    assert!(state.3.lock().unwrap().is_none());
}

#[test]
fn a_shortage_of_their_own_asks_none() {
    let budget = Budget::new(4 * KIB);
    let pool = on(&budget).build().unwrap();
    let state = (pool.clone(), AtomicUsize::new(0));
    let state = at_pressure(&budget, state, |(pool, asked), _| {
        asked.fetch_add(1, SeqCst);
        assert_eq!(pool.try_get(8 * KIB).unwrap_err(), over(8 * KIB, 4 * KIB, 4 * KIB));
        // On another thread it is a shortage of its own.
        if asked.load(SeqCst) == 1 {
            let pool = pool.clone();
            thread::spawn(move || pool.try_get(8 * KIB).unwrap_err()).join().unwrap();
        }
        0
    });
    assert_eq!(pool.try_get(6 * KIB).unwrap_err(), over(6 * KIB, 4 * KIB, 4 * KIB));
    assert_eq!(state.1.load(SeqCst), 2);
    assert!(pool.try_get(6 * KIB).is_err());
    assert_eq!(state.1.load(SeqCst), 3, "the next time they are asked again");
}

#[test]
fn what_they_say_is_not_believed() {
    let budget = Budget::new(4 * KIB);
    let pool = on(&budget).build().unwrap();
    budget.on_pressure(|_| usize::MAX);
    let child = budget.child(KIB);
    child.on_pressure(|_| usize::MAX);
    let held = pool.get_many([KIB; 3]);
    assert_eq!(pool.try_get_many([2 * KIB, KIB]).unwrap_err(), over(2 * KIB, KIB, 4 * KIB));
    let refused = BuildError::OverBudget { requested: 2 * KIB, available: KIB, limit: 4 * KIB };
    assert_eq!(budget.child_reserving(2 * KIB, 2 * KIB).unwrap_err(), refused);
    assert_eq!((budget.used(), budget.peak()), (3 * KIB, 3 * KIB));
    drop(held);
}

#[test]
fn a_panic_goes_on_and_loses_nothing() {
    struct Meant;
    let budget = Budget::new(4 * KIB);
    let pool = on(&budget).build().unwrap();
    let values = Pool::builder().budget(&budget).create(|| vec![0_u8]).weigh(|_| KIB).build().unwrap();
    let armed = at_pressure(&budget, (), |(), _| resume_unwind(Box::new(Meant)));
    let held = pool.get_many([KIB; 3]);
    let tries: [&dyn Fn(); 5] = [
        &|| drop(pool.try_get(2 * KIB)),
        &|| drop(pool.try_get_many([KIB, 2 * KIB])),
        &|| drop(values.try_get_many(2)),
        &|| drop(pool.copy_from(&[1; KIB]).try_reserve(4 * KIB)),
        &|| drop(budget.child_reserving(2 * KIB, 2 * KIB)),
    ];
    for attempt in tries {
        let panic = catch_unwind(AssertUnwindSafe(attempt)).unwrap_err();
        assert!(panic.is::<Meant>());
        budget.trim(0);
        assert_eq!((budget.used(), pool.stats().outstanding, values.stats().outstanding), (3 * KIB, 3 * KIB as u64, 0));
    }
    drop(armed);
    assert_eq!(pool.try_get(2 * KIB).unwrap_err(), over(2 * KIB, KIB, 4 * KIB));
    drop(held);
    assert_eq!((budget.trim(0), budget.used()), (3 * KIB, 0));
}
