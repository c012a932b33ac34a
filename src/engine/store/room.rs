//! How much may lie idle: places in magazines, slots in the depot, and what gives way to what.
//!
//! A thread's allowance bounds what its magazines may hold, the core's limits what lies idle in all. Counts are raised first
//! and corrected afterwards, so that threads that check at once never exceed a limit together. They raise different counts
//! (the level of a depot, places, slots and bytes that have memory) and look at all of them; so those writes and looks are
//! SeqCst: of two threads, one sees what the other has raised. On x86 that costs nothing.

use super::{Keeping, Store};
use crate::engine::cache::Cache;
use crate::engine::core::Core;
use crate::engine::depot::Loot;
use crate::engine::magazine::Magazine;
use crate::memory::os::topology::Bank;
use crate::sync::{DEPTH, Ordering::*, seqcst_for_loom};

/// A slot of at most this many bytes gets one place in a magazine whatever the thread's allowance.
const ALWAYS_ONE_PLACE: usize = 256 << 10;
/// How many times its allowance a thread may cache in a single large buffer besides.
const LARGE_ONE: usize = 16;
/// Slow-path misses between two tries to enlarge a magazine whose thread had no allowance left.
const PATIENCE: u32 = 64;

impl Store {
    /// How many of `count` slots may lie in the bank's depot; announced there already. What lies idle elsewhere may be
    /// retired for them.
    pub(super) fn admit(&self, bank: Bank, count: usize) -> usize {
        self.admit_after(bank, count, || {
            if self.excess() > 0 {
                self.core().give_way(self.core().excess_bytes(), Some(self));
            }
        })
    }

    /// As [`admit`](Self::admit), but nothing is retired.
    pub(super) fn admit_as_it_is(&self, bank: Bank, count: usize) -> usize {
        self.admit_after(bank, count, || {})
    }

    fn admit_after(&self, bank: Bank, count: usize, make_room: impl Fn()) -> usize {
        if self.keeping == Keeping::Nothing || self.is_closed() {
            return 0;
        }
        let depot = self.depots.of(bank);
        depot.announce(count);
        seqcst_for_loom();
        make_room();
        let refused = self.excess().min(count);
        depot.withdraw(refused);
        count - refused
    }

    /// Bytes that lie in depots or may lie in magazines.
    pub(in crate::engine) fn idle_bound(&self) -> usize {
        (self.depots.level() + self.places.load(SeqCst)).saturating_mul(self.weight)
    }

    /// Doubles the magazine's limit as far as the thread's allowance and the core's limits go. True if it grew.
    #[cold]
    pub(super) fn enlarge(&self, cache: &Cache, magazine: &Magazine) -> bool {
        let limit = magazine.limit();
        if limit == DEPTH || self.core().has_attention() || !magazine.may_ask_for_places() {
            return false;
        }
        let more = match limit {
            0 if self.weight <= ALWAYS_ONE_PLACE || self.may_be_the_large_one(cache) => 1,
            _ => self.affordable(cache, limit),
        };
        let granted = self.grant_places(more.min(DEPTH - limit));
        // Read again: granting may retire slots, which may run user code, which may have come by here.
        let more = granted.min(DEPTH - magazine.limit());
        self.places.fetch_sub(granted - more, Relaxed);
        magazine.set_limit(magazine.limit() + more);
        if more == 0 {
            magazine.be_patient(PATIENCE);
        }
        more > 0
    }

    /// Whether this is the one class above the thread's allowance that gets a place all the same: without it a get and
    /// a return of such a buffer cost two exchanges with the depot, twenty times as much.
    fn may_be_the_large_one(&self, cache: &Cache) -> bool {
        let allowance = self.core().limits().thread_cache;
        let others = || self.core().stores().iter().any(|store| store.is_large() && store.cached_by(cache) > 0);
        self.is_large() && self.weight / LARGE_ONE <= allowance && !others()
    }

    /// Whether one slot takes more than half of a thread's allowance, so that it would hardly ever fit beside others.
    fn is_large(&self) -> bool {
        self.weight > self.core().limits().thread_cache / 2
    }

    /// How many places more, up to twice as many, the thread's allowance has room for. A much larger magazine of the
    /// thread gives some of its own away, so that the first class to grow does not keep the others small.
    fn affordable(&self, cache: &Cache, limit: usize) -> usize {
        if self.is_large() {
            return 0;
        }
        let wanted = limit.max(1);
        let fits = || {
            let left = self.core().limits().thread_cache.saturating_sub(self.core().allowed_to(cache));
            (left / self.weight.max(1)).min(wanted)
        };
        if fits() < wanted {
            self.core().halve_largest_above(cache, (limit + wanted) * self.weight);
        }
        fits()
    }

    /// The bytes this thread's magazine here may hold.
    pub(in crate::engine) fn cached_by(&self, cache: &Cache) -> usize {
        self.magazine_of(cache).map_or(0, Magazine::limit) * self.weight
    }

    /// As many of them as count against the thread's allowance.
    pub(in crate::engine) fn allowed_to(&self, cache: &Cache) -> usize {
        if self.is_large() { 0 } else { self.cached_by(cache) }
    }

    /// Halves the limit of this thread's magazine; what is above it goes to the depot.
    pub(in crate::engine) fn halve(&self, cache: &Cache) {
        let Some(magazine) = self.magazine_of(cache) else { return };
        let limit = magazine.limit() / 2;
        self.places.fetch_sub(magazine.limit() - limit, Relaxed);
        magazine.set_limit(limit);
        self.refill(cache, magazine.into(), magazine.take_all().as_slice());
    }

    /// How many of these places fit: at most half of what may be idle lies in magazines. Idle slots of the depot make
    /// room.
    fn grant_places(&self, wanted: usize) -> usize {
        let limits = self.core().limits();
        // Added first and corrected afterwards, so that threads that enlarge at once never exceed the limit together.
        let places = self.places.fetch_add(wanted, SeqCst) + wanted;
        seqcst_for_loom();
        let over_count = places.saturating_sub(limits.max_idle_per_store.div_ceil(2));
        let over_bytes = self.core().place_bytes().saturating_sub(limits.max_idle / 2);
        let beyond_half = over_count.max(self.slots_for(over_bytes)).min(wanted);
        self.places.fetch_sub(beyond_half, Relaxed);
        let granted = wanted - beyond_half;
        if granted > 0 {
            self.make_room();
        }
        let refused = self.excess().min(granted);
        self.places.fetch_sub(refused, Relaxed);
        granted - refused
    }

    /// How many of this store's idle slots are too many, counting every place in a magazine as taken. Idle memory is
    /// never more than all memory, so empty places cost nothing while that fits.
    fn excess(&self) -> usize {
        let idle = (self.depots.level() + self.places.load(SeqCst)).min(self.resident.load(SeqCst));
        let over_count = idle.saturating_sub(self.core().limits().max_idle_per_store);
        over_count.max(self.slots_for(self.core().excess_bytes()))
    }

    /// Retires idle slots until no limit is exceeded: what the clock chooses, then of this store's depot, then of the
    /// others'. Called whenever there may be more idle memory than before without a check: more places, or more memory.
    pub(in crate::engine) fn make_room(&self) {
        if self.is_closed() {
            return;
        }
        seqcst_for_loom();
        match self.core().excess_bytes() {
            0 => {}
            bytes => _ = self.core().give_way(bytes, None),
        }
        self.make_way(self.excess());
        if self.core().excess_bytes() > 0 {
            for store in self.core().stores().iter().rev() {
                store.make_way(store.slots_for(self.core().excess_bytes()));
            }
        }
    }

    fn slots_for(&self, bytes: usize) -> usize {
        bytes.div_ceil(self.weight.max(1))
    }

    /// Retires slots of the depots until so many of them, and so many bytes, are enough; the bytes. A batch at a time of the
    /// fullest, so that what stays is as much on each node.
    fn evict(&self, enough: impl Fn(usize, usize) -> bool) -> usize {
        let (mut count, mut bytes) = (0, 0);
        while self.depots.are_several() && !enough(count, bytes) {
            let done = |more, more_bytes| more >= self.batch || enough(count + more, bytes + more_bytes);
            let gone = self.evict_from(self.depots.fullest(), done);
            (count, bytes) = (count + gone.0, bytes + gone.1);
            // Some may be on their way into it, while there are others elsewhere.
            if gone.0 == 0 {
                break;
            }
        }
        for bank in self.depots.banks() {
            let gone = self.evict_from(bank, |more, more_bytes| enough(count + more, bytes + more_bytes));
            (count, bytes) = (count + gone.0, bytes + gone.1);
        }
        bytes
    }

    /// The same of one depot; how many slots, and their bytes.
    fn evict_from(&self, bank: Bank, enough: impl Fn(usize, usize) -> bool) -> (usize, usize) {
        let depot = self.depots.of(bank);
        let (mut count, mut bytes) = (0, 0);
        while !enough(count, bytes) {
            let mut loot = Loot::new();
            // SAFETY: the core's table is the one of all its depots.
            if unsafe { depot.pop_unneeded(self.core().table(), 1, &mut loot) }.0 == 0 {
                break;
            }
            let mut slots = loot.as_slice();
            while let [oldest, newer @ ..] = slots {
                if enough(count, bytes) {
                    break;
                }
                // SAFETY: popped above; the caller keeps the core.
                bytes += unsafe { Core::retire(*oldest) };
                count += 1;
                slots = newer;
            }
            // SAFETY: as above.
            unsafe { Store::put_back(self, slots) };
        }
        if count > 0 {
            depot.sink(count);
        }
        (count, bytes)
    }

    /// Retires so many slots of the depots, if they are there; how many bytes.
    pub(in crate::engine) fn make_way(&self, slots: usize) -> usize {
        if slots == 0 { 0 } else { self.evict(|count, _| count >= slots) }
    }

    /// Retires so many slots of this bank's depot, if they are there; how many bytes.
    pub(in crate::engine) fn make_way_in(&self, bank: Bank, slots: usize) -> usize {
        if slots == 0 { 0 } else { self.evict_from(bank, |count, _| count >= slots).1 }
    }

    /// Retires slots of the depots until so many bytes are free; how many are.
    pub(in crate::engine) fn reclaim(&self, wanted: usize) -> usize {
        self.evict(|_, bytes| bytes >= wanted)
    }

    pub(in crate::engine) fn place_bytes(&self) -> usize {
        self.places.load(SeqCst).saturating_mul(self.weight)
    }
}
