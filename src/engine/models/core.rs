//! Life and death of a core: closing against returns, attaching, exits and robberies, and a lane that is used again.

use std::sync::Arc as Shared;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use loom::sync::mpsc;
use loom::thread;

use super::{Token, explore, full, touch};
use crate::engine::cache::Cache;
use crate::engine::core::{Core, Handle, Keeper, Limits, StoreConfig};
use crate::engine::slot::SlotPtr;
use crate::engine::spare::Spare;
use crate::engine::store::{self, Keeping};
use crate::memory::os::topology::Bank;

/// What happened to a core and its slots, seen from outside.
#[derive(Default)]
struct Fate {
    vacated: AtomicUsize,
    freed: AtomicUsize,
    woken: AtomicUsize,
}

struct Witness(Shared<Fate>);

impl Keeper for Witness {
    type Content = Token;

    fn vacate(&self, token: &Token, _: usize, _: Bank) -> usize {
        token.touch();
        self.0.vacated.fetch_add(1, Relaxed);
        64
    }

    fn offer(&self, _: &Core, spare: Spare) {
        drop(spare.shelve());
    }

    fn woken(&self) {
        self.0.woken.fetch_add(1, Relaxed);
    }

    fn shut(&self, _: &Core) {}
}

impl Drop for Witness {
    fn drop(&mut self) {
        self.0.freed.fetch_add(1, Relaxed);
    }
}

type Pool = Handle<Witness>;

fn pool() -> (Pool, Shared<Fate>) {
    pool_within(LIMITS, 1)
}

const LIMITS: Limits =
    Limits { max_idle: usize::MAX, max_idle_per_store: usize::MAX, thread_cache: 1 << 20, by_clock: false, banks: 1 };

fn pool_within(limits: Limits, stores: usize) -> (Pool, Shared<Fate>) {
    let fate = Shared::new(Fate::default());
    let stores = vec![StoreConfig { weight: 64, keeping: Keeping::Idle }; stores];
    (Handle::new(Witness(fate.clone()), &stores, [Some(0)], limits), fate)
}

fn born(pool: &Pool) -> Held {
    born_in(pool, 0, Bank::FIRST)
}

fn born_in(pool: &Pool, class: usize, bank: Bank) -> Held {
    Held(pool.birth(class, bank, 64, Token::new()).ok().expect("memory for a slot"))
}

/// A slot in a thread's hand.
struct Held(SlotPtr);

// SAFETY: a slot may be handed to another thread.
unsafe impl Send for Held {}

impl Held {
    fn put(self, cache: &Cache, pool_lane: Option<&Pool>) {
        touch(self.0);
        let lane = pool_lane.map_or(crate::engine::lanes::Lane::NONE, |pool| pool.core().lane_at(0));
        // SAFETY: held, and not used again.
        unsafe {
            if !store::put_cached(cache, lane, self.0) {
                store::put_slowly(cache, self.0);
            }
        }
    }
}

impl Held {
    /// Past all magazines.
    fn put_home(self) {
        touch(self.0);
        // SAFETY: held, and not used again.
        unsafe { store::put_many(&Cache::new(), crate::engine::lanes::Lane::NONE, &[self.0]) };
    }
}

fn take(pool: &Pool, cache: &Cache) -> Option<Held> {
    let core = pool.core();
    let slot = core.take_cached(cache, core.lane_at(0)).or_else(|| core.take_idle(cache, 0, |_| ()))?;
    touch(slot);
    Some(Held(slot))
}

fn assert_gone(fate: &Fate, slots: usize) {
    assert_eq!(fate.vacated.load(Relaxed), slots, "slots retired");
    assert_eq!(fate.freed.load(Relaxed), 1, "cores freed");
}

/// The last handle goes while another thread, which has no magazine yet, returns a slot. It is retired before that
/// thread exits.
#[test]
fn a_pool_dropped_while_a_slot_comes_home_is_freed_once() {
    explore(Some(if full() { 4 } else { 3 }), || {
        let (pool, fate) = pool();
        let slot = born(&pool);
        let other = thread::spawn(move || {
            let cache = Cache::new();
            slot.put(&cache, None);
            Moved(cache)
        });
        drop(pool);
        let Moved(cache) = other.join().unwrap();
        assert_gone(&fate, 1);
        cache.exit();
    });
}

/// As above, where the slot goes to the second of two depots, and another lies in the first.
#[test]
fn a_pool_dropped_closes_the_depots_of_all_nodes() {
    explore(Some(if full() { 4 } else { 3 }), || {
        let (pool, fate) = pool_within(Limits { banks: 2, ..LIMITS }, 1);
        let [near, far] = [Bank(0), Bank(1)].map(|bank| born_in(&pool, 0, bank));
        near.put_home();
        let other = thread::spawn(move || far.put_home());
        drop(pool);
        other.join().unwrap();
        assert_gone(&fate, 2);
    });
}

/// A thread brings slots of two banks home at once, while another takes what lies in the first depot.
#[test]
fn slots_of_two_nodes_come_home_to_both() {
    explore(Some(if full() { 3 } else { 2 }), || {
        let (pool, fate) = pool_within(Limits { banks: 2, ..LIMITS }, 1);
        let mixed = [Bank(0), Bank(1)].map(|bank| born_in(&pool, 0, bank));
        let theirs = pool.clone();
        let other = thread::spawn(move || {
            let [near, far] = mixed;
            touch(near.0);
            touch(far.0);
            drop(theirs);
            // SAFETY: held, and not used again.
            unsafe { store::put_many(&Cache::new(), crate::engine::lanes::Lane::NONE, &[near.0, far.0]) };
        });
        let cache = Cache::new();
        if let Some(slot) = take(&pool, &cache) {
            slot.put(&cache, Some(&pool));
        }
        cache.exit();
        drop(pool);
        other.join().unwrap();
        assert_gone(&fate, 2);
    });
}

/// A cache whose thread has ended without its exit, for what must be true before.
struct Moved(Cache);

// SAFETY: its thread is gone when it arrives.
unsafe impl Send for Moved {}

/// As above, the returning thread having a magazine with something in it.
#[test]
fn a_pool_dropped_empties_the_magazine_of_a_busy_thread() {
    explore(Some(if full() { 3 } else { 2 }), || {
        let (pool, fate) = pool();
        let (first, second) = (born(&pool), born(&pool));
        let lane_holder = pool.clone();
        let (ready, go) = mpsc::channel();
        let other = thread::spawn(move || {
            let cache = Cache::new();
            first.put(&cache, Some(&lane_holder));
            let lane = lane_holder.core().lane_at(0);
            drop(lane_holder);
            ready.send(()).unwrap();
            touch(second.0);
            // SAFETY: held, and not used again.
            unsafe {
                if !store::put_cached(&cache, lane, second.0) {
                    store::put_slowly(&cache, second.0);
                }
            }
            cache.exit();
        });
        go.recv().unwrap();
        drop(pool);
        other.join().unwrap();
        assert_gone(&fate, 2);
    });
}

/// A sleeping thread's magazine holds nothing back: all is retired before its owner does anything.
#[test]
fn a_pool_dropped_frees_what_a_sleeping_thread_has_cached() {
    explore(None, || {
        let (pool, fate) = pool();
        let cache = Cache::new();
        born(&pool).put(&cache, Some(&pool));
        drop(pool);
        assert_gone(&fate, 1);
        cache.exit();
    });
}

/// One thread takes and returns while another steals.
#[test]
fn a_steal_and_a_get_never_have_the_same_slot() {
    explore(if full() { None } else { Some(5) }, || {
        let (pool, fate) = pool();
        let cache = Cache::new();
        born(&pool).put(&cache, Some(&pool));
        let others = pool.clone();
        let thief = thread::spawn(move || {
            if let Some(slot) = others.core().steal(0) {
                touch(slot);
                Held(slot).put(&Cache::new(), None);
            }
        });
        if let Some(slot) = take(&pool, &cache) {
            slot.put(&cache, Some(&pool));
        }
        thief.join().unwrap();
        let stats = pool.core().stats(0);
        assert_eq!((stats.resident, stats.in_caches + stats.in_depot), (1, 1));
        cache.exit();
        drop(pool);
        assert_gone(&fate, 1);
    });
}

/// A thread exits while the pool is dropped: one of the two ends the attachment.
#[test]
fn an_exit_and_a_drop_end_an_attachment_once() {
    explore(Some(if full() { 4 } else { 3 }), || {
        let (pool, fate) = pool();
        let held = born(&pool);
        let attached = pool.clone();
        let (ready, go) = mpsc::channel();
        let other = thread::spawn(move || {
            let cache = Cache::new();
            held.put(&cache, Some(&attached));
            drop(attached);
            ready.send(()).unwrap();
            cache.exit();
        });
        go.recv().unwrap();
        drop(pool);
        other.join().unwrap();
        assert_gone(&fate, 1);
    });
}

/// The lane of a pool that is gone serves another, while a thread still has the old magazine under it.
#[test]
fn a_lane_used_again_keeps_the_pools_apart() {
    explore(Some(if full() { 3 } else { 2 }), || {
        let (old, old_fate) = pool();
        let cache = Cache::new();
        born(&old).put(&cache, Some(&old));
        let old_lane = old.core().lane_at(0);
        let late = born(&old);
        let dropper = thread::spawn(move || drop(old));
        touch(late.0);
        // SAFETY: held, and not used again.
        unsafe {
            if !store::put_cached(&cache, old_lane, late.0) {
                store::put_slowly(&cache, late.0);
            }
        }
        dropper.join().unwrap();
        assert_gone(&old_fate, 2);

        let (new, new_fate) = pool();
        let other_cache = Cache::new();
        born(&new).put(&other_cache, None);
        assert_eq!(new.core().lane_at(0), old_lane, "the model is about a lane used again");
        assert!(take(&new, &cache).is_none_or(|_| false), "a slot out of nowhere");
        born(&new).put(&cache, Some(&new));
        let stats = new.core().stats(0);
        assert_eq!((stats.resident, stats.in_caches), (2, 2));
        cache.exit();
        other_cache.exit();
        drop(new);
        assert_gone(&new_fate, 2);
    });
}

/// Who looks after the pool falls asleep while something is born: either it sees that, or it is told.
#[test]
fn a_birth_wakes_who_falls_asleep() {
    explore(None, || {
        let (pool, fate) = pool();
        let theirs = pool.clone();
        let mother = thread::spawn(move || {
            let held = born(&theirs);
            touch(held.0);
            held
        });
        let asleep = pool.core().fall_asleep();
        let held = mother.join().unwrap();
        assert!(!asleep || fate.woken.load(Relaxed) == 1, "nobody looks after what was born");
        held.put(&Cache::new(), None);
    });
}

/// A tick robs a magazine that its owner uses again at that moment.
#[test]
fn a_tick_takes_what_lies_still_and_nothing_else() {
    explore(Some(if full() { 4 } else { 3 }), || {
        let (pool, fate) = pool();
        let cache = Cache::new();
        born(&pool).put(&cache, Some(&pool));
        pool.core().tick(1);
        let theirs = pool.clone();
        let ticker = thread::spawn(move || {
            theirs.core().tick(1);
            theirs.core().tick(4);
        });
        if let Some(held) = take(&pool, &cache) {
            held.put(&cache, Some(&pool));
        }
        ticker.join().unwrap();
        cache.exit();
        drop(pool);
        assert_eq!((fate.vacated.load(Relaxed), fate.freed.load(Relaxed)), (1, 1));
    });
}

/// Two threads give back all that is above the floor, of one slot that stays and one that does not.
#[test]
fn two_that_look_at_once_leave_the_floor() {
    explore(Some(if full() { 4 } else { 3 }), || {
        let (pool, fate) = pool();
        let (stays, goes) = (born(&pool), born(&pool));
        // SAFETY: just born; the handle keeps the core.
        unsafe { pool.core().stock(0, &[stays.0]) };
        goes.put_home();
        let theirs = pool.clone();
        let other = thread::spawn(move || theirs.core().give_back_all());
        let freed = pool.core().give_back_all() + other.join().unwrap();
        assert_eq!((freed, fate.vacated.load(Relaxed)), (64, 1), "the floor stays, and what is above it goes");
        drop(pool);
        assert_gone(&fate, 2);
    });
}

/// Two threads bring slots of two stores home, where one has room and the clock chooses.
#[test]
fn stores_that_compete_stay_within_the_limit() {
    explore(Some(if full() { 4 } else { 3 }), || {
        let limits = Limits { max_idle: 64, thread_cache: 0, by_clock: true, ..LIMITS };
        let (pool, fate) = pool_within(limits, 2);
        let [mine, theirs] = [0, 1].map(|class| born_in(&pool, class, Bank::FIRST));
        let other = thread::spawn(move || theirs.put_home());
        mine.put_home();
        other.join().unwrap();
        let idle: usize = [0, 1].into_iter().map(|class| pool.core().stats(class).in_depot).sum();
        assert!(idle <= 1, "{idle} slots idle where one may be");
        assert_eq!(idle + fate.vacated.load(Relaxed), 2, "idle or gone");
        drop(pool);
        assert_gone(&fate, 2);
    });
}
