//! Decay: what has lain idle for a whole interval goes back to the system.
//!
//! The interval is looked at in quarters. A tick ends one: it asks each depot for its lowest level since the tick before.
//! So many slots nobody has needed in that quarter, whatever came and went above them; and the lowest of four is what
//! nobody has needed in the whole interval. A get that found nothing saw an empty depot, so a store that missed keeps all
//! it has for an interval.
//!
//! What lies in a thread's cache is the thread's as long as it works. A magazine whose word has not changed in a quarter
//! belongs to a thread that does not, and its slots go to the depot.
//!
//! When memory is short elsewhere, the same marks say what may go before its time: see [`Core::give_back_unneeded`].

use std::mem;

use super::{Core, rob};
use crate::engine::barrier;
use crate::engine::depot::{Depot, Heed, Loot};
use crate::engine::seats::Visit;
use crate::engine::slot::SlotPtr;
use crate::engine::store::Store;
use crate::memory::os::topology::{Bank, MAX_BANKS};
use crate::sync::{BATCH, Ordering::*, fence, locked};

/// Ticks in an interval.
pub(crate) const QUARTERS: usize = 4;

/// Vacant headers that are not worth looking through: 128 KiB of them.
const FEW_HEADERS: usize = 1024;

/// What is known of the levels of each depot, those of a store side by side.
#[derive(Debug)]
pub(super) struct Past(Box<[Lows]>);

impl Past {
    pub(super) fn of(depots: usize) -> Self {
        Past(vec![Lows::UNKNOWN; depots].into())
    }
}

/// The lowest levels of a depot in times that have passed. Those in which nobody looked count as if nothing had been low.
#[derive(Clone, Copy, Debug)]
struct Lows {
    /// In each of the quarters that are over, the last one first.
    quarters: [usize; QUARTERS],
    /// In the quarter that is under way, up to the last relief.
    under_way: usize,
    /// In the last quarter that is over, as far as it lies behind the last relief.
    since_relief: usize,
}

impl Lows {
    const UNKNOWN: Lows = Lows { quarters: [0; QUARTERS], under_way: usize::MAX, since_relief: usize::MAX };

    /// So many quarters are over, and this was the lowest level since the last look. How many slots nobody has needed in
    /// the whole interval.
    fn end_quarters(&mut self, low: usize, quarters: usize) -> usize {
        self.since_relief = low;
        let low = low.min(mem::replace(&mut self.under_way, usize::MAX));
        for _ in 0..quarters.min(QUARTERS) {
            self.quarters.rotate_right(1);
            self.quarters[0] = low;
        }
        self.quarters.into_iter().min().unwrap_or(0)
    }

    /// This was the lowest level since the last look. How many slots nobody has needed since the last call, or at least a
    /// quarter.
    fn relieve(&mut self, low: usize) -> usize {
        self.under_way = self.under_way.min(low);
        low.min(mem::replace(&mut self.since_relief, usize::MAX))
    }

    /// So many slots go, which might as well never have been there.
    fn forget(&mut self, slots: usize) {
        let lows = self.quarters.iter_mut().chain([&mut self.under_way, &mut self.since_relief]);
        lows.for_each(|low| *low = low.saturating_sub(slots));
    }
}

impl Core {
    /// So many quarters of an interval have passed since the last call. How many bytes went; and false where nothing is left
    /// that could decay. A call while another looks at the core does nothing, as with the two below.
    ///
    /// Costs a visit to all magazines, and one barrier in each running thread of the process if one of them lies still.
    pub(crate) fn decay(&self, quarters: usize) -> (usize, bool) {
        let freed = self.look(|| {
            self.empty_still_magazines();
            self.give_up(|lows, low| lows.end_quarters(low, quarters))
        });
        (freed.unwrap_or(0), freed.is_none() || self.can_decay())
    }

    /// As [`decay`](Self::decay), whatever goes.
    #[cfg(test)]
    pub(crate) fn tick(&self, quarters: usize) -> bool {
        self.decay(quarters).1
    }

    /// Retires what nobody has needed lately; how many bytes. In a depot, that is since the last call or, if a whole quarter
    /// has passed since, from the beginning of the last one; in a magazine, since anybody looked at it.
    ///
    /// Costs a visit to all magazines, and one barrier in each running thread of the process for so many that lie still as
    /// are robbed at once.
    pub(crate) fn give_back_unneeded(&self) -> usize {
        let give_back = || {
            let in_depots = self.give_up(Lows::relieve);
            in_depots + self.retire_cached(self.seated().filter(|(_, magazine)| magazine.lies_still()))
        };
        self.look(give_back).unwrap_or(0)
    }

    /// Retires all idle slots above the floor; how many bytes. Depots first, so that what stays is where it was used.
    ///
    /// Costs as [`give_back_unneeded`](Self::give_back_unneeded), whether the magazines lie still or not.
    pub(crate) fn give_back_all(&self) -> usize {
        let give_back = || {
            // For what stays, an interval begins.
            locked(&self.past).0.fill(Lows::UNKNOWN);
            let in_depots: usize = self.stores.iter().map(|store| store.make_way(store.above_floor())).sum();
            in_depots + self.retire_cached(self.seated().filter(|(store, _)| store.above_floor() > 0))
        };
        self.look(give_back).unwrap_or(0)
    }

    /// Does this and tidies, unless somebody does already. Of two looks at once, each might retire what is above the floor,
    /// and the second would find unneeded whatever nobody has needed since the first.
    fn look<R>(&self, work: impl FnOnce() -> R) -> Option<R> {
        // Acquire pairs with the Release below: what the last look retired is counted.
        if self.is_looked_at.swap(true, Acquire) {
            return None;
        }
        let done = work();
        self.wind_clock();
        self.tidy();
        self.is_looked_at.store(false, Release);
        Some(done)
    }

    /// Retires what is above the floor in these magazines, and sends the rest of it home; how many bytes.
    fn retire_cached<'a>(&'a self, magazines: impl Iterator<Item = (&'a Store, Visit<'a>)>) -> usize {
        let mut freed = 0;
        rob(magazines, |store, loot| {
            let (going, staying) = loot.as_slice().split_at(loot.len().min(store.above_floor()));
            // SAFETY: robbed, so ours; the caller keeps the core.
            freed += going.iter().map(|&slot| unsafe { Core::retire(slot) }).sum::<usize>();
            // SAFETY: as above.
            unsafe { Store::send_home(store, staying) };
        });
        freed
    }

    /// Retires slots of the depots that nobody has needed, by the judgement of `unneeded` on each depot's past and its
    /// lowest level since the last look; how many bytes.
    fn give_up(&self, unneeded: impl Fn(&mut Lows, usize) -> usize) -> usize {
        let of_store = |store: &Store| {
            let slots = self.unneeded(store, &unneeded);
            // Without the lock: this runs destructors, which may use pools, and even come by here.
            slots.iter().zip(0..).map(|(&slots, bank)| store.make_way_in(Bank(bank), slots)).sum::<usize>()
        };
        self.stores.iter().map(of_store).sum()
    }

    /// How many slots of each of a store's depots nobody has needed.
    fn unneeded(&self, store: &Store, judge: impl Fn(&mut Lows, usize) -> usize) -> [usize; MAX_BANKS] {
        let mut unneeded = [0; MAX_BANKS];
        let mut past = locked(&self.past);
        let depots = &mut past.0[store.class() * self.limits.banks..];
        for ((low, lows), slots) in store.ebbs().zip(&mut *depots).zip(&mut unneeded) {
            *slots = judge(lows, low);
        }
        let unneeded_in_all: usize = unneeded.iter().sum();
        spare_evenly(&mut unneeded, unneeded_in_all.saturating_sub(store.above_floor()));
        depots.iter_mut().zip(&unneeded[..self.limits.banks]).for_each(|(lows, &slots)| lows.forget(slots));
        unneeded
    }

    /// Sends home what lies in magazines that their owners have not touched since the last look.
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
    pub(crate) fn can_decay(&self) -> bool {
        self.stores.iter().any(|store| store.above_floor() > 0)
    }

    /// Says that nobody will call [`decay`](Self::decay) before the next birth, of which the keeper is told. False: there has
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

/// Lets so many, of all that are to go, stay after all: as many of each.
fn spare_evenly(going: &mut [usize], mut staying: usize) {
    while staying > 0 {
        let share = staying.div_ceil(going.iter().filter(|&&slots| slots > 0).count().max(1));
        for slots in &mut *going {
            let spared = share.min(*slots).min(staying);
            *slots -= spared;
            staying -= spared;
        }
    }
}
