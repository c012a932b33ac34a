//! Whatever makes memory free wakes who waits for it: each source alone.

#[path = "support/waiting.rs"]
mod waiting;

use std::cell::RefCell;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use millpond::{Acquire, Budget, BufferPool, Error, Pool, PooledBuf, Recycled, Reuse};
use waiting::Waiting;

const KIB: usize = 1024;

fn pool_on(budget: &Budget) -> BufferPool {
    BufferPool::builder().size_classes([KIB, 4 * KIB, 16 * KIB]).budget(budget).build().unwrap()
}

fn pool_of(limit: usize) -> BufferPool {
    pool_on(&Budget::new(limit))
}

/// Text of so many bytes.
fn texts_on(budget: &Budget, weight: usize) -> Pool<Text> {
    let text = move || Text("x".repeat(weight));
    Pool::builder().create(text).weigh(|text| text.0.len()).budget(budget).build().unwrap()
}

#[derive(Debug, Default)]
struct Text(String);

impl Reuse for Text {
    fn reuse(&mut self, _: usize) -> bool {
        !self.0.is_empty()
    }
}

fn stand(pool: &BufferPool, size: usize) -> Waiting<Acquire<PooledBuf>> {
    Waiting::stand(pool.acquire(size))
}

/// Does something to a thing on another thread, which ends then.
fn elsewhere<T: Send + 'static>(thing: T, work: impl FnOnce(T) + Send + 'static) {
    thread::spawn(move || work(thing)).join().unwrap();
}

/// A thread that does as it is told and otherwise sleeps.
struct Sleeper {
    orders: mpsc::Sender<Box<dyn FnOnce() + Send>>,
    done: mpsc::Receiver<()>,
}

impl Sleeper {
    fn new() -> Self {
        let (orders, to_do) = mpsc::channel::<Box<dyn FnOnce() + Send>>();
        let (to_main, done) = mpsc::channel();
        thread::spawn(move || {
            for order in to_do {
                order();
                to_main.send(()).unwrap();
            }
        });
        Sleeper { orders, done }
    }

    fn order(&self, order: impl FnOnce() + Send + 'static) {
        self.orders.send(Box::new(order)).unwrap();
        self.done.recv().unwrap();
    }
}

#[test]
fn a_return_on_this_thread_and_on_another() {
    let pool = pool_of(KIB);
    let held = pool.get(KIB);
    let first = stand(&pool, KIB);
    drop(held);
    let second = stand(&pool, KIB);
    elsewhere(first.served(), drop);
    drop(second.served());
}

#[test]
fn a_return_into_the_cache_of_a_thread_that_sleeps_then() {
    let (pool, sleeper) = (pool_of(2 * KIB), Sleeper::new());
    let theirs = pool.clone();
    // It has a cache before the line stands.
    sleeper.order(move || drop(theirs.get(KIB)));
    let (held, other) = (pool.get(KIB), pool.get(KIB));
    let waiting = stand(&pool, KIB);
    sleeper.order(move || drop(held));
    drop((waiting.served(), other));
}

#[test]
fn a_return_into_a_cache_made_while_the_line_stands() {
    let (pool, sleeper) = (pool_of(KIB), Sleeper::new());
    let held = pool.get(KIB);
    let waiting = stand(&pool, KIB);
    let theirs = pool.clone();
    sleeper.order(move || {
        theirs.attach_thread();
        drop(held);
    });
    drop(waiting.served());
}

#[test]
fn a_return_to_a_thread_whose_magazine_was_full() {
    const IDLE: usize = 200;
    let (pool, sleeper) = (pool_of((IDLE + 1) * KIB + 16 * KIB), Sleeper::new());
    let theirs = pool.clone();
    let kept = pool.get(16 * KIB);
    let last = pool.get(KIB);
    sleeper.order(move || (0..3).for_each(|_| drop(theirs.get_many([KIB; IDLE]))));
    assert!(pool.stats().idle_in_caches > 0);
    // All that is idle goes for this, and still it lacks the last one and the large one.
    let mut waiting = Waiting::stand(pool.acquire_many([KIB; IDLE + 17]));
    sleeper.order(move || drop(last));
    assert!(waiting.woken().is_none());
    sleeper.order(move || drop(kept));
    assert_eq!(waiting.served().len(), IDLE + 17);
}

#[test]
fn the_last_of_frozen_handles() {
    let pool = pool_of(KIB);
    let first = pool.get(KIB).freeze();
    let second = first.slice(10..);
    let mut waiting = stand(&pool, KIB);
    elsewhere(first, drop);
    assert!(waiting.woken().is_none());
    drop(second);
    drop(waiting.served());
}

#[test]
fn a_batch() {
    let pool = pool_of(16 * KIB);
    let batch = pool.get_many([KIB; 16]);
    let (large, small) = (stand(&pool, 4 * KIB), stand(&pool, KIB));
    let both = Waiting::stand(pool.acquire_many([4 * KIB, KIB]));
    elsewhere(batch, drop);
    drop((large.served(), small.served(), both.served()));
}

thread_local! {
    static FIRST: RefCell<Option<PooledBuf>> = const { RefCell::new(None) };
    static SECOND: RefCell<Option<PooledBuf>> = const { RefCell::new(None) };
}

#[test]
fn a_return_while_a_threads_locals_are_destroyed() {
    let pool = pool_of(2 * KIB);
    let held = (pool.get(KIB), pool.get(KIB));
    let waiting = [stand(&pool, KIB), stand(&pool, KIB)];
    let theirs = pool.clone();
    elsewhere(held, move |(first, second)| {
        // One local is registered before the pool's own, and one after.
        FIRST.set(Some(first));
        theirs.attach_thread();
        SECOND.set(Some(second));
    });
    let served = waiting.map(Waiting::served);
    assert!(served.iter().all(|buf| buf.len() == KIB));
}

#[test]
fn the_end_of_a_thread_that_held_it() {
    let pool = pool_of(KIB);
    let (to_other, orders) = mpsc::channel::<()>();
    let held = pool.get(KIB);
    let other = thread::spawn(move || {
        let _held = held;
        // Until the channel is closed.
        assert!(orders.recv().is_err());
    });
    let mut waiting = stand(&pool, KIB);
    assert!(waiting.woken().is_none());
    drop(to_other);
    other.join().unwrap();
    drop(waiting.served());
}

#[test]
fn memory_of_other_pools_on_the_budget() {
    let budget = Budget::new(16 * KIB);
    let (bytes, others, texts) = (pool_on(&budget), pool_on(&budget), texts_on(&budget, 4 * KIB));
    let held = others.get(16 * KIB);
    let buf = stand(&bytes, 4 * KIB);
    drop(held);
    let buf = buf.served();
    // The first value is charged too little before it is weighed, and waits again for the rest.
    let values = texts.get_many(3);
    let mut waiting = stand(&bytes, 4 * KIB);
    elsewhere(values, drop);
    let more = waiting.woken().expect("a value came home").unwrap();
    let all = bytes.get_many([4 * KIB; 2]);
    let value = Waiting::stand(texts.acquire());
    drop((buf, more, all));
    assert_eq!(value.served().0.len(), 4 * KIB);
}

#[test]
fn values_that_are_discarded_or_detached_or_weigh_less() {
    let budget = Budget::new(8 * KIB);
    let (bytes, texts) = (pool_on(&budget), texts_on(&budget, 4 * KIB));
    let (mut emptied, detached) = (texts.get(), texts.get());
    let waiting = stand(&bytes, 4 * KIB);
    emptied.0.clear();
    drop(emptied);
    let buf = waiting.served();
    let waiting = stand(&bytes, 4 * KIB);
    assert_eq!(detached.detach().0.len(), 4 * KIB);
    let other = waiting.served();
    drop(buf);
    let mut shrunk = texts.get();
    // Together with what the shorter one still weighs, more than there is: it goes as a whole.
    let waiting = stand(&bytes, 4 * KIB);
    shrunk.0.truncate(KIB);
    drop(shrunk);
    drop((waiting.served(), other));
}

#[test]
fn a_trim_and_a_closed_pool_and_a_gone_one() {
    let budget = Budget::new(4 * KIB);
    let (bytes, others) = (pool_on(&budget), pool_on(&budget));
    let held = others.get(4 * KIB);
    let first = stand(&bytes, 4 * KIB);
    others.close();
    drop(others);
    drop(held);
    let held = first.served();
    let second = stand(&bytes, 4 * KIB);
    let other = pool_on(&budget);
    drop(held);
    // Set aside, and still so.
    assert_eq!((budget.trim(0), other.try_get(KIB).is_ok()), (0, false));
    drop(second.served());
}

#[test]
fn a_raised_limit() {
    let all = Budget::new(8 * KIB);
    let part = all.child(4 * KIB);
    let pool = pool_on(&part);
    let held = pool.get(4 * KIB);
    let first = stand(&pool, KIB);
    let second = stand(&pool, 4 * KIB);
    part.set_limit(5 * KIB);
    let first = first.served();
    part.set_limit(16 * KIB);
    // The limit above counts now.
    let mut second = second;
    assert!(second.woken().is_none());
    elsewhere(all, |all| all.set_limit(9 * KIB));
    drop((held, first, second.served()));
}

#[test]
fn a_reserving_child_that_is_gone() {
    let all = Budget::new(8 * KIB);
    let reserved = all.child_reserving(6 * KIB, 8 * KIB).unwrap();
    let theirs = pool_on(&reserved);
    let kept = theirs.get(KIB);
    let pool = pool_on(&all);
    let mut waiting = stand(&pool, 4 * KIB);
    drop(theirs);
    drop(reserved);
    assert!(waiting.woken().is_none(), "a buffer still keeps it");
    drop(kept);
    drop(waiting.served());
}

/// What comes home within a reserved minimum is of no use to those who wait above, and so goes to their neighbour.
#[test]
fn a_return_within_a_reserved_minimum_though_others_came_first() {
    let all = Budget::new(8 * KIB);
    let tenant = all.child_reserving(4 * KIB, 8 * KIB).unwrap();
    let (theirs, pool) = (pool_on(&tenant), pool_on(&all));
    let mut held: Vec<_> = (0..4).map(|_| theirs.get(KIB)).collect();
    let kept = pool.get(4 * KIB);
    let mut first = stand(&pool, 4 * KIB);
    let (same, other) = (stand(&theirs, KIB), stand(&theirs, 4 * KIB));
    held.pop();
    held.push(same.served());
    held.clear();
    drop(other.served());
    assert!(first.woken().is_none());
    drop(kept);
    drop(first.served());
}

#[test]
fn a_waiter_ahead_within_a_reserved_minimum_that_gives_up() {
    let all = Budget::new(8 * KIB);
    let tenant = all.child_reserving(4 * KIB, 8 * KIB).unwrap();
    let (theirs, pool) = (pool_on(&tenant), pool_on(&all));
    let mut held = theirs.get_many([KIB; 4]).into_iter().collect::<Vec<_>>();
    let _kept = pool.get(4 * KIB);
    let first = stand(&pool, 4 * KIB);
    let mut batch = Waiting::stand(theirs.acquire_many([KIB; 4]));
    let mut other = Waiting::stand(pool_on(&tenant).acquire_many([KIB; 3]));
    held.truncate(1);
    assert!(batch.woken().is_none() && other.woken().is_none());
    drop(batch);
    drop(other.served());
    assert_eq!(first.rung(), 0);
}

#[test]
fn a_waiter_ahead_that_gives_up() {
    let pool = pool_of(16 * KIB);
    let held = pool.get(4 * KIB);
    let large = stand(&pool, 16 * KIB);
    let (small, batch) = (stand(&pool, 4 * KIB), Waiting::stand(pool.acquire_many([KIB, KIB])));
    elsewhere(large, drop);
    drop((small.served(), batch.served(), held));
}

/// What lies ready for who gives up is given up for those who wait at another node.
#[test]
fn a_waiter_ahead_at_another_node_that_gives_up() {
    let budget = Budget::new(4 * KIB);
    let texts = Pool::builder().create(|| Text("x".repeat(2 * KIB))).weigh(|text| text.0.len());
    let texts = texts.max_objects(2).budget(&budget).build().unwrap();
    let (bytes, values) = (pool_on(&budget), texts.get_many(2));
    let mut values: Vec<_> = values.into_iter().collect();
    let mut pair = Waiting::stand(texts.acquire_many(2));
    let mut buf = stand(&bytes, KIB);
    values.pop();
    assert!(pair.woken().is_none() && buf.woken().is_none());
    drop(pair);
    drop(buf.served());
}

/// What keeps a request waiting may change: first it is the pool's own limit, then that of all.
#[test]
fn memory_at_a_second_node_after_a_first_had_some() {
    let all = Budget::new(8 * KIB);
    let (pool, other) = (pool_on(&all.child(4 * KIB)), pool_on(&all));
    let mut held: Vec<_> = (0..4).map(|_| pool.get(KIB)).collect();
    let mut theirs: Vec<_> = (0..4).map(|_| other.get(KIB)).collect();
    let mut waiting = stand(&pool, 4 * KIB);
    for _ in 0..3 {
        held.pop();
        theirs.push(other.try_get(KIB).expect("no line stands above"));
    }
    held.pop();
    assert!(waiting.woken().is_none());
    assert_eq!(other.try_get(KIB).unwrap_err(), Error::Queued { requested: KIB });
    theirs.truncate(5);
    assert!(waiting.woken().is_none());
    theirs.truncate(4);
    drop(waiting.served());
}

/// What lies ready beyond what the first in line gets is the next one's.
#[test]
fn a_waiter_ahead_that_leaves_something() {
    let pool = pool_of(6 * KIB);
    let mut small: Vec<_> = (0..6).map(|_| pool.get(KIB)).collect();
    let first = Waiting::stand(pool.acquire_many([KIB, KIB]));
    let second = stand(&pool, 4 * KIB);
    small.clear();
    drop((first.served(), second.served()));
}

#[test]
fn a_creation_that_fails() {
    let (fails, panics) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let (when, whether) = (fails.clone(), panics.clone());
    let create = move || {
        assert!(!whether.swap(false, SeqCst), "told to");
        if when.swap(false, SeqCst) { Err("told to") } else { Ok(Text("x".into())) }
    };
    let pool = Pool::builder().try_create(create).max_objects(1).build().unwrap();
    for (told, by_panic) in [(&fails, false), (&panics, true)] {
        let held = pool.get();
        let mut first = Waiting::stand(pool.acquire());
        let second = Waiting::stand(pool.acquire());
        drop(held.detach());
        assert_eq!((first.rung(), second.rung()), (1, 0));
        told.store(true, SeqCst);
        let polled = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| first.poll()));
        match polled {
            Ok(polled) => assert!(!by_panic && matches!(polled, std::task::Poll::Ready(Err(Error::Create(_))))),
            Err(_) => assert!(by_panic),
        }
        drop(second.served());
    }
}

/// Threads' charges reach the parent, are refused there and rolled back, while another comes to wait at the child for what
/// is charged meanwhile. None of them releases anything.
#[test]
fn a_rolled_back_charge() {
    const UNIT: usize = 64 * KIB;
    let all = Budget::new(4 * UNIT);
    // Above all size classes nothing lies idle, so every get is charged.
    let on = |budget: &Budget| BufferPool::builder().size_classes([64]).budget(budget).build().unwrap();
    // The longer the way, the longer a charge stands.
    let deep = (0..40).fold(all.clone(), |above, _| above.child(4 * UNIT));
    let (pool, other) = (on(&deep), on(&all));
    let _blocker = other.get(UNIT);
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while !over.load(SeqCst) {
                    assert!(pool.try_get(Recycled(4 * UNIT)).is_err(), "more than is left above");
                }
            });
        }
        let rounds = if cfg!(miri) { 5 } else { 10_000 };
        let patience = Duration::from_secs(if cfg!(miri) { 600 } else { 10 });
        let wait = |_| pool.acquire(Recycled(UNIT)).wait_timeout(patience).map(drop);
        let waits = (0..rounds).try_for_each(wait);
        over.store(true, SeqCst);
        waits.expect("there are three units for it");
    });
}

/// A waker may use the pools, and a panic of its own harms nobody.
#[test]
fn a_waker_may_do_as_it_likes() {
    struct Meddler(BufferPool, AtomicUsize);
    impl std::task::Wake for Meddler {
        fn wake(self: Arc<Self>) {
            self.1.fetch_add(1, SeqCst);
            assert!(self.0.try_get(KIB).is_err());
            drop(self.0.acquire(KIB).wait_timeout(Duration::ZERO));
            panic!("a waker's own");
        }
    }
    let pool = pool_of(KIB);
    let held = pool.get(KIB);
    let meddler = Arc::new(Meddler(pool.clone(), AtomicUsize::new(0)));
    let waker = meddler.clone().into();
    let mut first = pool.acquire(KIB);
    let mut context = std::task::Context::from_waker(&waker);
    assert!(std::pin::Pin::new(&mut first).poll(&mut context).is_pending());
    let second = stand(&pool, KIB);
    // Who returns it has no part in the panic, nor has who is served next.
    drop(held);
    assert_eq!(meddler.1.load(SeqCst), 1);
    drop(first);
    drop(second.served());
}
