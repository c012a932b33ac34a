//! A store: the idle slots of one kind, as threads' magazines in front of a depot, and the slow paths between them.
//!
//! What keeps a core alive is what a thread *holds*: a pool handle, an attachment, or a slot. A thread that gives its
//! last slot away must not touch the store afterwards, for the slot's next holder may be the one that frees the core.
//! Every function here that takes slots therefore ends with handing them on, and counts before it does.

mod room;

use std::ptr::NonNull;

use crate::engine::cache::{AtHand, Cache};
use crate::engine::core::Core;
use crate::engine::depot::{Depot, Heed, Loot, Pushed};
use crate::engine::lanes::{self, Lane};
use crate::engine::magazine::{Magazine, Push, Stay, Unsettled};
use crate::engine::panics;
use crate::engine::seats::Seats;
use crate::engine::slot::SlotPtr;
use crate::engine::spare::Spare;
use crate::sync::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, BATCH, DEPTH, Ordering::*, fence};

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
    depot: Depot,
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
}

impl Store {
    pub(super) fn new(core: *const Core, class: usize, kind: &super::core::StoreConfig, thread_cache: usize) -> Self {
        Store {
            depot: Depot::new(),
            seats: Seats::new(),
            core,
            class,
            keeping: kind.keeping,
            weight: kind.weight,
            batch: (thread_cache / kind.weight.max(1) / 2).clamp(1, BATCH),
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

    /// A slot that is idle in this thread's magazine or in the depot. The caller holds a handle or a slot of this core.
    /// `prefetch` is called for the slots that come into the magazine.
    pub(super) fn take_idle(&self, cache: &Cache, prefetch: impl Fn(SlotPtr)) -> Option<SlotPtr> {
        let magazine = self.magazine(cache);
        if let Some(slot) = magazine.and_then(Magazine::pop_again) {
            return Some(slot);
        }
        let magazine = magazine.filter(|magazine| !self.heeds_attention(magazine));
        let mut loot = Loot::new();
        let batches = magazine.map_or(1, |m| m.limit() / 2 / self.batch);
        // SAFETY: the core's table is the one of all its depots.
        unsafe { self.depot.pop(self.core().table(), batches, &mut loot) };
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

    /// Puts slots that came out of the depot into this thread's empty magazine, and what does not fit back into the
    /// depot.
    fn refill(&self, cache: &Cache, magazine: NonNull<Magazine>, slots: &[SlotPtr]) {
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
    pub(super) fn take_many(&self, cache: &Cache, count: usize, mut each: impl FnMut(SlotPtr)) {
        let mut cached = Loot::new();
        if let Some(magazine) = self.magazine(cache) {
            magazine.pop_many(count, &mut cached);
        }
        let from_depot = count - cached.len();
        cached.drain().for_each(&mut each);
        if from_depot > 0 {
            self.take_from_depot(cache, from_depot, each);
        }
    }

    fn take_from_depot(&self, cache: &Cache, count: usize, mut each: impl FnMut(SlotPtr)) {
        let mut taken = 0;
        while taken < count {
            let mut loot = Loot::new();
            let batches = (count - taken).min(DEPTH).div_ceil(self.batch);
            // SAFETY: the core's table is the one of all its depots.
            if unsafe { self.depot.pop(self.core().table(), batches, &mut loot) } == 0 {
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

    /// Gives slots, newest last, to the depot in one exchange, or to the system if they may not stay.
    ///
    /// By pointer, because the store may be gone before this returns.
    ///
    /// # Safety
    /// The caller holds the slots, all of this store, and does not touch the store afterwards unless something else of
    /// its own keeps the core.
    pub(super) unsafe fn send_home(store: *const Store, slots: &[SlotPtr]) {
        if slots.is_empty() {
            return;
        }
        // SAFETY: the slots keep the core.
        let this = unsafe { &*store };
        if this.keeping == Keeping::Idle && this.core().has_attention() {
            // SAFETY: the caller's promises.
            return unsafe { Core::offer(this.core, slots) };
        }
        let stay = this.admit(slots.len());
        let (leaving, staying) = slots.split_at(slots.len() - stay);
        // SAFETY: `staying` keeps the core, or nothing is touched after the loop.
        unsafe { retire_all(leaving) };
        if staying.is_empty() {
            return;
        }
        // SAFETY: the caller's promises.
        unsafe { Store::put_announced(store, staying) };
    }

    /// Gives slots that were idle a moment ago back to the depot.
    ///
    /// # Safety
    /// As [`send_home`](Self::send_home).
    unsafe fn put_back(store: *const Store, slots: &[SlotPtr]) {
        if !slots.is_empty() {
            // SAFETY: the slots keep the core.
            unsafe { &(*store).depot }.announce(slots.len());
            // SAFETY: the caller's promises.
            unsafe { Store::put_announced(store, slots) };
        }
    }

    /// # Safety
    /// As [`send_home`](Self::send_home); the depot has been told of the slots, of which there are some.
    unsafe fn put_announced(store: *const Store, slots: &[SlotPtr]) {
        // SAFETY: the slots keep the core.
        let depot = unsafe { &raw const (*store).depot };
        // SAFETY: as above.
        let batch = unsafe { (*store).batch };
        // SAFETY: the caller holds them; nothing is touched after `Taken`.
        let pushed = unsafe { Depot::push(depot, slots, batch, Heed::Attention) };
        if pushed == Pushed::Taken {
            return;
        }
        // SAFETY: refused, so still ours, and they keep the core.
        unsafe { &*depot }.withdraw(slots.len());
        if pushed == Pushed::Closed {
            // SAFETY: as above; nothing is touched afterwards.
            unsafe { retire_all(slots) };
        } else {
            // SAFETY: as above.
            let core = unsafe { (*store).core };
            // SAFETY: as above; nothing is touched afterwards.
            unsafe { Core::offer(core, slots) };
        }
    }

    /// Puts a slot into the depot, whoever waits. False: it may not stay, and is still the caller's.
    ///
    /// # Safety
    /// As [`send_home`](Self::send_home).
    pub(super) unsafe fn shelve(store: *const Store, slot: SlotPtr) -> bool {
        // SAFETY: the slot keeps the core.
        if unsafe { &*store }.admit(1) == 0 {
            return false;
        }
        // SAFETY: as above.
        let depot = unsafe { &raw const (*store).depot };
        // SAFETY: the caller holds it; nothing is touched after `Taken`.
        let taken = unsafe { Depot::push(depot, &[slot], 1, Heed::Nothing) } == Pushed::Taken;
        if !taken {
            // SAFETY: refused, so the slot keeps the core.
            unsafe { &*depot }.withdraw(1);
        }
        taken
    }

    /// Up to `count` slots of the depot for those who wait, in whose presence nothing else may come into it.
    pub(super) fn unshelve(&self, count: usize, mut each: impl FnMut(Spare)) {
        let mut left = count;
        while left > 0 {
            let mut loot = Loot::new();
            // SAFETY: the core's table is the one of all its depots.
            if unsafe { self.depot.pop(self.core().table(), 1, &mut loot) } == 0 {
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

    /// Slots in the depot, or on their way into it.
    pub(super) fn level(&self) -> usize {
        self.depot.level()
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

    /// Empties the depot for good.
    pub(super) fn close_depot(&self) {
        // SAFETY: taken out, so ours; the closer holds the core.
        let retire = |slot| unsafe { retire_all(&[slot]) };
        // SAFETY: the core's table is the one of all its depots, and the closer holds the core.
        unsafe { self.depot.close(self.core().table(), retire) };
    }

    pub(super) fn count_birth(&self, bytes: usize) {
        self.fresh.fetch_add(1, Relaxed);
        self.resident.fetch_add(1, Relaxed);
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

    /// The lowest level of the depot since the last call.
    pub(super) fn ebb(&self) -> usize {
        self.depot.ebb()
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
        self.depot.raise_attention();
    }

    pub(super) fn lower_attention(&self) {
        self.depot.lower_attention();
        self.seats.visit().for_each(|magazine| magazine.dismiss_attention());
    }

    pub(super) fn count_stolen(&self) {
        self.stolen.fetch_add(1, Relaxed);
    }

    pub(super) fn give_back_lane(&self) {
        lanes::give_back(self.known_lane());
    }

    pub(super) fn stats(&self) -> StoreStats {
        let mut stats = StoreStats {
            cache_hits: self.cache_hits.load(Relaxed),
            depot_hits: self.depot_hits.load(Relaxed),
            stolen: self.stolen.load(Relaxed),
            handed_over: self.handed_over.load(Relaxed),
            fresh: self.fresh.load(Relaxed),
            depot_retries: self.depot.retries(),
            resident: self.resident.load(Relaxed),
            resident_bytes: self.resident_bytes.load(Relaxed),
            in_caches: 0,
            in_depot: self.depot.level(),
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

/// Takes a slot home if this thread's magazine has room: the hit path of every return. False: the slot is still the
/// caller's.
///
/// # Safety
/// The caller holds the slot, whose memory is as an idle slot's must be, and touches nothing afterwards that only the
/// slot kept. `lane` is the slot's store's, or NONE.
#[inline(always)]
pub(crate) unsafe fn put_cached(cache: &Cache, lane: Lane, slot: SlotPtr) -> bool {
    let Some(magazine) = cache.magazine(lane) else { return false };
    match magazine.push(slot) {
        Push::Done => true,
        Push::Refused => false,
        Push::Unsettled(push) => put_disturbed(cache.at_hand(), magazine.into(), push),
    }
}

/// What became of a push that met a request, seen to its end. False: the slot is still the caller's. Goes on with what
/// the destructors of slots' contents panicked, since the hit path does not ask.
#[cold]
#[inline(never)]
fn put_disturbed(cache: AtHand<'_>, magazine: NonNull<Magazine>, push: Unsettled) -> bool {
    // SAFETY: this thread's, and not replaced before `leave`, which comes last.
    let stay = unsafe { magazine.as_ref() }.settle_push(push);
    if stay == Some(Stay::Leave) {
        cache.with(|cache| leave(cache, magazine));
    }
    // A slot that is still the caller's was refused, and nothing was retired.
    if stay.is_some() {
        panics::resume();
    }
    stay.is_some()
}

/// Puts as many of these slots as there is room for into this thread's magazine; the others are still the caller's.
///
/// # Safety
/// As [`put_cached`], for each.
unsafe fn put_in<'s>(cache: &Cache, lane: Lane, slots: &'s [SlotPtr]) -> &'s [SlotPtr] {
    let Some(magazine) = cache.magazine(lane) else { return slots };
    let (cached, rest) = slots.split_at(slots.len().min(magazine.room()));
    match magazine.push_many(cached) {
        Some(Stay::Open) => rest,
        Some(Stay::Leave) => {
            leave(cache, magazine.into());
            rest
        }
        None => slots,
    }
}

/// Puts slots back that were taken out of this thread's magazine of this lane, of one store, for nothing.
///
/// # Safety
/// As [`put_cached`], for each.
pub(crate) unsafe fn put_back(cache: &Cache, lane: Lane, slots: &[SlotPtr]) {
    if let Some(magazine) = cache.magazine(lane).filter(|_| !slots.is_empty()) {
        magazine.uncount_hits(slots.len());
    }
    // SAFETY: the caller's promises.
    unsafe { put_many(cache, lane, slots) };
}

/// Takes slots of one store home: into the magazine as far as there is room or may be made, the rest to the depot in one
/// exchange.
///
/// # Safety
/// As [`put_cached`], for each.
pub(crate) unsafe fn put_many(cache: &Cache, lane: Lane, slots: &[SlotPtr]) {
    // SAFETY: the caller's promises.
    let rest = unsafe { put_in(cache, lane, slots) };
    let Some(slot) = rest.first() else { return };
    // SAFETY: not taken, so held, which keeps table and store.
    let store = unsafe { slot.head() }.store();
    // SAFETY: as above.
    let this = unsafe { &*store };
    let grown = lane != Lane::NONE && this.magazine(cache).is_some_and(|magazine| this.enlarge(cache, magazine));
    if grown {
        // SAFETY: the caller's promises. As often as a magazine's limit can be doubled.
        return unsafe { put_many(cache, lane, rest) };
    }
    // SAFETY: the caller's promises; the last use of the store.
    unsafe { Store::send_home(store, rest) };
}

/// Takes a slot home when it may not fit this thread's magazine, or there is none.
///
/// # Safety
/// As [`put_cached`].
#[cold]
#[inline(never)]
pub(crate) unsafe fn put_slowly(cache: &Cache, slot: SlotPtr) {
    // SAFETY: the caller holds the slot, which keeps its table.
    let store = unsafe { slot.head() }.store();
    // SAFETY: the slot keeps its store.
    let this = unsafe { &*store };
    let Some(magazine) = this.magazine(cache).filter(|magazine| !this.heeds_attention(magazine)) else {
        // SAFETY: the caller's promises.
        return unsafe { Store::send_home(store, &[slot]) };
    };
    let mut stay = magazine.push_again(slot);
    if stay.is_none() && this.enlarge(cache, magazine) {
        stay = magazine.push_again(slot);
    }
    match stay {
        Some(Stay::Open) => {}
        Some(Stay::Leave) => leave(cache, magazine.into()),
        // SAFETY: refused, so still ours.
        None if magazine.limit() == 0 => unsafe { Store::send_home(store, &[slot]) },
        // SAFETY: as above.
        None => unsafe { flush(cache, store, magazine.into(), slot) },
    }
}

/// The magazine is full: its older half goes to the depot in one exchange, the newer half and the slot stay.
///
/// # Safety
/// As [`put_cached`].
unsafe fn flush(cache: &Cache, store: *const Store, magazine: NonNull<Magazine>, slot: SlotPtr) {
    // SAFETY: this thread's, and not replaced before `leave`, which comes last.
    let full = unsafe { magazine.as_ref() }.take_all();
    let (older, newer) = full.as_slice().split_at(full.len().div_ceil(2));
    // SAFETY: taken out, so ours; `slot`, still in hand, keeps the core.
    unsafe { Store::send_home(store, older) };
    let mut rest = Loot::new();
    newer.iter().copied().chain([slot]).for_each(|slot| rest.add(slot));
    // SAFETY: as above.
    match unsafe { magazine.as_ref() }.push_many(rest.as_slice()) {
        Some(Stay::Open) => {}
        Some(Stay::Leave) => leave(cache, magazine),
        // SAFETY: refused, so still ours; the last use of the store.
        None => unsafe { Store::send_home(store, rest.as_slice()) },
    }
}

/// The owner met a bit that lets nothing stay: sends home what its magazine holds. In a lane that is used again these
/// may be another store's slots, so each is asked where it belongs.
#[cold]
#[inline(never)]
fn leave(cache: &Cache, magazine: NonNull<Magazine>) {
    // SAFETY: this thread's, until the loop, in which it may be replaced and is not touched any more.
    let mut slots = unsafe { magazine.as_ref() }.take_all();
    for slot in slots.drain() {
        // SAFETY: taken out, so ours; nothing of its store is touched afterwards.
        unsafe { put_slowly(cache, slot) };
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

/// Gives up the memory of these slots.
///
/// # Safety
/// The caller holds them, and touches nothing afterwards that only they kept.
pub(super) unsafe fn retire_all(slots: &[SlotPtr]) {
    for &slot in slots {
        // SAFETY: held by the caller, and each kept its core until now.
        unsafe { Core::retire(slot) };
    }
}
