//! Memory is short: each step of the ladder serves, in its order, and a get fails only when nothing idle is left.

#[path = "support/parked.rs"]
mod parked;

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use millpond::{Budget, BufferPool, BufferPoolBuilder, Capacity, Error, Pool, PooledBuf};
use parked::Parked;

const KIB: usize = 1 << 10;

/// Few classes, for Miri's sake.
fn on(budget: &Budget) -> BufferPoolBuilder {
    BufferPool::builder().budget(budget).size_classes([
        256,
        KIB,
        2 * KIB,
        3 * KIB,
        4 * KIB,
        6 * KIB,
        8 * KIB,
        12 * KIB,
        16 * KIB,
    ])
}

fn values_on(budget: &Budget) -> Pool<Vec<u8>> {
    Pool::builder().budget(budget).create(|| Vec::with_capacity(1)).weigh(|_| KIB).build().unwrap()
}

/// A thread that sleeps with so many idle buffers in its cache.
fn parked_with(pool: &BufferPool, size: usize, count: usize) -> Parked {
    let theirs = pool.clone();
    let parked = Parked::after(move || drop(theirs.get_many(vec![Capacity(size); count])));
    assert_eq!(pool.stats().idle_in_caches as usize, size * count);
    parked
}

/// A thread that sleeps with so many idle values in its cache.
fn parked_with_values(pool: &Pool<Vec<u8>>, count: usize) -> Parked {
    let theirs = pool.clone();
    let parked = Parked::after(move || drop((0..count).map(|_| theirs.get()).collect::<Vec<_>>()));
    assert_eq!(pool.stats().idle_in_caches as usize, count);
    parked
}

fn over(requested: usize, available: usize, limit: usize) -> Error {
    Error::OverBudget { requested, available, limit }
}

#[test]
fn other_classes_in_the_pools_depot_give_way() {
    let budget = Budget::new(16 * KIB);
    let pool = on(&budget).prefill(4 * KIB, 4).build().unwrap();
    let small = pool.try_get(KIB).unwrap();
    assert_eq!((budget.used(), pool.stats().idle_in_depot), (13 * KIB, 12 * KIB as u64), "one was enough");
    assert_eq!(pool.try_get(16 * KIB).unwrap_err(), over(16 * KIB, 15 * KIB, 16 * KIB));
    assert_eq!(budget.used(), KIB, "all was tried");
    drop(small);
    assert_eq!(pool.try_get(16 * KIB).unwrap().len(), 16 * KIB);
}

#[test]
fn a_sleeping_threads_full_magazine_serves_as_it_is() {
    let budget = Budget::new(16 * KIB);
    let pool = on(&budget).build().unwrap();
    let parked = parked_with(&pool, KIB, 16);
    let all: Vec<_> = (0..16).map(|_| pool.try_get(KIB).unwrap()).collect();
    assert_eq!(pool.try_get(1).unwrap_err(), over(256, 0, 16 * KIB));
    let stats = pool.stats();
    assert_eq!((stats.stolen, stats.depot_hits + stats.cache_hits, stats.fresh), (1, 15, 16), "{stats}");
    drop(all);
    drop(parked);
}

#[test]
fn a_sleeping_threads_other_classes_give_way() {
    let budget = Budget::new(16 * KIB);
    let pool = on(&budget).build().unwrap();
    let _parked = parked_with(&pool, 4 * KIB, 4);
    let large = pool.try_get(6 * KIB).unwrap();
    assert_eq!((budget.used(), budget.peak()), (14 * KIB, 16 * KIB));
    let rest: Vec<_> = (0..2).map(|_| pool.try_get(4 * KIB).unwrap()).collect();
    assert_eq!(pool.try_get(4 * KIB).unwrap_err(), over(4 * KIB, 2 * KIB, 16 * KIB));
    drop((large, rest));
}

#[test]
fn other_pools_of_any_kind_give_way() {
    let budget = Budget::new(16 * KIB);
    let (pool, bytes, values) = (on(&budget).build().unwrap(), on(&budget).build().unwrap(), values_on(&budget));
    let _parked = [parked_with(&bytes, 4 * KIB, 2), parked_with_values(&values, 8)];
    assert_eq!(budget.used(), 16 * KIB);
    let whole = pool.try_get(16 * KIB).unwrap();
    assert_eq!((bytes.stats().footprint, values.stats().footprint), (0, 0));
    assert_eq!(values.try_get().unwrap_err(), over(KIB, 0, 16 * KIB));
    drop(whole);
    // And the other way round.
    assert!(values.try_get().is_ok());
    assert_eq!(pool.stats().footprint, 0);
}

#[test]
fn no_more_gives_way_than_is_missing() {
    let budget = Budget::new(16 * KIB);
    let pools = [4, 12].map(|count| on(&budget).prefill(KIB, count).build().unwrap());
    assert_eq!(budget.used(), 16 * KIB);
    // Four lie idle, one is missing.
    let batch = pools[0].try_get_many([KIB; 5]).unwrap();
    assert_eq!(pools.each_ref().map(|pool| pool.stats().footprint as usize), [5 * KIB, 11 * KIB]);
    drop((batch, pools));
    // Of six, the minimum covers four.
    let tenant = budget.child_reserving(4 * KIB, 16 * KIB).unwrap();
    let idle = on(&budget).prefill(KIB, 12).build().unwrap();
    let buf = on(&tenant).build().unwrap().get(6 * KIB);
    assert_eq!(idle.stats().footprint as usize, 10 * KIB);
    drop(buf);
}

#[test]
fn pools_elsewhere_give_way_to_the_parents_limit_alone() {
    let budget = Budget::new(16 * KIB);
    let children = [budget.child(8 * KIB), budget.child(16 * KIB)];
    let [here, there] = children.each_ref().map(|child| on(child).build().unwrap());
    let parked = parked_with(&there, 4 * KIB, 2);
    let all = here.get_many([4 * KIB; 2]);
    assert_eq!(here.try_get(KIB).unwrap_err(), over(KIB, 0, 8 * KIB));
    assert_eq!(there.stats().idle_in_caches as usize, 8 * KIB, "of no use to the child's limit");
    children[0].set_limit(16 * KIB);
    let more = here.try_get(4 * KIB).unwrap();
    assert_eq!((children[0].used(), children[1].used(), budget.used()), (12 * KIB, 4 * KIB, 16 * KIB));
    drop((all, more, parked));
}

/// Each node takes what the one below it was given, and refuses in turn; each has something idle of its own.
#[test]
fn every_node_of_the_path_is_climbed() {
    let root = Budget::new(10 * KIB);
    let middle = root.child(8 * KIB);
    let leaf = middle.child(6 * KIB);
    let pool = on(&leaf).build().unwrap();
    let nodes = [&leaf, &middle, &root];
    let idle = nodes.map(|node| on(node).prefill(KIB, 3).build().unwrap());
    assert_eq!(nodes.map(Budget::used), [3 * KIB, 6 * KIB, 9 * KIB]);
    let buf = pool.try_get(4 * KIB).unwrap();
    assert_eq!(nodes.map(Budget::used), [6 * KIB, 8 * KIB, 10 * KIB]);
    drop((idle, buf));
}

/// What a callback was asked, and the buffers that it gives back.
#[derive(Default)]
struct Hoard {
    held: Mutex<Vec<PooledBuf>>,
    asked: Mutex<Vec<usize>>,
}

impl Hoard {
    fn of(budget: &Budget) -> Arc<Self> {
        let hoard = Arc::<Hoard>::default();
        let weak = Arc::downgrade(&hoard);
        budget.on_pressure(move |needed| weak.upgrade().map_or(0, |hoard| hoard.give(needed)));
        hoard
    }

    fn give(&self, needed: usize) -> usize {
        self.asked.lock().unwrap().push(needed);
        let one = self.held.lock().unwrap().pop();
        one.map_or(0, |buf| buf.capacity())
    }
}

#[test]
fn callbacks_are_asked_when_nothing_idle_is_left() {
    let budget = Budget::new(16 * KIB);
    let (pool, other) = (on(&budget).build().unwrap(), on(&budget).build().unwrap());
    let hoard = Hoard::of(&budget);
    hoard.held.lock().unwrap().extend(other.get_many([4 * KIB; 3]));
    drop(other.get(4 * KIB));
    let first = pool.try_get(3 * KIB).unwrap();
    assert!(hoard.asked.lock().unwrap().is_empty(), "something was idle");
    let second = pool.try_get(3 * KIB).unwrap();
    assert_eq!(*hoard.asked.lock().unwrap(), [2 * KIB]);
    assert_eq!(budget.used(), 14 * KIB);
    hoard.held.lock().unwrap().clear();
    other.trim(0);
    assert_eq!(pool.try_get(12 * KIB).unwrap_err(), over(12 * KIB, 10 * KIB, 16 * KIB));
    assert_eq!(*hoard.asked.lock().unwrap(), [2 * KIB, 2 * KIB]);
    drop((first, second));
}

#[test]
fn a_callback_may_raise_the_limit() {
    let budget = Budget::new(KIB);
    let pool = on(&budget).build().unwrap();
    let all = Arc::new(budget.clone());
    let weak = Arc::downgrade(&all);
    budget.on_pressure(move |_| {
        weak.upgrade().unwrap().set_limit(8 * KIB);
        0
    });
    assert_eq!(pool.try_get(4 * KIB).map(|buf| buf.len()), Ok(4 * KIB));
}

#[test]
fn what_a_minimum_covers_stays_with_its_tenant() {
    let budget = Budget::new(24 * KIB);
    let tenant = budget.child_reserving(8 * KIB, 16 * KIB).unwrap();
    let theirs = on(&tenant).build().unwrap();
    let parked = parked_with(&theirs, 4 * KIB, 4);
    let pool = on(&budget).build().unwrap();
    // 8 KiB free, 8 KiB of the tenant's idle ones beyond its minimum.
    let first = pool.try_get(12 * KIB).unwrap();
    assert_eq!((tenant.used(), budget.used()), (12 * KIB, 24 * KIB));
    let second = pool.try_get(4 * KIB).unwrap();
    assert_eq!((tenant.used(), budget.used()), (8 * KIB, 24 * KIB));
    assert_eq!(pool.try_get(KIB).unwrap_err(), over(KIB, 0, 24 * KIB));
    assert_eq!(theirs.stats().idle_in_caches as usize + theirs.stats().idle_in_depot as usize, 8 * KIB);
    let all = theirs.get_many([4 * KIB; 2]);
    assert_eq!(theirs.try_get(KIB).unwrap_err(), over(KIB, 0, 24 * KIB));
    drop((first, second, all, parked));
}

/// The parent has no room for what goes beyond the minimum; the tenant's other pool gives its part of that away.
#[test]
fn what_a_minimum_covers_gives_way_to_its_tenant() {
    let budget = Budget::new(8 * KIB);
    let tenant = budget.child_reserving(4 * KIB, 8 * KIB).unwrap();
    let (bytes, values) = (on(&tenant).build().unwrap(), values_on(&tenant));
    let _out = on(&budget).build().unwrap().get(4 * KIB);
    let all = || drop(values.get_many(4));
    all();
    assert_eq!(bytes.try_get(4 * KIB).map(|buf| buf.len()), Ok(4 * KIB));
    assert_eq!((values.stats().footprint, budget.used()), (0, 8 * KIB));
    bytes.trim(0);
    all();
    let waited = bytes.acquire_many([2 * KIB; 2]).wait_timeout(Duration::from_secs(60));
    assert_eq!(waited.map(|batch| batch.len()), Ok(2));
}

/// Of a tenant's idle memory, only the part beyond its minimum counts for others.
#[test]
fn others_are_visited_when_a_tenants_minimum_covers_what_it_has() {
    let budget = Budget::new(24 * KIB);
    let tenant = budget.child_reserving(6 * KIB, usize::MAX).unwrap();
    let theirs = on(&tenant).prefill(KIB, 8).build().unwrap();
    let last = budget.child(usize::MAX);
    let idle = on(&last).prefill(KIB, 16).build().unwrap();
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    budget.on_pressure(move |_| {
        count.fetch_add(1, SeqCst);
        0
    });
    let pool = on(&budget).build().unwrap();
    let buf = pool.try_get(8 * KIB).unwrap();
    assert_eq!(asked.load(SeqCst), 0, "enough was idle");
    assert_eq!((tenant.used(), last.used(), budget.used()), (6 * KIB, 10 * KIB, 24 * KIB));
    drop((theirs, idle, buf));
}
