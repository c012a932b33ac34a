//! Values that panic when they are made ready, or dropped: they are discarded, nothing is lost or dropped twice, and the
//! panic reaches whoever may still be told.

#[path = "support/identities.rs"]
mod identities;
#[path = "support/values.rs"]
mod values;

use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::sync::{Arc, Once};
use std::thread;

use identities::assert_identities;
use millpond::{Budget, BufferPool, Pool};
use values::{Fate, Panics, Value};

fn pool() -> (Pool<Value>, Arc<Fate>) {
    // The panics of these tests are meant; others are still printed.
    static QUIET: Once = Once::new();
    QUIET.call_once(|| {
        let loud = take_hook();
        set_hook(Box::new(move |panic| {
            let text = panic.payload().downcast_ref::<String>().map_or("", |text| text);
            if !is_meant(text) && panic.payload().downcast_ref() != Some(&"unrelated") {
                loud(panic);
            }
        }));
    });
    let fate: Arc<Fate> = Arc::default();
    let make = fate.clone();
    (Pool::builder().create(move || Value::new(&make)).build().unwrap(), fate)
}

fn is_meant(text: &str) -> bool {
    text.starts_with("reuse of value") || text.starts_with("drop of value")
}

/// What the work panicked with.
fn panic_of(work: impl FnOnce()) -> Option<String> {
    catch_unwind(AssertUnwindSafe(work)).err().map(|panic| panic.downcast_ref::<String>().unwrap().clone())
}

fn assert_usable(pool: &Pool<Value>, fate: &Fate) {
    let stats = pool.stats();
    assert_identities(&stats);
    assert_eq!((stats.outstanding, stats.footprint as isize), (0, fate.alive()), "{stats}");
    drop(pool.get_many(5));
    assert_eq!(pool.stats().outstanding, 0);
}

#[test]
fn a_reuse_that_panics_discards_the_value() {
    let (pool, fate) = pool();
    let mut value = pool.get();
    value.panics = Panics::OnReuse;
    assert_eq!(panic_of(|| drop(value)), Some("reuse of value 0".into()));
    assert_eq!(fate.alive(), 0);
    assert_usable(&pool, &fate);
}

#[test]
fn a_destructor_that_panics_is_heard_of() {
    let (pool, fate) = pool();
    let mut value = pool.get();
    (value.keep, value.panics) = (false, Panics::OnDrop);
    assert_eq!(panic_of(|| drop(value)), Some("drop of value 0".into()));
    assert_eq!(fate.alive(), 0);
    assert_usable(&pool, &fate);
}

#[test]
fn when_both_panic_the_first_is_heard_of() {
    let (pool, fate) = pool();
    let mut value = pool.get();
    value.panics = Panics::OnBoth;
    assert_eq!(panic_of(|| drop(value)), Some("reuse of value 0".into()));
    assert_eq!(fate.alive(), 0);
    assert_usable(&pool, &fate);
}

#[test]
fn a_panic_of_a_thread_that_panics_already_is_not_another() {
    let (pool, fate) = pool();
    let mut value = pool.get();
    (value.keep, value.panics) = (false, Panics::OnDrop);
    let panic = catch_unwind(AssertUnwindSafe(|| {
        let _value = value;
        panic!("unrelated");
    }));
    assert_eq!(panic.unwrap_err().downcast_ref(), Some(&"unrelated"));
    assert_eq!(fate.alive(), 0);
    assert_usable(&pool, &fate);
}

#[test]
fn destructors_of_idle_values_all_run_when_the_pool_goes() {
    for close in [false, true] {
        let (pool, fate) = pool();
        let mut many = pool.get_many(100);
        many.iter_mut().step_by(3).for_each(|value| value.panics = Panics::OnDrop);
        drop(many);
        thread::scope(|scope| {
            let cached_elsewhere = || drop(pool.get_many(10));
            scope.spawn(cached_elsewhere).join().unwrap();
        });
        let panic = panic_of(|| if close { pool.close() } else { drop(pool) });
        assert!(panic.is_some_and(|text| text.starts_with("drop of value")));
        assert_eq!(fate.alive(), 0, "all dropped, each once");
    }
}

#[test]
fn values_that_come_home_to_a_closed_pool() {
    let (pool, fate) = pool();
    drop(pool.get());
    let mut many: Vec<_> = (0..9).map(|_| pool.get()).collect();
    many.iter_mut().for_each(|value| value.panics = Panics::OnDrop);
    pool.close();
    for (left, value) in many.into_iter().enumerate() {
        assert!(panic_of(|| drop(value)).is_some(), "value {left}");
    }
    assert_eq!(fate.alive(), 0);
}

#[test]
fn a_batch_loses_none_when_one_panics() {
    for panics in [Panics::OnReuse, Panics::OnDrop] {
        let (pool, fate) = pool();
        let mut many = pool.get_many(100);
        (many[50].panics, many[50].keep) = (panics, false);
        assert!(panic_of(|| drop(many)).is_some());
        assert_eq!(fate.alive(), 99);
        assert_usable(&pool, &fate);
    }
}

#[test]
fn values_beyond_max_idle() {
    let fate: Arc<Fate> = Arc::default();
    let make = fate.clone();
    let pool = Pool::builder().create(move || Value::new(&make)).max_idle(10).build().unwrap();
    let mut many: Vec<_> = (0..50).map(|_| pool.get()).collect();
    many.iter_mut().for_each(|value| value.panics = Panics::OnDrop);
    let heard = many.into_iter().filter_map(|value| panic_of(|| drop(value))).count();
    assert!((1..=40).contains(&heard), "{heard} of at least 40 panics");
    assert_eq!(pool.stats().footprint as isize, fate.alive());
    assert!(fate.alive() <= 10);
    assert!(panic_of(|| drop(pool)).is_some());
    assert_eq!(fate.alive(), 0);
}

#[test]
fn the_end_of_a_thread_survives_panicking_destructors() {
    let (pool, fate) = pool();
    let closed = pool.clone();
    thread::spawn(move || {
        let mut value = closed.get();
        value.panics = Panics::OnDrop;
        drop(value);
        // What this thread caches from now on is dropped as it ends.
        let mut second = closed.get();
        second.panics = Panics::OnDrop;
        let third = closed.get();
        closed.close();
        assert!(panic_of(|| drop(second)).is_some());
        drop(third);
    })
    .join()
    .unwrap();
    assert_eq!(fate.alive(), 0);
    drop(pool);
}

#[test]
fn a_frozen_value_that_panics() {
    let (pool, fate) = pool();
    let mut value = pool.get();
    value.panics = Panics::OnReuse;
    let first = value.freeze();
    let second = first.clone();
    drop(first);
    assert_eq!(panic_of(|| drop(second)), Some("reuse of value 0".into()));
    assert_eq!(fate.alive(), 0);
    assert_usable(&pool, &fate);
}

/// Something that `create` has captured, and that panics when it goes.
struct Last(Arc<Fate>);

impl Drop for Last {
    fn drop(&mut self) {
        let mut value = Value::new(&self.0);
        value.panics = Panics::OnDrop;
    }
}

#[test]
fn what_create_captured_panics_after_the_last_value_is_gone() {
    let fate = pool().1;
    let last = Last(fate.clone());
    let pool = Pool::builder().create(move || Value::new(&last.0)).build().unwrap();
    let value = pool.get();
    drop(pool);
    assert_eq!(panic_of(|| drop(value)), Some("drop of value 1".into()));
    assert_eq!(fate.alive(), 0);
}

#[test]
fn a_closure_of_get_with_that_panics_returns_the_value() {
    let (pool, fate) = pool();
    assert!(catch_unwind(AssertUnwindSafe(|| drop(pool.get_with(|_| panic!("unrelated"))))).is_err());
    assert_eq!((fate.alive(), fate.reused()), (1, 1));
    assert_usable(&pool, &fate);
}

type GiveWay = dyn Fn(&Budget, &BufferPool);

/// Whoever makes a value go hears of its destructor's panic, and nobody later.
#[test]
fn idle_values_that_panic_when_they_give_way() {
    const WEIGHT: usize = 100;
    let give_way: [&GiveWay; 5] = [
        &|budget, _| budget.set_limit(0),
        &|budget, _| assert!(budget.trim(0) > 0),
        &|budget, _| drop(budget.child_reserving(1000, 1000)),
        &|_, bytes| drop(bytes.try_get(1000)),
        &|_, bytes| drop(bytes.try_get_many([256; 3])),
    ];
    for (number, give_way) in give_way.into_iter().enumerate() {
        let (budget, fate) = (Budget::new(1000), Arc::<Fate>::default());
        let (_, make) = (pool(), fate.clone());
        let values = Pool::builder().budget(&budget).create(move || Value::new(&make)).weigh(|_| WEIGHT);
        let values = values.build().unwrap();
        let bytes = BufferPool::builder().budget(&budget).size_classes([256, 1000]).alignment(8).build().unwrap();
        let mut many = values.get_many(9);
        many.iter_mut().for_each(|value| value.panics = Panics::OnDrop);
        drop(many);
        let panicked = panic_of(|| give_way(&budget, &bytes));
        assert!(panicked.is_some_and(|text| text.starts_with("drop of value")), "number {number}");
        let stats = [bytes.stats(), values.stats()];
        assert_eq!((stats[0].outstanding, stats[1].footprint as isize), (0, fate.alive()), "number {number}");
        let charged = stats[0].footprint as usize + fate.alive() as usize * WEIGHT;
        assert_eq!(budget.used(), charged, "number {number}");
        let is_left = fate.alive() > 0;
        assert_eq!(panic_of(|| assert_eq!(values.trim(0), 0)).is_some(), is_left, "number {number}");
        assert_eq!(panic_of(|| drop(values.try_get())), None, "number {number}");
    }
}
