//! A store: the idle slots of one kind, as threads' magazines in front of a depot, and the slow paths between them.
//!
//! What keeps a core alive is what a thread *holds*: a pool handle, an attachment, or a slot. A thread that gives its
//! last slot away must not touch the store afterwards, for the slot's next holder may be the one that frees the core.
//! Every function here that takes slots therefore ends with handing them on, and counts before it does.

mod depots;
mod returns;
mod room;
mod takes;

use std::ptr::NonNull;

use crate::engine::cache::Cache;
use crate::engine::clock::Sight;
use crate::engine::core::{Core, Limits};
use crate::engine::depot::{Depot, Side, Watcher};
use crate::engine::lanes::{self, Lane};
use crate::engine::magazine::Magazine;
use crate::engine::seats::Seats;
use crate::memory::os::topology::Bank;
use crate::sync::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, BATCH, Ordering::*, fence};

use depots::Depots;
pub(super) use returns::retire_all;
pub(crate) use returns::{put_back, put_cached, put_many, put_slowly};

/// What becomes of slots that come back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Keeping {
    /// They stay ready, within the core's limits.
    Idle,
    /// They are vacated at once.
    Nothing,
}

/// Idle slots of one kind.
pub(crate) struct Store {
    depots: Depots,
    seats: Seats,
    core: *const Core,
    class: usize,
    keeping: Keeping,
    /// Bytes a slot stands for, for the limits.
    weight: usize,
    /// Slots in a batch, so many that one fits half a magazine of a thread that has its whole allowance.
    batch: usize,
    closed: AtomicBool,
    lane: AtomicU32,
    /// Places of all seated magazines together.
    places: AtomicUsize,
    /// Slots that were there when the pool was built, and stay.
    floor: AtomicUsize,
    /// Slots that have memory, wherever they are, and their bytes.
    resident: AtomicUsize,
    resident_bytes: AtomicUsize,
    /// Counts of magazines that are gone, and of gets without a magazine.
    cache_hits: AtomicU64,
    depot_hits: AtomicU64,
    stolen: AtomicU64,
    handed_over: AtomicU64,
    fresh: AtomicU64,
}

/// What a store can say of itself. Exact when nobody works on it; a concurrent snapshot may see a slot on its way
/// between two places in both or in neither, up to a magazine a thread.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct StoreStats {
    pub(crate) cache_hits: u64,
    pub(crate) depot_hits: u64,
    pub(crate) stolen: u64,
    pub(crate) handed_over: u64,
    pub(crate) fresh: u64,
    pub(crate) depot_retries: u64,
    pub(crate) resident: usize,
    pub(crate) resident_bytes: usize,
    pub(crate) in_caches: usize,
    pub(crate) in_depot: usize,
    pub(crate) local_returns: u64,
    pub(crate) remote_returns: u64,
}

impl Store {
    pub(super) fn new(core: *const Core, class: usize, kind: &super::core::StoreConfig, limits: &Limits) -> Self {
        Store {
            depots: Depots::new(limits.banks),
            seats: Seats::new(),
            core,
            class,
            keeping: kind.keeping,
            weight: kind.weight,
            batch: (limits.thread_cache / kind.weight.max(1) / 2).clamp(1, BATCH),
            closed: AtomicBool::new(false),
            lane: AtomicU32::new(Lane::NONE.0),
            places: AtomicUsize::new(0),
            floor: AtomicUsize::new(0),
            resident: AtomicUsize::new(0),
            resident_bytes: AtomicUsize::new(0),
            cache_hits: AtomicU64::new(0),
            depot_hits: AtomicU64::new(0),
            stolen: AtomicU64::new(0),
            handed_over: AtomicU64::new(0),
            fresh: AtomicU64::new(0),
        }
    }

    pub(super) fn core(&self) -> &Core {
        // SAFETY: the core owns its stores, so it is there as long as the caller may use `self`.
        unsafe { &*self.core }
    }

    pub(super) fn core_ptr(&self) -> *const Core {
        self.core
    }

    pub(super) fn class(&self) -> usize {
        self.class
    }

    pub(super) fn seats(&self) -> &Seats {
        &self.seats
    }

    /// Slots in the depots, or on their way into them.
    pub(super) fn level(&self) -> usize {
        self.depots.level()
    }

    /// The bank of this thread, where its pool tells banks apart.
    pub(super) fn bank_here(&self) -> Bank {
        self.depots.here()
    }

    /// Whether somebody waits for memory. Then this magazine of the caller's thread, attached here, has no places any
    /// more, so that returns go past it at once.
    fn heeds_attention(&self, magazine: &Magazine) -> bool {
        let core = self.core();
        if !core.has_attention() {
            if !magazine.has_attention() {
                return false;
            }
            // Left over: the magazine was attached while attention was being lowered. If it is being raised again, and
            // this dismisses the new request, the exchange shows the flag that was set before it.
            magazine.dismiss_attention();
            if !core.has_attention() {
                return false;
            }
            magazine.request_attention();
        }
        // Mostly none already; and a subtraction would take the cache line from the other threads.
        if magazine.limit() > 0 {
            self.places.fetch_sub(magazine.limit(), Relaxed);
            magazine.set_limit(0);
        }
        true
    }

    /// This thread's magazine for this store, made on first use.
    fn magazine<'c>(&self, cache: &'c Cache) -> Option<&'c Magazine> {
        if self.keeping == Keeping::Nothing || self.is_closed() {
            return None;
        }
        self.magazine_of(cache).or_else(|| self.attach(cache, self.lane()))
    }

    pub(super) fn known_lane(&self) -> Lane {
        Lane(self.lane.load(Relaxed))
    }

    /// This store's lane, taken on first use.
    fn lane(&self) -> Lane {
        let lane = self.known_lane();
        if lane != Lane::NONE {
            return lane;
        }
        let mine = lanes::take();
        // Relaxed: a number.
        match self.lane.compare_exchange(Lane::NONE.0, mine.0, Relaxed, Relaxed) {
            Ok(_) => {
                self.core().show_lane(self.class, mine);
                mine
            }
            Err(theirs) => {
                lanes::give_back(mine);
                Lane(theirs)
            }
        }
    }

    /// Makes this thread's magazine for this store. The caller holds a handle or a slot of this core.
    #[cold]
    fn attach<'c>(&self, cache: &'c Cache, lane: Lane) -> Option<&'c Magazine> {
        let made = cache.add(lane, self.core().id())?;
        // SAFETY: just made, and held by the cache.
        let magazine = unsafe { made.as_ref() };
        self.core().retain();
        // Relaxed: published to visitors with the seat.
        magazine.link().store(std::ptr::from_ref(self).cast_mut(), Relaxed);
        // SAFETY: alive, this thread's, in no seat.
        if !unsafe { self.seats.occupy(made) } {
            magazine.link().store(std::ptr::null_mut(), Relaxed);
            cache.remove(lane);
            // SAFETY: retained above; the caller keeps the core.
            unsafe { Core::release(self.core) };
            return None;
        }
        // With the fences in `Core::shut` and `raise_attention`: either they see the seat, or we see their flag.
        fence(SeqCst);
        if self.is_closed() {
            cache.remove(lane);
            return None;
        }
        if self.core().has_attention() {
            magazine.request_attention();
        }
        self.enlarge(cache, magazine);
        cache.magazine(lane)
    }

    /// Makes sure that this thread has a magazine here.
    pub(super) fn attach_now(&self, cache: &Cache) {
        self.magazine(cache);
    }

    /// This thread's magazine here, if it has one.
    fn magazine_of<'c>(&self, cache: &'c Cache) -> Option<&'c Magazine> {
        let magazine = cache.magazine(self.known_lane())?;
        (magazine.core_id() == self.core().id()).then_some(magazine)
    }

    /// Takes the magazine's counts over. Owner or closer, once, with the link in hand.
    fn fold(&self, magazine: &Magazine) {
        self.cache_hits.fetch_add(magazine.snapshot().1, Relaxed);
        self.depot_hits.fetch_add(magazine.depot_hits(), Relaxed);
        self.handed_over.fetch_add(magazine.handed_over(), Relaxed);
        self.places.fetch_sub(magazine.limit(), Relaxed);
    }

    /// Closer: takes the attachment from a magazine that the closer visits.
    pub(super) fn cut(&self, magazine: &Magazine) {
        // AcqRel: whoever finds the link decides alone; pairs with the swap in `detach`.
        if magazine.link().swap(std::ptr::null_mut(), AcqRel).is_null() {
            return;
        }
        self.fold(magazine);
        // SAFETY: with the link came the attachment's use of the seat, which ends here; the visit is another use.
        let seat = unsafe { &*magazine.seat().load(Relaxed) };
        // SAFETY: a use that came with the link, ended once.
        unsafe { seat.leave() };
        // SAFETY: with the link came the attachment's hold on the core; the closer has its own.
        unsafe { Core::release(self.core) };
    }

    pub(super) fn is_closed(&self) -> bool {
        // Relaxed: only a hint. What matters is decided by the depot's head, the closed bit, and the fences in `attach`
        // and `shut`.
        self.closed.load(Relaxed)
    }

    pub(super) fn set_closed(&self) {
        self.closed.store(true, Relaxed);
    }

    /// Empties the depots for good.
    pub(super) fn close_depots(&self) {
        // SAFETY: taken out, so ours; the closer holds the core.
        let retire = |slot| unsafe { retire_all(&[slot]) };
        for depot in self.depots.all() {
            // SAFETY: the core's table is the one of all its depots, and the closer holds the core.
            unsafe { depot.close(self.core().table(), retire) };
        }
    }

    pub(super) fn count_birth(&self, bytes: usize) {
        self.fresh.fetch_add(1, Relaxed);
        // SeqCst: see `room`.
        self.resident.fetch_add(1, SeqCst);
        self.resident_bytes.fetch_add(bytes, Relaxed);
    }

    /// A birth that no get asked for.
    pub(super) fn uncount_fresh(&self) {
        self.fresh.fetch_sub(1, Relaxed);
    }

    /// So many of the slots are to stay.
    pub(super) fn raise_floor(&self, slots: usize) {
        self.floor.fetch_add(slots, Relaxed);
    }

    /// Slots above the floor, wherever they are.
    pub(super) fn above_floor(&self) -> usize {
        self.resident.load(Relaxed).saturating_sub(self.floor.load(Relaxed))
    }

    /// The lowest level of each bank's depot since the last call.
    pub(super) fn ebbs(&self) -> impl Iterator<Item = usize> {
        self.depots.all().map(|depot| depot.ebb(Watcher::Decay))
    }

    /// What the clock sees of this store. Not at the same time as another call of this.
    pub(super) fn sight(&self) -> Sight {
        let (idle, low) = (self.depots.level(), self.depots.ebb(Watcher::Clock));
        Sight { resident: self.resident.load(Relaxed), idle, low }
    }

    pub(super) fn count_death(&self, bytes: usize) {
        self.resident.fetch_sub(1, Relaxed);
        self.resident_bytes.fetch_sub(bytes, Relaxed);
    }

    pub(super) fn count_handed_over(&self, cache: &Cache) {
        match self.magazine(cache) {
            Some(magazine) => magazine.count_handed_over(),
            None => drop(self.handed_over.fetch_add(1, Relaxed)),
        }
    }

    /// Bytes that lie idle, as if each idle slot had the average of all: exact where all are alike and nobody works.
    pub(super) fn idle_bytes(&self) -> usize {
        let stats = self.stats();
        let idle = stats.in_caches + stats.in_depot;
        let bytes = stats.resident_bytes as u128 * idle.min(stats.resident) as u128;
        usize::try_from(bytes.checked_div(stats.resident as u128).unwrap_or(0)).unwrap_or(usize::MAX)
    }

    pub(super) fn count_weight(&self, from: usize, to: usize) {
        // Wraps like the difference itself.
        self.resident_bytes.fetch_add(to.wrapping_sub(from), Relaxed);
    }

    pub(super) fn raise_attention(&self) {
        self.depots.all().for_each(Depot::raise_attention);
    }

    pub(super) fn lower_attention(&self) {
        self.depots.all().for_each(Depot::lower_attention);
        self.seats.visit().for_each(|magazine| magazine.dismiss_attention());
    }

    pub(super) fn count_stolen(&self) {
        self.stolen.fetch_add(1, Relaxed);
    }

    pub(super) fn give_back_lane(&self) {
        lanes::give_back(self.known_lane());
    }

    /// Bytes of what it has besides itself and its seats.
    pub(super) fn depot_bytes(&self) -> usize {
        self.depots.bytes()
    }

    pub(super) fn stats(&self) -> StoreStats {
        let mut stats = StoreStats {
            cache_hits: self.cache_hits.load(Relaxed),
            depot_hits: self.depot_hits.load(Relaxed),
            stolen: self.stolen.load(Relaxed),
            handed_over: self.handed_over.load(Relaxed),
            fresh: self.fresh.load(Relaxed),
            depot_retries: self.depots.all().map(Depot::retries).sum(),
            resident: self.resident.load(Relaxed),
            resident_bytes: self.resident_bytes.load(Relaxed),
            in_caches: 0,
            in_depot: self.depots.level(),
            local_returns: self.depots.returns(Side::Near),
            remote_returns: self.depots.returns(Side::Far),
        };
        for magazine in self.seats.visit() {
            let (len, hits) = magazine.snapshot();
            stats.in_caches += len;
            stats.cache_hits += hits;
            stats.depot_hits += magazine.depot_hits();
            stats.handed_over += magazine.handed_over();
        }
        stats
    }
}

/// Owner: ends this magazine's attachment, if the closer has not.
pub(super) fn detach(magazine: NonNull<Magazine>) {
    // SAFETY: the caller's table holds it.
    let magazine = unsafe { magazine.as_ref() };
    // AcqRel: pairs with the swap in `cut`, for the store's contents as for the decision.
    let Some(store) = NonNull::new(magazine.link().swap(std::ptr::null_mut(), AcqRel)) else { return };
    // SAFETY: with the link came the attachment's hold on the core.
    let store = unsafe { store.as_ref() };
    store.fold(magazine);
    let slots = magazine.take_all();
    // SAFETY: taken out, so ours; the attachment still holds the core.
    unsafe { Store::send_home(store, slots.as_slice()) };
    // SAFETY: with the link came the attachment's use of the seat.
    let seat = unsafe { &*magazine.seat().load(Relaxed) };
    // SAFETY: a use that came with the link, ended once.
    unsafe { seat.leave() };
    // SAFETY: the attachment's hold, given up once; the store is not touched again.
    unsafe { Core::release(store.core) };
}
