//! Under pressure a pool gives back what nobody needs, or all that lies idle, and never what is out or was prefilled.

#[path = "support/identities.rs"]
mod identities;
#[path = "support/parked.rs"]
mod parked;
#[path = "support/values.rs"]
mod values;
#[path = "support/waiting.rs"]
mod waiting;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Barrier, OnceLock};
use std::thread;
use std::time::Duration;

use identities::assert_identities;
use millpond::Pressure::{Critical, Moderate};
use millpond::{Budget, BufferPool, BufferPoolBuilder, Error, Maintenance, Pool, Recycled, Reuse};
use parked::Parked;
use values::{Fate, Panics, Value};
use waiting::Waiting;

const SIZE: usize = 64 << 10;
const SMALL: usize = 4096;
const ROUNDS: usize = if cfg!(miri) { 15 } else { 2000 };

/// Nobody but the test looks after this pool.
fn builder(budget: &Budget) -> BufferPoolBuilder {
    BufferPool::builder()
        .size_classes([SMALL, SIZE])
        .budget(budget)
        .decay(Duration::MAX)
        .maintenance(Maintenance::Manual)
}

fn pool() -> (BufferPool, Budget) {
    let budget = Budget::new(1 << 30);
    (builder(&budget).build().unwrap(), budget)
}

fn values_on(budget: &Budget) -> Pool<Vec<u8>> {
    let weighed = Pool::builder().create(|| Vec::with_capacity(1)).weigh(|_| 1000).budget(budget);
    weighed.decay(Duration::MAX).maintenance(Maintenance::Manual).build().unwrap()
}

/// `count` buffers, out together and back again.
fn spike(pool: &BufferPool, count: usize) {
    drop(pool.get_many(vec![Recycled(SIZE); count]));
}

fn resident(pool: &BufferPool) -> usize {
    pool.stats().footprint as usize / SIZE
}

/// What a call frees, checked against what statistics and budget lose.
#[track_caller]
fn freed(level: millpond::Pressure, pool: &BufferPool, budget: &Budget) -> usize {
    let (footprint, used) = (pool.stats().footprint as usize, budget.used());
    let freed = pool.pressure(level);
    assert_eq!(freed, footprint - pool.stats().footprint as usize, "the footprint says otherwise");
    assert_eq!(freed, used - budget.used(), "the budget says otherwise");
    assert_identities(&pool.stats());
    freed
}

#[test]
fn moderate_keeps_what_the_load_uses_and_frees_the_rest() {
    let budget = Budget::new(1 << 30);
    // What a thread at work has cached is not looked into.
    let pool = builder(&budget).thread_cache(0).build().unwrap();
    spike(&pool, 100);
    // From now on it knows.
    assert_eq!(freed(Moderate, &pool, &budget), 0);
    spike(&pool, 20);
    freed(Moderate, &pool, &budget);
    // A batch from the depot may hold more than was asked for.
    assert!((20..20 + 16).contains(&resident(&pool)), "{}", resident(&pool));
    for _ in 0..5 {
        spike(&pool, 20);
        freed(Moderate, &pool, &budget);
    }
    assert_eq!(pool.stats().fresh, 100, "the load has had to make some again");
    // Without the load, all goes: at the first look what is in the depot, at the second what is in the cache.
    freed(Moderate, &pool, &budget);
    freed(Moderate, &pool, &budget);
    assert_eq!((resident(&pool), budget.used()), (0, 0));
}

#[test]
fn moderate_takes_from_threads_that_sleep_and_from_no_others() {
    let (pool, budget) = pool();
    let theirs = pool.clone();
    let sleeper = Parked::after(move || (0..8).for_each(|_| spike(&theirs, 8)));
    let cached = pool.stats().idle_in_caches;
    assert!(cached > 0);
    assert_eq!(freed(Moderate, &pool, &budget), 0);
    // This thread works on another class.
    drop(pool.get(Recycled(SMALL)));
    assert_eq!(freed(Moderate, &pool, &budget), 8 * SIZE);
    for _ in 0..5 {
        drop(pool.get(Recycled(SMALL)));
        assert_eq!(freed(Moderate, &pool, &budget), 0);
    }
    assert_eq!(pool.stats().fresh, 9);
    drop(sleeper);
}

/// What is known of a time before is no reason to keep anything, nor to take it.
#[test]
fn what_was_taken_counts_once() {
    let (pool, budget) = pool();
    spike(&pool, 100);
    assert_eq!(freed(Moderate, &pool, &budget), 0);
    assert!(freed(Critical, &pool, &budget) == 100 * SIZE);
    spike(&pool, 50);
    assert_eq!(freed(Moderate, &pool, &budget), 0);
    assert_eq!(resident(&pool), 50);
}

#[test]
fn critical_leaves_the_floor_and_reaches_sleeping_threads() {
    let budget = Budget::new(1 << 30);
    let pool = builder(&budget).prefill(SIZE, 10).prefill(SMALL, 3).build().unwrap();
    let sleepers: Vec<_> = (0..if cfg!(miri) { 2 } else { 20 })
        .map(|_| {
            let theirs = pool.clone();
            Parked::after(move || (0..8).for_each(|_| drop(theirs.get_many([SMALL, SIZE, SIZE, SIZE]))))
        })
        .collect();
    spike(&pool, 50);
    let out = pool.get_many([Recycled(SIZE); 4]);
    let floor = 10 * SIZE + 3 * SMALL;
    let before = budget.used();
    assert!(before > floor && pool.stats().idle_in_caches > 0);
    assert_eq!(freed(Critical, &pool, &budget), before - floor);
    assert_eq!((freed(Critical, &pool, &budget), freed(Moderate, &pool, &budget)), (0, 0));
    drop(out);
    for _ in 0..3 {
        assert_eq!((freed(Critical, &pool, &budget), freed(Moderate, &pool, &budget)), (0, 0));
    }
    assert_eq!(budget.used(), floor);
    drop(sleepers);
    assert_eq!(budget.used(), floor);
}

/// More are out than the floor, so all that lies idle may go; and of fewer, none.
#[test]
fn what_is_out_counts_for_the_floor() {
    let budget = Budget::new(1 << 30);
    let pool = builder(&budget).prefill(SIZE, 10).build().unwrap();
    let out = pool.get_many([Recycled(SIZE); 15]);
    drop(pool.get_many([Recycled(SIZE); 5]));
    assert_eq!(freed(Critical, &pool, &budget), 5 * SIZE);
    drop(out);
    assert_eq!(freed(Critical, &pool, &budget), 5 * SIZE);
    assert_eq!(resident(&pool), 10);
}

#[test]
fn several_at_once_leave_the_floor_too() {
    let budget = Budget::new(1 << 30);
    let pool = builder(&budget).prefill(SMALL, 10).build().unwrap();
    let threads = if cfg!(miri) { 2 } else { 4 };
    for round in 0..ROUNDS / 10 {
        drop(pool.get_many([SMALL; 20]));
        let (start, before) = (Barrier::new(threads), budget.used());
        let freed: usize = thread::scope(|scope| {
            let call = |level| {
                start.wait();
                pool.pressure(level)
            };
            let calls: Vec<_> = (0..threads)
                .map(|thread| scope.spawn(move || call(if (thread + round) % 3 == 0 { Moderate } else { Critical })))
                .collect();
            calls.into_iter().map(|call| call.join().unwrap()).sum()
        });
        assert_eq!(freed, before - budget.used());
        assert!(budget.used() >= 10 * SMALL, "round {round}: {} bytes are left", budget.used());
    }
    freed(Critical, &pool, &budget);
    assert_eq!(budget.used(), 10 * SMALL);
}

#[test]
fn values_go_by_their_weight() {
    let budget = Budget::new(1 << 30);
    let values = values_on(&budget);
    let kept = values.get_many(3);
    drop(values.get_many(100));
    assert_eq!(values.pressure(Moderate), 0);
    drop(values.get_many(10));
    let moderate = values.pressure(Moderate);
    assert!((103 - 13 - 16..=103 - 13).contains(&(moderate / 1000)), "{moderate}");
    assert_eq!(budget.used(), 103 * 1000 - moderate);
    assert_eq!(values.pressure(Critical), 100 * 1000 - moderate);
    assert_eq!((budget.used(), values.stats().footprint), (3000, 3));
    drop(kept);
    assert_eq!((values.pressure(Critical), budget.used()), (3000, 0));
}

#[test]
fn a_closed_pool_has_nothing_to_give() {
    let (pool, budget) = pool();
    let values = values_on(&budget);
    spike(&pool, 10);
    let out = (pool.get(SIZE), values.get());
    drop(values.get_many(10));
    pool.close();
    values.close();
    for level in [Moderate, Critical, Moderate] {
        assert_eq!((pool.pressure(level), values.pressure(level)), (0, 0));
    }
    drop(out);
    assert_eq!((pool.pressure(Critical), values.pressure(Critical), budget.used()), (0, 0, 0));
}

#[test]
fn who_waits_gets_what_it_waits_for() {
    for level in [Moderate, Critical] {
        let budget = Budget::new(4 * SIZE);
        let pool = builder(&budget).build().unwrap();
        let mut out = Vec::from_iter(pool.get_many([Recycled(SIZE); 4]));
        let waiting = Waiting::stand(pool.acquire_many([SIZE; 3]));
        // Somebody waits, so nothing is in caches; two lie idle, for one request that needs three.
        drop(out.drain(..2));
        assert_eq!(pool.try_get(SMALL).unwrap_err(), Error::Queued { requested: SMALL });
        pool.pressure(level);
        pool.pressure(level);
        assert_eq!(waiting.rung(), 0);
        assert_eq!(pool.stats().outstanding as usize, 2 * SIZE);
        drop(out.drain(..1));
        let served = waiting.served();
        assert_eq!((served.len(), budget.used()), (3, 4 * SIZE));
        drop((served, out));
        // Attention is still raised.
        assert!(freed(Critical, &pool, &budget) > 0);
        assert_eq!(budget.used(), 0);
    }
}

#[test]
fn while_others_work_and_wait() {
    let budget = Budget::new(8 * SIZE);
    let pool = builder(&budget).prefill(SMALL, 2).build().unwrap();
    let values = values_on(&budget);
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let (pool, values, over) = (&pool, &values, &over);
        let workers: Vec<_> = (0..if cfg!(miri) { 2 } else { 4 })
            .map(|thread| {
                scope.spawn(move || {
                    for round in 0..ROUNDS {
                        let mark = (thread * ROUNDS + round) as u8;
                        let mut buf = pool.acquire(Recycled(SIZE)).wait().unwrap();
                        buf.fill(mark);
                        drop(values.try_get_many(round % 3));
                        drop(pool.try_get(SMALL));
                        // In two comparisons, which Miri is quick at.
                        assert!(buf[0] == mark && buf[1..] == buf[..SIZE - 1]);
                        drop(buf);
                        drop(pool.acquire_many([SIZE; 3]).wait().unwrap());
                    }
                })
            })
            .collect();
        scope.spawn(|| {
            for level in [Moderate, Critical].into_iter().cycle().take_while(|_| !over.load(SeqCst)) {
                pool.pressure(level);
                values.pressure(level);
                thread::yield_now();
            }
        });
        workers.into_iter().for_each(|worker| worker.join().unwrap());
        over.store(true, SeqCst);
    });
    values.pressure(Critical);
    assert_eq!(values.stats().footprint, 0);
    // Whoever lacked memory may have taken what was prefilled.
    let small = pool.stats().classes[0].footprint as usize;
    assert_eq!(pool.stats().classes[0].size as usize, SMALL);
    freed(Critical, &pool, &budget);
    assert_eq!(budget.used(), small.min(2 * SMALL));
}

#[test]
fn a_destructor_that_panics_is_told_of_and_the_others_run() {
    for level in [Moderate, Critical] {
        let fate: Arc<Fate> = Arc::default();
        let make = fate.clone();
        let builder = Pool::builder().create(move || Value::new(&make)).decay(Duration::MAX);
        let pool = builder.maintenance(Maintenance::Manual).build().unwrap();
        let mut batch = pool.get_many(40);
        batch[5].panics = Panics::OnDrop;
        batch[39].panics = Panics::OnDrop;
        drop(batch);
        let caught = (0..3).filter(|_| catch_unwind(AssertUnwindSafe(|| pool.pressure(level))).is_err()).count();
        assert!(caught > 0);
        assert_eq!((fate.alive(), pool.stats().footprint), (0, 0), "{level:?}");
        drop(pool.get_many(5));
        assert_eq!(pool.pressure(Critical), 5 * size_of::<Value>());
    }
}

static MEDDLERS: OnceLock<Pool<Meddler>> = OnceLock::new();
static MEDDLED: AtomicUsize = AtomicUsize::new(0);

/// A value whose destructor works with its own pool.
#[derive(Debug, Default)]
struct Meddler;

impl Reuse for Meddler {
    fn reuse(&mut self, _: usize) -> bool {
        true
    }
}

impl Drop for Meddler {
    fn drop(&mut self) {
        if MEDDLED.fetch_add(1, SeqCst) < 10 {
            let pool = MEDDLERS.get().unwrap();
            assert_eq!((pool.pressure(Moderate), pool.pressure(Critical)), (0, 0), "inside of another");
            pool.maintain();
            drop(pool.get_many(2));
        }
    }
}

#[test]
fn destructors_may_use_the_pool() {
    let builder = Pool::builder().decay(Duration::MAX).maintenance(Maintenance::Manual);
    let pool = MEDDLERS.get_or_init(|| builder.build().unwrap());
    drop(pool.get_many(10));
    while pool.stats().footprint > 0 {
        pool.pressure(Critical);
    }
    assert!(MEDDLED.load(SeqCst) >= 10);
}

#[test]
fn levels_have_an_order() {
    assert!(Moderate < Critical);
}
