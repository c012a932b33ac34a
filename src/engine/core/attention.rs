//! Memory for others: attention, which has what comes home offered to who waits, and what idle memory gives way.

use super::{Core, rob};
use crate::engine::cache;
use crate::engine::slot::SlotPtr;
use crate::engine::spare::Spare;
use crate::engine::store::Store;
use crate::sync::{Ordering::*, fence};

/// How far a reclaim reaches.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Reach {
    /// What lies in depots: a few exchanges.
    Depots,
    /// What lies in the threads' caches, too: a barrier in each running thread of the process.
    Caches,
}

/// Returns that come home before attention is lowered, if nobody waits meanwhile: raising it costs a visit to all
/// magazines and a barrier in each running thread.
const CALM_AFTER: u32 = 1024;

/// Bytes given up at once that the system should have at once.
const TIDY_FROM: usize = 1 << 20;

impl Core {
    /// Has every slot that comes home offered to the keeper, and those that lie in threads' caches now, before it may
    /// lie idle. May be called while attention is raised, too.
    ///
    /// Whoever pushes into a magazine either sees the request or is robbed of what it pushed, see
    /// [`magazine`](crate::engine::magazine); whoever pushes into a depot finds the mark in its head.
    pub(crate) fn raise_attention(&self) {
        self.restless.store(CALM_AFTER, Relaxed);
        self.attention.store(true, Relaxed);
        self.stores.iter().for_each(Store::raise_attention);
        // With the fence in `Store::attach`: who attaches from now on sees the flag, or we see its seat.
        fence(SeqCst);
        let asked = self.seated().inspect(|(_, magazine)| magazine.request_attention());
        // SAFETY: robbed, so ours; the caller keeps the core.
        rob(asked, |store, loot| unsafe { Store::send_home(store, loot.as_slice()) });
    }

    /// Lets returns stay where they come. Not at the same time as another call of this. A call of
    /// [`raise_attention`](Self::raise_attention) that it meets must be repeated.
    pub(crate) fn lower_attention(&self) {
        self.attended.store(false, Relaxed);
        self.attention.store(false, Relaxed);
        self.stores.iter().for_each(Store::lower_attention);
    }

    pub(crate) fn has_attention(&self) -> bool {
        // Relaxed: what matters is decided by the depots' heads, the magazines' bits and the fences.
        self.attention.load(Relaxed)
    }

    /// Whether attention has been raised to the end, and not lowered since.
    pub(crate) fn is_attended(&self) -> bool {
        self.attended.load(Relaxed)
    }

    /// Attention has been raised to the end. Not at the same time as [`lower_attention`](Self::lower_attention).
    pub(crate) fn set_attended(&self) {
        self.attended.store(true, Relaxed);
    }

    /// Counts a slot that came home for nobody. True once there were many in a row, and attention may be lowered.
    pub(crate) fn calms_down(&self) -> bool {
        // Approximate, as threads may count at once.
        let left = self.restless.load(Relaxed).saturating_sub(1);
        self.restless.store(left, Relaxed);
        left == 0
    }

    /// Somebody waits again.
    pub(crate) fn be_restless(&self) {
        // Mostly so already; and a store would take the cache line from the other threads.
        if self.restless.load(Relaxed) != CALM_AFTER {
            self.restless.store(CALM_AFTER, Relaxed);
        }
    }

    /// Offers slots that came home to the keeper.
    ///
    /// # Safety
    /// The caller holds the slots, of this core, and touches nothing afterwards that only they kept.
    pub(in crate::engine) unsafe fn offer(core: *const Core, slots: &[SlotPtr]) {
        // SAFETY: the slots keep it until here.
        let this = unsafe { &*core };
        // What is offered may be gone at once.
        this.retain();
        for &slot in slots {
            // SAFETY: the caller holds it and gives it up.
            let spare = unsafe { Spare::new(slot) };
            // SAFETY: made for this kind of core, retained above.
            unsafe { (this.offer)(core, spare) };
        }
        // SAFETY: retained above.
        unsafe { Core::release(core) };
    }

    /// Idle slots of a class, or on their way to lie idle, that a waiter may have.
    pub(crate) fn shelved(&self, class: usize) -> usize {
        self.stores[class].level()
    }

    /// Takes up to `count` idle slots of a class for a waiter, while attention is raised; now and then one more, when the
    /// pool is being closed.
    pub(crate) fn unshelve(&self, class: usize, count: usize, each: impl FnMut(Spare)) {
        self.stores[class].unshelve(count, each);
    }

    /// A slot was handed to a waiter, which is this thread.
    pub(crate) fn count_handed_over(&self, class: usize) {
        cache::with(|cache| self.stores[class].count_handed_over(cache));
    }

    /// Bytes that lie idle; see [`Store::idle_bytes`].
    pub(crate) fn idle_bytes(&self) -> usize {
        self.stores.iter().map(Store::idle_bytes).fold(0, usize::saturating_add)
    }

    /// Retires idle slots until at most so many bytes lie idle; how many bytes are free.
    pub(crate) fn trim(&self, keep: usize) -> usize {
        // Slots that stand for nothing go when all are to go.
        let wanted = if keep == 0 { usize::MAX } else { self.idle_bytes().saturating_sub(keep) };
        let freed = self.reclaim(wanted, Reach::Caches);
        self.tidy();
        freed
    }

    /// Retires idle slots until so many bytes are free; how many are. What the clock chooses, then the largest classes
    /// first; depots before caches.
    pub(crate) fn reclaim(&self, wanted: usize, reach: Reach) -> usize {
        let missing = |freed| wanted.saturating_sub(freed);
        let from_depots = |freed, store: &Store| freed + store.reclaim(missing(freed));
        let mut freed = 0;
        // When all is to go there is nothing to choose; nor when nothing lies there, as mostly where requests wait. To ask the
        // clock is a look at every class, and what it notes moves cache lines.
        while wanted != usize::MAX && freed < wanted && self.stores.iter().any(|store| store.level() > 0) {
            match self.give_way(missing(freed), None) {
                0 => break,
                bytes => freed += bytes,
            }
        }
        freed = self.stores.iter().rev().fold(freed, from_depots);
        // With attention raised nothing lies in caches.
        if freed < wanted && reach == Reach::Caches && !self.has_attention() {
            freed += self.reclaim_cached(wanted - freed);
        }
        if freed >= TIDY_FROM {
            self.tidy();
        }
        freed
    }

    /// The same of what lies in caches.
    fn reclaim_cached(&self, wanted: usize) -> usize {
        let mut freed = 0;
        rob(self.seated(), |store, loot| {
            let mut slots = loot.as_slice();
            while let [oldest, newer @ ..] = slots {
                if freed >= wanted {
                    break;
                }
                // SAFETY: robbed, so ours; the caller keeps the core.
                freed += unsafe { Core::retire(*oldest) };
                slots = newer;
            }
            // SAFETY: as above.
            unsafe { Store::send_home(store, slots) };
        });
        freed
    }
}
