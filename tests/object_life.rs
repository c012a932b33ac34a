//! Values across threads, and the end of threads, pools and handles, in any order.

#[path = "support/identities.rs"]
mod identities;
#[path = "support/values.rs"]
mod values;

use std::cell::RefCell;
use std::sync::{Arc, mpsc};
use std::thread;

use identities::assert_identities;
use millpond::{Error, Pool, Pooled};
use values::{Fate, Value};

fn pool() -> (Pool<Value>, Arc<Fate>) {
    let fate: Arc<Fate> = Arc::default();
    let make = fate.clone();
    (Pool::builder().create(move || Value::new(&make)).build().unwrap(), fate)
}

#[test]
fn the_same_value_comes_back() {
    let (pool, fate) = pool();
    for _ in 0..10 {
        assert_eq!(pool.get().number, 0);
    }
    assert_eq!((fate.made(), fate.reused()), (1, 10));
    let stats = pool.stats();
    assert_eq!((stats.gets, stats.cache_hits, stats.fresh), (10, 9, 1));
    assert_eq!(stats.classes[0].size, size_of::<Value>() as u64);
    assert!(stats.to_string().contains("footprint 1,"), "{stats}");
}

#[test]
fn values_of_two_pools_never_mix() {
    let ((one, fate_one), (two, fate_two)) = (pool(), pool());
    for _ in 0..20 {
        let both = (one.get(), two.get());
        drop(both);
    }
    assert_eq!((fate_one.made(), fate_two.made()), (1, 1));
    drop(one);
    assert_eq!((fate_one.alive(), fate_two.alive()), (0, 1));
}

#[test]
fn the_last_handle_drops_idle_values_wherever_they_are() {
    let (pool, fate) = pool();
    let (asleep, sleeps) = mpsc::channel();
    let (wake, woken) = mpsc::channel::<()>();
    let sleeper = thread::spawn({
        let pool = pool.clone();
        move || {
            drop(pool.get_many(20));
            drop(pool);
            asleep.send(()).unwrap();
            woken.recv().unwrap();
        }
    });
    sleeps.recv().unwrap();
    let out = pool.get();
    drop(pool);
    assert_eq!(fate.alive(), 1, "what is out");
    assert_eq!(out.number, out.number);
    drop(out);
    assert_eq!(fate.alive(), 0);
    wake.send(()).unwrap();
    sleeper.join().unwrap();
}

#[test]
fn values_dropped_elsewhere_come_back() {
    let (pool, fate) = pool();
    let rounds = if cfg!(miri) { 50 } else { 20_000 };
    let (send, receive) = mpsc::sync_channel::<Pooled<Value>>(16);
    let consumer = thread::spawn(move || receive.into_iter().map(|value| value.number).max());
    for _ in 0..rounds {
        send.send(pool.get()).unwrap();
    }
    drop(send);
    let highest = consumer.join().unwrap().unwrap();
    assert!(highest < 250, "{highest} values made for 16 in flight");
    assert_identities(&pool.stats());
    assert_eq!((pool.stats().outstanding, pool.stats().footprint as isize), (0, fate.alive()));
}

#[test]
fn thread_exit_brings_values_to_the_others() {
    let (pool, fate) = pool();
    thread::spawn({
        let pool = pool.clone();
        move || drop(pool.get_many(30))
    })
    .join()
    .unwrap();
    assert_eq!(pool.stats().idle_in_depot, 30);
    drop(pool.get_many(30));
    assert_eq!(fate.made(), 30);
}

#[test]
fn a_value_dropped_in_a_thread_locals_destructor() {
    thread_local!(static LATE: RefCell<Vec<Pooled<Value>>> = const { RefCell::new(Vec::new()) });
    let (pool, fate) = pool();
    let of_thread = pool.clone();
    thread::spawn(move || LATE.with(|late| late.borrow_mut().extend((0..3).map(|_| of_thread.get())))).join().unwrap();
    assert_eq!((pool.stats().outstanding, fate.alive(), fate.reused()), (0, 3, 3));
    drop(pool);
    assert_eq!(fate.alive(), 0);
}

#[test]
fn a_closed_pool_gives_nothing_and_takes_all() {
    let (pool, fate) = pool();
    let out = pool.get_many(10);
    drop(pool.get_many(10));
    pool.close();
    assert_eq!(fate.alive(), 10);
    assert_eq!(pool.try_get().unwrap_err(), Error::Closed);
    assert_eq!(pool.try_get_many(2).unwrap_err(), Error::Closed);
    let (value, error) = pool.try_adopt(Value::new(&fate)).unwrap_err();
    assert_eq!(error, Error::Closed);
    drop((value, out));
    assert_eq!(fate.alive(), 0);
}

#[test]
fn adopted_values_are_the_pools_and_a_batch_of_them_by_extend() {
    let (mut pool, fate) = pool();
    assert_eq!(pool.adopt(Value::new(&fate)).number, 0);
    pool.extend((0..40).map(|_| Value::new(&fate)));
    let stats = pool.stats();
    assert_identities(&stats);
    assert_eq!((stats.gets, stats.fresh, stats.footprint), (0, 0, 41), "{stats}");
    assert_eq!(fate.reused(), 41);
    drop(pool.get_many(41));
    assert_eq!(fate.made(), 41);
}

#[test]
fn a_detached_value_is_the_callers_alone() {
    let (pool, fate) = pool();
    let value = pool.get().detach();
    assert_eq!((pool.stats().footprint, fate.alive(), fate.reused()), (0, 1, 0));
    drop(pool);
    assert_eq!(value.number, 0);
    drop(value);
    assert_eq!(fate.alive(), 0);
}

#[test]
fn frozen_values_go_home_with_the_last_handle() {
    let (pool, fate) = pool();
    let first = pool.get().freeze();
    let others: Vec<_> = (0..8)
        .map(|_| {
            let other = first.clone();
            thread::spawn(move || other.number)
        })
        .collect();
    assert!(!first.is_unique() || others.iter().all(|thread| !thread.is_finished() || first.number == 0));
    assert!(others.into_iter().all(|thread| thread.join().unwrap() == 0));
    assert!(first.is_unique());
    let mut again = first.try_into_mut().unwrap();
    again.number = 7;
    assert_eq!(fate.reused(), 0);
    drop(again.freeze());
    assert_eq!((fate.reused(), pool.get().number), (1, 7));
}

#[test]
fn values_without_bytes_and_large_ones() {
    #[derive(Default)]
    struct Nothing;
    impl millpond::Reuse for Nothing {
        fn reuse(&mut self, _: usize) -> bool {
            true
        }
    }
    struct Large([u64; 500]);
    impl millpond::Reuse for Large {
        fn reuse(&mut self, _: usize) -> bool {
            self.0[499] == 3
        }
    }
    drop(Pool::<Nothing>::new().get_many(100));
    let pool = Pool::<Large>::builder().create(|| Large([3; 500])).build().unwrap();
    let all = pool.get_many(100);
    assert!(all.iter().all(|large| large.0.iter().all(|&word| word == 3)));
    assert!(all.iter().all(|large| (&raw const **large).is_aligned()));
}

#[test]
fn attached_threads_and_a_debug_output_with_the_options() {
    let pool = Pool::<String>::builder().name("names").trim_capacity(5).max_idle(9).build().unwrap();
    pool.attach_thread();
    let text = format!("{pool:?}");
    for part in ["names", "trim_capacity: 5", "max_idle: 9", "String", "closed: false"] {
        assert!(text.contains(part), "{part} in {text}");
    }
}
