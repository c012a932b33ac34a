//! Loom models of budgets and lines, over the engine's own types. A wake-up that is lost is a deadlock, which loom reports.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::task::{Poll, Wake, Waker};

use loom::sync::Notify;
use loom::thread;

use crate::engine::cache::Cache;
use crate::engine::core::{Core, Handle, Keeper, Limits, StoreConfig};
use crate::engine::lanes::Lane;
use crate::engine::models::{Token, explore, full, touch};
use crate::engine::slot::SlotPtr;
use crate::engine::spare::Spare;
use crate::engine::store::{self, Keeping};
use crate::memory::os::topology::Bank;
use crate::policy::acquire::{Site, Waits};
use crate::policy::budget::{Amount, Budget, Demand, Grant, Node, Place, Stood, dismiss, fetch, leave, offer, stand};
use crate::policy::error::Error;

const SLOT: Amount = Amount::bytes(64);

/// A pool of tokens on a budget.
struct Charged {
    leaf: Arc<Node>,
    waits: Arc<Waits>,
    freed: Arc<AtomicUsize>,
}

impl Keeper for Charged {
    type Content = Token;

    fn vacate(&self, token: &Token, _: usize, _: Bank) -> usize {
        token.touch();
        self.leaf.release(SLOT);
        64
    }

    fn offer(&self, core: &Core, spare: Spare) {
        offer(Site { leaf: &self.leaf, core, waits: &self.waits }, spare);
    }

    fn shut(&self, core: &Core) {
        self.leaf.leave(core);
        dismiss(&self.leaf, &self.waits);
    }
}

impl Drop for Charged {
    fn drop(&mut self) {
        self.freed.fetch_add(1, Relaxed);
    }
}

#[derive(Clone)]
struct Pool {
    handle: Handle<Charged>,
    freed: Arc<AtomicUsize>,
}

impl Pool {
    fn on(budget: &Budget) -> Self {
        Self::with_banks(budget, 1)
    }

    fn with_banks(budget: &Budget, banks: usize) -> Self {
        let freed = Arc::new(AtomicUsize::new(0));
        let leaf = budget.node().clone();
        let limits = Limits {
            max_idle: usize::MAX,
            max_idle_per_store: usize::MAX,
            thread_cache: 1 << 20,
            by_clock: false,
            banks,
        };
        let store = StoreConfig { weight: 64, keeping: Keeping::Idle };
        let handle = Handle::new(
            Charged { leaf, waits: Arc::new(Waits::new()), freed: freed.clone() },
            &[store],
            [Some(0)],
            limits,
        );
        handle.keeper().leaf.join(None, handle.core().hold(), &handle.keeper().waits);
        Pool { handle, freed }
    }

    fn leaf(&self) -> &Arc<Node> {
        &self.handle.keeper().leaf
    }

    fn site(&self) -> Site<'_> {
        Site { leaf: self.leaf(), core: self.handle.core(), waits: &self.handle.keeper().waits }
    }

    fn born(&self) -> Held {
        self.born_in(Bank::FIRST)
    }

    fn born_in(&self, bank: Bank) -> Held {
        let reservation = self.leaf().reserve(SLOT).ok().expect("the model has room for it");
        let slot = self.handle.birth(0, bank, 64, Token::new()).ok().expect("memory for a slot");
        reservation.keep();
        Held { slot, lane: self.handle.core().lane_at(0) }
    }

    fn stand(&self, bell: &Bell) -> Result<Stood, Error> {
        stand(self.site(), Demand::of(0, 1, SLOT), None, &bell.waker())
    }

    fn redeem(&self, grant: Grant) -> Held {
        let (mut spares, charged) = grant.into_parts();
        let core = self.handle.core();
        match spares.next() {
            Some(spare) => {
                assert!(charged.is_nothing(), "a slot, and a charge besides");
                Held { slot: spare.into_slot(), lane: core.lane_at(0) }
            }
            None => {
                assert_eq!(charged, SLOT);
                let slot = self.handle.birth(0, Bank::FIRST, 64, Token::new()).ok().expect("memory for a slot");
                Held { slot, lane: core.lane_at(0) }
            }
        }
    }

    /// Waits for a slot as a blocked thread does.
    fn wait(&self) -> Result<Held, Error> {
        let bell = Bell::new();
        match self.stand(&bell)? {
            Stood::Granted(grant) => Ok(self.redeem(grant)),
            Stood::Waits(place) => self.wait_in(place, &bell),
        }
    }

    fn wait_in(&self, place: Place, bell: &Bell) -> Result<Held, Error> {
        loop {
            match fetch(self.leaf(), place, &bell.waker()) {
                Poll::Ready(grant) => return grant.map(|grant| self.redeem(grant)),
                Poll::Pending => bell.0.wait(),
            }
        }
    }
}

/// A slot in a thread's hand.
struct Held {
    slot: SlotPtr,
    lane: Lane,
}

// SAFETY: a slot may be handed to another thread.
#[allow(unsafe_code, reason = "what the engine's handles do")]
unsafe impl Send for Held {}

impl Held {
    #[allow(unsafe_code, reason = "what the engine's handles do")]
    fn put(self, cache: &Cache) {
        touch(self.slot);
        // SAFETY: held, and not used again.
        unsafe {
            if !store::put_cached(cache, self.lane, self.slot) {
                store::put_slowly(cache, self.slot);
            }
        }
    }
}

impl Held {
    /// Past all caches.
    #[allow(unsafe_code, reason = "what the engine's handles do")]
    fn put_home(self) {
        touch(self.slot);
        // SAFETY: held, and not used again.
        unsafe { store::put_many(&Cache::new(), Lane::NONE, &[self.slot]) };
    }
}

/// What a waiting thread sleeps on.
#[derive(Clone)]
struct Bell(Arc<Notify>);

struct Ring(Arc<Notify>);

impl Wake for Ring {
    fn wake(self: Arc<Self>) {
        self.0.notify();
    }
}

impl Bell {
    fn new() -> Self {
        Bell(Arc::new(Notify::new()))
    }

    fn waker(&self) -> Waker {
        Waker::from(Arc::new(Ring(self.0.clone())))
    }
}

/// All is given back, to the budget and to the system.
fn end(pool: Pool, budget: &Budget, caches: &[&Cache]) {
    for cache in caches {
        cache.exit();
    }
    let freed = pool.freed.clone();
    drop(pool);
    assert_eq!(budget.used(), 0, "bytes charged at the end");
    assert_eq!(freed.load(Relaxed), 1, "cores freed");
}

/// The only slot comes home on a thread that has a magazine, while another comes to wait.
#[test]
fn a_return_into_a_cache_wakes_who_waits() {
    explore(Some(if full() { 4 } else { 3 }), || {
        let budget = Budget::new(64);
        let pool = Pool::on(&budget);
        let held = pool.born();
        let theirs = pool.clone();
        let other = thread::spawn(move || {
            let cache = Cache::new();
            theirs.handle.core().attach(&cache);
            let held = Held { lane: theirs.handle.core().lane_at(0), ..held };
            drop(theirs);
            held.put(&cache);
            cache.exit();
        });
        let cache = Cache::new();
        pool.wait().expect("it comes home").put(&cache);
        other.join().unwrap();
        end(pool, &budget, &[&cache]);
    });
}

/// The only slot comes home past all caches, to the depot of the second node.
#[test]
fn a_return_to_another_node_wakes_who_waits() {
    explore(Some(if full() { 4 } else { 3 }), || {
        let budget = Budget::new(64);
        let pool = Pool::with_banks(&budget, 2);
        let held = pool.born_in(Bank(1));
        let theirs = pool.clone();
        let waiter = thread::spawn(move || {
            let cache = Cache::new();
            theirs.wait().expect("it comes home").put(&cache);
            cache.exit();
        });
        held.put_home();
        waiter.join().unwrap();
        end(pool, &budget, &[]);
    });
}

/// As the first, and that thread sleeps afterwards: its cache holds nothing back.
#[test]
fn what_lies_in_a_sleeping_threads_cache_wakes_who_waits() {
    explore(Some(if full() { 4 } else { 3 }), || {
        let budget = Budget::new(64);
        let pool = Pool::on(&budget);
        let sleeper = Cache::new();
        pool.handle.core().attach(&sleeper);
        let held = pool.born();
        let theirs = pool.clone();
        let waiter = thread::spawn(move || {
            let cache = Cache::new();
            theirs.wait().expect("it comes home").put(&cache);
            cache.exit();
        });
        held.put(&sleeper);
        waiter.join().unwrap();
        end(pool, &budget, &[&sleeper]);
    });
}

/// The thread that returns the slot makes its magazine while the line is being formed.
#[test]
fn a_cache_attached_meanwhile_wakes_who_waits() {
    explore(Some(if full() { 4 } else { 3 }), || {
        let budget = Budget::new(64);
        let pool = Pool::on(&budget);
        let held = pool.born();
        let theirs = pool.clone();
        let waiter = thread::spawn(move || {
            let cache = Cache::new();
            theirs.wait().expect("it comes home").put(&cache);
            cache.exit();
        });
        let cache = Cache::new();
        held.put(&cache);
        waiter.join().unwrap();
        end(pool, &budget, &[&cache]);
    });
}

/// Two pools on one budget: what comes home in one gives its memory up for who waits for the other.
#[test]
fn another_pools_return_wakes_who_waits() {
    explore(Some(if full() { 3 } else { 2 }), || {
        let budget = Budget::new(64);
        let (pool, other) = (Pool::on(&budget), Pool::on(&budget));
        let held = other.born();
        let theirs = pool.clone();
        let waiter = thread::spawn(move || {
            let cache = Cache::new();
            theirs.wait().expect("its memory comes free").put(&cache);
            cache.exit();
        });
        let cache = Cache::new();
        held.put(&cache);
        waiter.join().unwrap();
        cache.exit();
        drop(other);
        end(pool, &budget, &[]);
    });
}

/// Who stands first gives up while the slot comes home: the next gets it.
#[test]
fn a_cancelled_wait_passes_its_turn_on() {
    explore(Some(if full() { 4 } else { 3 }), || {
        let budget = Budget::new(64);
        let pool = Pool::on(&budget);
        let held = pool.born();
        let bells = [Bell::new(), Bell::new()];
        let [Ok(Stood::Waits(first)), Ok(Stood::Waits(second))] = [pool.stand(&bells[0]), pool.stand(&bells[1])] else {
            panic!("there is only one slot, and it is out");
        };
        let theirs = pool.clone();
        let quitter = thread::spawn(move || leave(theirs.site(), first));
        let cache = Cache::new();
        held.put(&cache);
        pool.wait_in(second, &bells[1]).expect("it comes home").put(&cache);
        quitter.join().unwrap();
        end(pool, &budget, &[&cache]);
    });
}

/// The pool is closed while somebody comes to wait.
#[test]
fn a_close_ends_every_wait() {
    explore(Some(if full() { 4 } else { 3 }), || {
        let budget = Budget::new(64);
        let pool = Pool::on(&budget);
        let held = pool.born();
        let theirs = pool.clone();
        let waiter = thread::spawn(move || {
            let Err(error) = theirs.wait() else { panic!("a slot out of nowhere") };
            assert_eq!(error, Error::Closed);
        });
        pool.handle.close();
        waiter.join().unwrap();
        let cache = Cache::new();
        held.put(&cache);
        end(pool, &budget, &[&cache]);
    });
}

/// The limit is raised while somebody comes to wait.
#[test]
fn a_raised_limit_wakes_who_waits() {
    explore(Some(if full() { 4 } else { 3 }), || {
        let budget = Budget::new(64);
        let pool = Pool::on(&budget);
        let held = pool.born();
        let same = budget.clone();
        let raiser = thread::spawn(move || same.set_limit(128));
        let cache = Cache::new();
        pool.wait().expect("there is room for it then").put(&cache);
        raiser.join().unwrap();
        held.put(&cache);
        end(pool, &budget, &[&cache]);
    });
}

/// One release is enough for two, of whom one is served in a turn of the lock: the other is, too, whatever comes between.
#[test]
fn what_is_enough_for_two_wakes_both() {
    explore(Some(if full() { 4 } else { 3 }), || {
        let budget = Budget::new(128);
        let pool = Pool::on(&budget);
        budget.node().reserve(Amount::bytes(128)).ok().expect("there is room for it").keep();
        let bells = [Bell::new(), Bell::new()];
        let [Ok(Stood::Waits(first)), Ok(Stood::Waits(second))] = [pool.stand(&bells[0]), pool.stand(&bells[1])] else {
            panic!("nothing is free");
        };
        let same = budget.clone();
        let releaser = thread::spawn(move || same.node().release(Amount::bytes(128)));
        let first = pool.wait_in(first, &bells[0]).expect("there is room for it");
        let cache = Cache::new();
        pool.wait_in(second, &bells[1]).expect("there is room for it, too").put(&cache);
        first.put(&cache);
        releaser.join().unwrap();
        end(pool, &budget, &[&cache]);
    });
}

/// Attention that is left from an earlier wait spares the search, and with it the fence there.
#[test]
fn a_release_wakes_who_waits_while_attention_lasts() {
    explore(None, || {
        let budget = Budget::new(64);
        let pool = Pool::on(&budget);
        budget.node().reserve(SLOT).ok().expect("there is room for it").keep();
        let Ok(Stood::Waits(earlier)) = pool.stand(&Bell::new()) else { panic!("nothing is free") };
        leave(pool.site(), earlier);
        let same = budget.clone();
        let releaser = thread::spawn(move || same.node().release(SLOT));
        let cache = Cache::new();
        pool.wait().expect("its turn comes").put(&cache);
        releaser.join().unwrap();
        end(pool, &budget, &[&cache]);
    });
}

/// A charge that the parent refuses is in the way for a moment: who was refused because of it is served afterwards.
#[test]
fn a_charge_taken_back_wakes_who_waits() {
    explore(Some(if full() { 4 } else { 3 }), || {
        let budget = Budget::new(64);
        let child = budget.child(64);
        let (full_pool, pool) = (Pool::on(&budget), Pool::on(&child));
        let held = full_pool.born();
        let same = child.clone();
        let refused = thread::spawn(move || drop(same.node().reserve(SLOT)));
        let bell = Bell::new();
        let stood = pool.stand(&bell).expect("it fits");
        let cache = Cache::new();
        held.put(&cache);
        let got = match stood {
            Stood::Granted(grant) => pool.redeem(grant),
            Stood::Waits(place) => pool.wait_in(place, &bell).expect("its turn comes"),
        };
        got.put(&cache);
        refused.join().unwrap();
        cache.exit();
        drop(full_pool);
        end(pool, &budget, &[]);
    });
}

/// A child with a minimum is charged and released by two threads at once: no limit is exceeded, and at rest the parent
/// has only what the minimum cannot cover.
#[test]
fn a_minimum_covers_what_it_can() {
    explore(Some(if full() { 5 } else { 3 }), || {
        let budget = Budget::new(128);
        let child = budget.child_reserving(64, 128).expect("there is room");
        let check = |budget: &Budget, child: &Budget| assert!(budget.used() <= 128 && child.used() <= 128);
        let (theirs, theirs_child) = (budget.clone(), child.clone());
        let other = thread::spawn(move || {
            let Ok(reservation) = theirs_child.node().reserve(SLOT) else { panic!("there is room for two") };
            reservation.keep();
            check(&theirs, &theirs_child);
        });
        let Ok(reservation) = child.node().reserve(SLOT) else { panic!("there is room for two") };
        check(&budget, &child);
        drop(reservation);
        other.join().unwrap();
        assert_eq!((child.used(), budget.used(), budget.available()), (64, 64, 64));
        child.node().release(SLOT);
        assert_eq!((child.used(), budget.used(), budget.available()), (0, 64, 64));
        drop(child);
        assert_eq!(budget.used(), 0);
    });
}

/// Two threads charge two children of one budget at once, and one of them gives back.
#[test]
fn no_limit_is_exceeded() {
    explore(None, || {
        let budget = Budget::new(64);
        let (mine, theirs) = (budget.child(64), budget.child(64));
        let same = budget.clone();
        let other = thread::spawn(move || {
            let reservation = theirs.node().reserve(SLOT);
            assert!(same.used() <= 64 && theirs.used() <= 64);
            drop(reservation);
        });
        let reservation = mine.node().reserve(SLOT);
        assert!(budget.used() <= 64 && mine.used() <= 64);
        other.join().unwrap();
        let mut charged = 0;
        if let Ok(reservation) = reservation {
            reservation.keep();
            charged = 64;
        }
        assert_eq!((mine.used(), budget.used()), (charged, charged));
        mine.node().release(Amount::bytes(charged));
    });
}

/// A charge that the parent refuses held the minimum for a moment, in which another went beyond it.
#[test]
fn a_refused_charge_leaves_the_minimum_to_others() {
    explore(Some(if full() { 3 } else { 2 }), || {
        let budget = Budget::new(128);
        let child = budget.child_reserving(64, 256).expect("there is room");
        let theirs = child.clone();
        let other = thread::spawn(move || {
            assert!(theirs.node().reserve(Amount::bytes(192)).is_err());
        });
        let Ok(reservation) = child.node().reserve(SLOT) else { panic!("there is room") };
        reservation.keep();
        other.join().unwrap();
        assert_eq!((child.used(), budget.used()), (64, 64));
        child.node().release(SLOT);
    });
}

/// A charge that went beyond a minimum finds part of the minimum free afterwards, and gives to the parent.
#[test]
fn what_a_charge_gives_to_the_parent_wakes_who_waits() {
    explore(Some(if full() { 4 } else { 3 }), || {
        let budget = Budget::new(128);
        let child = budget.child_reserving(64, 192).expect("there is room");
        let pool = Pool::on(&budget);
        child.node().reserve(SLOT).ok().expect("there is room").keep();
        let (a, b) = (child.clone(), child.clone());
        let charger = thread::spawn(move || a.node().reserve(SLOT).map(|charged| charged.keep()).is_ok());
        let releaser = thread::spawn(move || b.node().release(SLOT));
        let cache = Cache::new();
        pool.wait().expect("its turn comes").put(&cache);
        if charger.join().unwrap() {
            child.node().release(SLOT);
        }
        releaser.join().unwrap();
        cache.exit();
        drop(pool);
    });
}

/// A slot that a waiter was to have is taken by a get that came before the line.
#[test]
fn a_slot_taken_meanwhile_is_not_waited_for() {
    explore(Some(if full() { 3 } else { 2 }), || {
        let budget = Budget::new(128);
        let pool = Pool::on(&budget);
        budget.node().reserve(SLOT).ok().expect("there is room").keep();
        let held = pool.born();
        let home = Cache::new();
        held.put(&home);
        home.exit();
        let theirs = pool.clone();
        let getter = thread::spawn(move || {
            let cache = Cache::new();
            let slot = theirs.handle.core().take_idle(&cache, 0, |_| ());
            cache.exit();
            slot.map(|slot| Held { slot, lane: theirs.handle.core().lane_at(0) })
        });
        let same = budget.clone();
        let releaser = thread::spawn(move || same.node().release(SLOT));
        // As `try_now`: only who is refused comes to wait.
        let cache = Cache::new();
        if pool.leaf().reserve(SLOT).map(drop).is_err() {
            pool.wait().expect("there is room for two").put(&cache);
        }
        if let Some(held) = getter.join().unwrap() {
            held.put(&cache);
        }
        releaser.join().unwrap();
        end(pool, &budget, &[&cache]);
    });
}

/// What lies idle in a tenant's pool is covered by its minimum, until another charge takes the minimum.
#[test]
fn idle_memory_beyond_a_minimum_gives_way() {
    explore(Some(if full() { 3 } else { 2 }), || {
        let budget = Budget::new(128);
        let child = budget.child_reserving(64, 192).expect("there is room");
        let (pool, tenant) = (Pool::on(&budget), Pool::on(&child));
        let home = Cache::new();
        tenant.born().put(&home);
        home.exit();
        let a = child.clone();
        let charger = thread::spawn(move || a.node().reserve(SLOT).map(|charged| charged.keep()).is_ok());
        let cache = Cache::new();
        pool.wait().expect("the tenant's idle slot gives way").put(&cache);
        if charger.join().unwrap() {
            child.node().release(SLOT);
        }
        cache.exit();
        drop((pool, tenant));
    });
}

/// A request for two is first in line, with room for one. When it gives up, the next is served from that room.
#[test]
fn a_cancelled_wait_leaves_its_room_to_the_next() {
    explore(Some(if full() { 4 } else { 3 }), || {
        let budget = Budget::new(128);
        let pool = Pool::on(&budget);
        let held = pool.born();
        let bells = [Bell::new(), Bell::new()];
        let two = Demand::of(0, 2, SLOT);
        let stood = stand(pool.site(), two, None, &bells[0].waker());
        let [Ok(Stood::Waits(first)), Ok(Stood::Waits(second))] = [stood, pool.stand(&bells[1])] else {
            panic!("there is room for one, and somebody before it");
        };
        let theirs = pool.clone();
        let quitter = thread::spawn(move || leave(theirs.site(), first));
        let cache = Cache::new();
        pool.wait_in(second, &bells[1]).expect("there is room for it").put(&cache);
        quitter.join().unwrap();
        held.put(&cache);
        end(pool, &budget, &[&cache]);
    });
}
