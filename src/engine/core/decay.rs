//! Decay: what has lain idle for a whole interval goes back to the system.
//!
//! The interval is looked at in quarters. A tick ends one: it asks each depot for its lowest level since the tick before.
//! So many slots nobody has needed in that quarter, whatever came and went above them; and the lowest of four is what
//! nobody has needed in the whole interval. A get that found nothing saw an empty depot, so a store that missed keeps all
//! it has for an interval.
//!
//! What lies in a thread's cache is the thread's as long as it works. A magazine whose word has not changed in a quarter
//! belongs to a thread that does not, and its slots go to the depot.

use super::{Core, MAX_STORES};
use crate::engine::barrier;
use crate::engine::depot::{Depot, Heed, Loot};
use crate::engine::slot::SlotPtr;
use crate::engine::store::Store;
use crate::sync::{BATCH, Ordering::*, fence, locked};

/// Ticks in an interval.
pub(crate) const QUARTERS: usize = 4;

/// Vacant headers that are not worth looking through: 128 KiB of them.
const FEW_HEADERS: usize = 1024;

/// The lowest level of each store's depot, in each of the quarters that have passed.
#[derive(Debug)]
pub(super) struct Past(Box<[[usize; QUARTERS]]>);

impl Past {
    pub(super) fn of(stores: usize) -> Self {
        Past(vec![[0; QUARTERS]; stores].into())
    }
}

impl Core {
    /// So many quarters of an interval have passed since the last call. False: nothing is left that could decay.
    ///
    /// Costs a visit to all magazines, and one barrier in each running thread of the process if one of them lies still.
    pub(crate) fn tick(&self, quarters: usize) -> bool {
        self.empty_still_magazines();
        let unneeded = self.unneeded(quarters);
        // Without the lock: this runs destructors, which may use pools, and even come by here.
        for (store, &slots) in self.stores.iter().zip(&unneeded).filter(|(_, slots)| **slots > 0) {
            store.make_way(slots);
        }
        self.wind_clock();
        self.tidy();
        self.can_decay()
    }

    /// How many slots of each store nobody has needed in the whole interval.
    fn unneeded(&self, quarters: usize) -> [usize; MAX_STORES] {
        let mut unneeded = [0; MAX_STORES];
        let mut past = locked(&self.past);
        for ((store, lows), unneeded) in self.stores.iter().zip(&mut past.0).zip(&mut unneeded) {
            let low = store.ebb();
            for _ in 0..quarters.min(QUARTERS) {
                lows.rotate_right(1);
                lows[0] = low;
            }
            *unneeded = lows.iter().copied().min().unwrap_or(0).min(store.above_floor());
            lows.iter_mut().for_each(|low| *low -= *unneeded);
        }
        unneeded
    }

    /// Sends home what lies in magazines that their owners have not touched since the last call.
    fn empty_still_magazines(&self) {
        let mut still = Vec::new();
        for (store, magazine) in self.seated().filter(|(_, magazine)| magazine.lies_still()) {
            // Without memory for the list, the others wait for the next tick.
            if still.try_reserve(1).is_err() {
                break;
            }
            if magazine.ask() {
                still.push((store, magazine));
            }
        }
        if still.is_empty() {
            return;
        }
        let ordered = barrier::heavy();
        for (store, magazine) in still {
            let loot = magazine.take(ordered);
            // SAFETY: robbed, so ours; the caller keeps the core.
            unsafe { Store::send_home(store, loot.as_slice()) };
        }
    }

    /// Has memory that was given up go back to the system as far as it has not.
    pub(super) fn tidy(&self) {
        // SAFETY: made for this kind of core, which the caller keeps.
        unsafe { (self.tidy)(self.whole()) };
        self.release_headers();
    }

    /// Gives back the memory of headers that stand for nothing, unless they are few, or were of no use lately.
    fn release_headers(&self) {
        let vacant = self.vacant.level();
        if vacant < FEW_HEADERS || vacant < self.useless_headers.load(Relaxed).saturating_mul(2) {
            return;
        }
        let Some(mut indices) = self.table.no_indices() else { return };
        let (mut popped, mut rest, mut left) = (Loot::new(), Loot::new(), 0);
        let mut leave = |slot| {
            left += 1;
            rest.add(slot);
            if rest.len() == BATCH {
                self.put_vacant(&mut rest);
            }
        };
        // SAFETY: the core's table is the one of all its depots.
        while unsafe { self.vacant.pop(&self.table, BATCH, &mut popped) } > 0 {
            // SAFETY: popped, so ours.
            let later = |slot: &SlotPtr| !indices.add(unsafe { slot.head() }.index());
            let mut are_late = false;
            for slot in popped.drain().filter(later) {
                are_late = true;
                leave(slot);
            }
            if are_late {
                break;
            }
        }
        // SAFETY: popped out of the vacant ones, so ours and vacated.
        unsafe { self.table.release(&indices, &mut leave) };
        self.put_vacant(&mut rest);
        self.useless_headers.store(left, Relaxed);
    }

    fn put_vacant(&self, slots: &mut Loot) {
        if slots.is_empty() {
            return;
        }
        self.vacant.announce(slots.len());
        // SAFETY: the caller's slots, vacated; the caller keeps the core.
        unsafe { Depot::push(&self.vacant, slots.as_slice(), BATCH, Heed::Nothing) };
        slots.forget();
    }

    /// Whether there is anything that is not to stay for good.
    fn can_decay(&self) -> bool {
        self.stores.iter().any(|store| store.above_floor() > 0)
    }

    /// Says that nobody will call [`tick`](Self::tick) before the next birth, of which the keeper is told. False: there has
    /// been one.
    pub(crate) fn fall_asleep(&self) -> bool {
        self.asleep.store(true, Relaxed);
        // With the fence in `wakes_up`: either we see what was born, or they see that we sleep.
        fence(SeqCst);
        !self.can_decay() || !self.asleep.swap(false, Relaxed)
    }

    /// After a birth: whether the keeper must be told of it.
    pub(super) fn wakes_up(&self) -> bool {
        fence(SeqCst);
        self.asleep.load(Relaxed) && self.asleep.swap(false, Relaxed)
    }
}
