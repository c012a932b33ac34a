//! How many values there may be: out, idle, in a thread's cache, made beforehand; and how new ones are made.

#[path = "support/identities.rs"]
mod identities;
#[path = "support/values.rs"]
mod values;

use std::panic::catch_unwind;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Barrier, mpsc};
use std::thread;

use identities::assert_identities;
use millpond::{BuildError, Error, Pool};
use values::{Fate, Value};

const THREADS: usize = if cfg!(miri) { 3 } else { 16 };
const ROUNDS: usize = if cfg!(miri) { 10 } else { 5000 };

/// Does the work on so many threads, to the end of their thread-locals, which a scope alone does not wait for.
fn on_threads(count: usize, work: impl Fn(usize) + Sync) {
    thread::scope(|scope| {
        let work = &work;
        let threads: Vec<_> = (0..count).map(|number| scope.spawn(move || work(number))).collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    });
}

fn pool_of(fate: &Arc<Fate>, max_objects: usize) -> Pool<Value> {
    let fate = fate.clone();
    Pool::builder().create(move || Value::new(&fate)).max_objects(max_objects).build().unwrap()
}

#[test]
fn there_are_never_more_values_than_max_objects() {
    let fate = Arc::default();
    let pool = pool_of(&fate, 7);
    let refused = AtomicUsize::new(0);
    on_threads(THREADS, |thread| {
        for round in 0..ROUNDS {
            match pool.try_get() {
                Ok(mut value) => value.keep = (round + thread) % 5 != 0,
                Err(error) => {
                    assert_eq!(error, Error::Exhausted { limit: 7 });
                    refused.fetch_add(1, SeqCst);
                }
            }
            assert!(fate.alive() <= 7, "{} values", fate.alive());
        }
    });
    let stats = pool.stats();
    assert_identities(&stats);
    assert_eq!(stats.gets as usize + refused.into_inner(), THREADS * ROUNDS);
    assert_eq!((stats.outstanding, stats.footprint as isize), (0, fate.alive()));
}

#[test]
fn a_sleeping_threads_cache_is_no_hoard() {
    let pool = pool_of(&Arc::default(), 3);
    let (slept, sleeps) = mpsc::channel();
    let (wake, woken) = mpsc::channel::<()>();
    thread::scope(|scope| {
        let pool = &pool;
        scope.spawn(move || {
            drop(pool.get_many(3));
            slept.send(()).unwrap();
            woken.recv().unwrap();
        });
        sleeps.recv().unwrap();
        let all = pool.get_many(3);
        assert_eq!(pool.try_get().unwrap_err(), Error::Exhausted { limit: 3 });
        drop(all);
        wake.send(()).unwrap();
    });
    assert_eq!(pool.stats().fresh, 3);
}

#[test]
fn what_is_discarded_or_detached_makes_room() {
    let fate = Arc::default();
    let pool = pool_of(&fate, 2);
    let mut discarded = pool.get();
    discarded.keep = false;
    let detached = pool.get().detach();
    assert_eq!(pool.stats().footprint, 1);
    drop(discarded);
    assert_eq!((pool.stats().footprint, fate.alive()), (0, 1));
    assert_eq!(pool.adopt(detached).number, 1);
    assert_eq!(pool.get_many(2).len(), 2);
}

#[test]
#[should_panic(expected = "all 1 values that the pool may have are in use")]
fn get_panics_with_the_errors_text() {
    let pool = pool_of(&Arc::default(), 1);
    let _first = pool.get();
    drop(pool.get());
}

#[test]
fn max_idle_bounds_what_is_kept() {
    let fate = Arc::default();
    let of_test: Arc<Fate> = fate;
    let make = of_test.clone();
    let pool = Pool::builder().create(move || Value::new(&make)).max_idle(10).build().unwrap();
    drop(pool.get_many(100));
    assert_eq!(of_test.alive(), 10);
    (0..100).map(|_| pool.get()).collect::<Vec<_>>().into_iter().for_each(drop);
    let stats = pool.stats();
    assert_identities(&stats);
    assert_eq!(stats.idle_in_caches + stats.idle_in_depot, of_test.alive() as u64);
    assert!(of_test.alive() <= 10, "{stats}");
    let none = Pool::<String>::builder().max_idle(0).build().unwrap();
    drop(none.get_with(|text| text.push('x')));
    assert_eq!(none.stats().footprint, 0);
}

#[test]
fn a_thread_caches_no_more_than_it_may() {
    for (allowed, at_most) in [(0, 1), (1, 1), (5, 5), (1000, 64)] {
        let pool = Pool::<String>::builder().thread_cache(allowed).build().unwrap();
        for _ in 0..if cfg!(miri) { 2 } else { 20 } {
            let many: Vec<_> = (0..200).map(|_| pool.get_with(|text| text.push('x'))).collect();
            drop(many);
        }
        let stats = pool.stats();
        assert!(stats.idle_in_caches <= at_most, "{allowed} allowed\n{stats}");
        assert_eq!(stats.idle_in_caches + stats.idle_in_depot, 200);
    }
}

#[test]
fn prefilled_values_are_there() {
    let fate: Arc<Fate> = Arc::default();
    let make = fate.clone();
    let pool = Pool::builder().create(move || Value::new(&make)).prefill(150).build().unwrap();
    assert_eq!((fate.made(), fate.reused()), (150, 0));
    let stats = pool.stats();
    assert_eq!((stats.gets, stats.fresh, stats.idle_in_depot), (0, 0, 150));
    drop(pool.get_many(150));
    assert_eq!(fate.made(), 150);
}

#[test]
fn a_create_that_panics_leaves_the_pool_as_it_was() {
    let panics = Arc::new(AtomicBool::new(true));
    let now = panics.clone();
    let create = move || if now.load(SeqCst) { panic!("not today") } else { vec![1_u8] };
    let pool = Pool::<Vec<u8>>::builder().create(create).max_objects(1).build().unwrap();
    for _ in 0..3 {
        let panic = catch_unwind(|| drop(pool.get())).unwrap_err();
        assert_eq!(panic.downcast_ref(), Some(&"not today"));
        assert_eq!((pool.stats().gets, pool.stats().footprint), (0, 0));
    }
    panics.store(false, SeqCst);
    assert_eq!(*pool.get(), [1]);
}

#[test]
fn a_try_create_that_fails_passes_its_error_on() {
    #[derive(Debug, PartialEq)]
    struct OutOfStock(u32);
    impl std::fmt::Display for OutOfStock {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            write!(f, "{} left", self.0)
        }
    }
    impl std::error::Error for OutOfStock {}

    let left = AtomicUsize::new(2);
    let create = move || {
        let taken = left.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1));
        taken.map(|_| String::from("x")).map_err(|_| OutOfStock(0))
    };
    let pool = Pool::<String>::builder().try_create(create).build().unwrap();
    let both = pool.get_many(2);
    let error = pool.try_get().unwrap_err();
    let Error::Create(cause) = &error else { panic!("{error}") };
    assert_eq!(cause.get_ref().downcast_ref(), Some(&OutOfStock(0)));
    assert_eq!(error.to_string(), "a new value could not be made: 0 left");
    assert_eq!(std::error::Error::source(&error).unwrap().to_string(), "0 left");
    assert_eq!(pool.try_get_many(5).unwrap_err().to_string(), error.to_string());
    drop(both);
    assert_eq!((pool.stats().gets, pool.stats().outstanding), (2, 0));
    assert!(pool.try_get_many(5).is_err(), "two are idle, the third cannot be made");
    assert_eq!(pool.get_many(2).len(), 2);
    assert_identities(&pool.stats());
}

#[test]
fn options_that_are_not_allowed_are_named() {
    let text = |error: Result<Pool<String>, BuildError>| error.unwrap_err().to_string();
    assert_eq!(text(Pool::builder().max_objects(0).build()), "max_objects is 0, must be 1 or more");
    assert_eq!(
        text(Pool::builder().max_objects(4).prefill(5).build()),
        "prefill is 5, must be at most 4 (max_objects)"
    );
    assert_eq!(text(Pool::builder().max_idle(4).prefill(5).build()), "prefill is 5, must be at most 4 (max_idle)");
    let made = Arc::new(AtomicUsize::new(0));
    let counts = made.clone();
    let third_fails = move || if counts.fetch_add(1, SeqCst) < 2 { Ok(String::from("x")) } else { Err("empty") };
    assert_eq!(
        text(Pool::builder().try_create(third_fails).prefill(5).build()),
        "a value to prefill could not be made: empty"
    );
    assert_eq!(made.load(SeqCst), 3);
}

thread_local!(static INSIDE: std::cell::Cell<bool> = const { std::cell::Cell::new(false) });

/// Gets and returns two values of the pool, unless that is being done already.
fn use_the_pool() {
    if !INSIDE.replace(true) {
        let both = [(); 2].map(|()| nodes().try_get());
        drop(both);
        INSIDE.set(false);
    }
}

struct Node(usize);

impl millpond::Reuse for Node {
    fn reuse(&mut self, _: usize) -> bool {
        use_the_pool();
        self.0 += 1;
        self.0 % 3 != 0
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        use_the_pool();
    }
}

fn new_node() -> Node {
    use_the_pool();
    Node(0)
}

millpond::global_pool!(nodes: Node, max_idle = 4, max_objects = 40);

#[test]
fn create_reuse_and_destructors_may_use_the_same_pool() {
    on_threads(4, |_| {
        for round in 0..ROUNDS.min(500) {
            drop(nodes().get_many(round % 9));
            drop(nodes().try_adopt(new_node()));
        }
    });
    let stats = nodes().stats();
    assert_identities(&stats);
    assert_eq!(stats.outstanding, 0);
    assert!(stats.footprint <= 4, "{stats}");
}

impl Default for Node {
    fn default() -> Self {
        new_node()
    }
}

#[test]
fn exhausted_pools_serve_whoever_comes_after_a_return() {
    let pool = pool_of(&Arc::default(), 1);
    let turns = Barrier::new(2);
    thread::scope(|scope| {
        scope.spawn(|| {
            let value = pool.get();
            turns.wait();
            turns.wait();
            drop(value);
            turns.wait();
        });
        turns.wait();
        assert!(pool.try_get().is_err());
        turns.wait();
        turns.wait();
        assert!(pool.try_get().is_ok());
    });
}
