//! How slots are taken: out of the thread's magazine, or of a depot into it.

use std::ptr::NonNull;

use super::Store;
use super::returns::leave;
use crate::engine::cache::Cache;
use crate::engine::depot::Loot;
use crate::engine::magazine::{Magazine, Stay};
use crate::engine::slot::SlotPtr;
use crate::engine::spare::Spare;
use crate::memory::os::topology::Bank;
use crate::sync::{DEPTH, Ordering::*};

impl Store {
    /// A slot that is idle in this thread's magazine or in the depot. The caller holds a handle or a slot of this core.
    /// `prefetch` is called for the slots that come into the magazine.
    pub(in crate::engine) fn take_idle(&self, cache: &Cache, prefetch: impl Fn(SlotPtr)) -> Option<SlotPtr> {
        let magazine = self.magazine(cache);
        if let Some(slot) = magazine.and_then(Magazine::pop_again) {
            return Some(slot);
        }
        let magazine = magazine.filter(|magazine| !self.heeds_attention(magazine));
        let mut loot = Loot::new();
        let batches = magazine.map_or(1, |m| m.limit() / 2 / self.batch);
        self.pop_near(batches, &mut loot);
        let slot = loot.take_newest()?;
        match magazine {
            Some(magazine) => {
                magazine.count_depot_hit();
                loot.as_slice().iter().for_each(|&slot| prefetch(slot));
                self.enlarge(cache, magazine);
                self.refill(cache, magazine.into(), loot.as_slice());
            }
            None => {
                self.depot_hits.fetch_add(1, Relaxed);
                // SAFETY: popped above; the caller's handle or slot keeps the core.
                unsafe { Store::put_back(self, loot.as_slice()) };
            }
        }
        Some(slot)
    }

    /// Takes batches out of the depot of this thread's bank; how many slots.
    ///
    /// What was prefilled is for threads that must not enter the kernel, so there other banks are as good.
    fn pop_near(&self, batches: usize, out: &mut Loot) -> usize {
        let here = self.depots.here();
        // SAFETY: the core's table is the one of all its depots.
        match unsafe { self.depots.of(here).pop(self.core().table(), batches, out) } {
            0 if self.floor.load(Relaxed) > 0 => self.pop_far(here, batches, out),
            taken => taken,
        }
    }

    /// Takes batches out of a depot of another bank.
    fn pop_far(&self, here: Bank, batches: usize, out: &mut Loot) -> usize {
        let mut others = self.depots.besides(here);
        // SAFETY: the core's table is the one of all its depots.
        let taken = others.find_map(|depot| match unsafe { depot.pop(self.core().table(), batches, out) } {
            0 => None,
            taken => Some(taken),
        });
        taken.unwrap_or(0)
    }

    /// Puts slots that came out of the depot into this thread's empty magazine, and what does not fit back into the
    /// depot.
    pub(super) fn refill(&self, cache: &Cache, magazine: NonNull<Magazine>, slots: &[SlotPtr]) {
        // SAFETY: this thread's, and not replaced before `leave`, which comes last.
        let mine = unsafe { magazine.as_ref() };
        let (surplus, kept) = slots.split_at(slots.len().saturating_sub(mine.limit()));
        // SAFETY: the slots are ours, and the caller keeps the core by other means.
        unsafe { Store::put_back(self, surplus) };
        match mine.push_many(kept) {
            Some(Stay::Open) => {}
            Some(Stay::Leave) => leave(cache, magazine),
            // SAFETY: refused, so still ours.
            None => unsafe { Store::send_home(self, kept) },
        }
    }

    /// Takes up to `count` slots out of this thread's magazine, and then out of the depot in as few exchanges as there are
    /// magazines full, into `each`.
    pub(in crate::engine) fn take_many(&self, cache: &Cache, count: usize, mut each: impl FnMut(SlotPtr)) {
        let mut cached = Loot::new();
        if let Some(magazine) = self.magazine(cache) {
            magazine.pop_many(count, &mut cached);
        }
        let from_depot = count - cached.len();
        cached.drain().for_each(&mut each);
        if from_depot > 0 {
            self.take_from_depot(cache, from_depot, each, |batches, out| self.pop_near(batches, out));
        }
    }

    /// Takes up to `count` slots of other banks, for want of memory on this thread's.
    pub(in crate::engine) fn take_far(&self, cache: &Cache, count: usize, each: impl FnMut(SlotPtr)) {
        if self.depots.are_several() {
            let here = self.depots.here();
            self.take_from_depot(cache, count, each, |batches, out| self.pop_far(here, batches, out));
        }
    }

    fn take_from_depot(
        &self,
        cache: &Cache,
        count: usize,
        mut each: impl FnMut(SlotPtr),
        pop: impl Fn(usize, &mut Loot) -> usize,
    ) {
        let mut taken = 0;
        while taken < count {
            let mut loot = Loot::new();
            let batches = (count - taken).min(DEPTH).div_ceil(self.batch);
            if pop(batches, &mut loot) == 0 {
                break;
            }
            let wanted = loot.len().min(count - taken);
            let (rest, mine) = loot.as_slice().split_at(loot.len() - wanted);
            // All at once, because other processors may have used them last.
            mine.iter().for_each(|slot| slot.prefetch());
            mine.iter().rev().for_each(|&slot| each(slot));
            taken += wanted;
            self.keep_surplus(cache, rest);
        }
        self.depot_hits.fetch_add(taken as u64, Relaxed);
    }

    /// Finds a place for slots that came out of the depot with others: this thread's magazine, which is empty, if it has
    /// room.
    fn keep_surplus(&self, cache: &Cache, slots: &[SlotPtr]) {
        match self.magazine_of(cache).filter(|magazine| !self.heeds_attention(magazine)) {
            Some(magazine) if !slots.is_empty() => self.refill(cache, magazine.into(), slots),
            // SAFETY: popped by the caller, who keeps the core.
            _ => unsafe { Store::put_back(self, slots) },
        }
    }

    /// Up to `count` slots of the depots for those who wait, in whose presence nothing else may come into them.
    pub(in crate::engine) fn unshelve(&self, count: usize, mut each: impl FnMut(Spare)) {
        let here = self.depots.here();
        let mut left = count;
        while left > 0 {
            let mut loot = Loot::new();
            // SAFETY: the core's table is the one of all its depots.
            let near = unsafe { self.depots.of(here).pop(self.core().table(), 1, &mut loot) };
            if near == 0 && self.pop_far(here, 1, &mut loot) == 0 {
                break;
            }
            for slot in loot.drain() {
                // SAFETY: popped, so ours.
                let spare = unsafe { Spare::new(slot) };
                if left > 0 {
                    left -= 1;
                    each(spare);
                } else if let Err(refused) = spare.shelve() {
                    // The pool was closed meanwhile; whoever waited learns of it, and disposes of this.
                    each(refused);
                }
            }
        }
    }
}
