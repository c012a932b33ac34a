//! How slots come home: into the thread's magazine, to the depot, to who waits, or out of the pool.
//!
//! A thread that gives its last slot away must not touch the store afterwards, see [`store`](super). So everything here
//! ends with handing the slots on.

use std::ptr::{self, NonNull};

use super::depots::by_bank;
use super::{Keeping, Store};
use crate::engine::cache::{AtHand, Cache};
use crate::engine::core::Core;
use crate::engine::depot::{Depot, Heed, Loot, Pushed, Side};
use crate::engine::lanes::Lane;
use crate::engine::magazine::{Magazine, Push, Stay, Unsettled};
use crate::engine::slot::SlotPtr;
use crate::memory::os::topology::Bank;
use crate::panics;

impl Store {
    /// Gives slots, newest last, to the depots of their banks in one exchange each, or to the system if they may not stay.
    ///
    /// By pointer, because the store may be gone before this returns.
    ///
    /// # Safety
    /// The caller holds the slots, all of this store, and does not touch the store afterwards unless something else of
    /// its own keeps the core.
    pub(in crate::engine) unsafe fn send_home(store: *const Store, slots: &[SlotPtr]) {
        if slots.is_empty() {
            return;
        }
        // SAFETY: the slots keep the core.
        let this = unsafe { &*store };
        if this.keeping == Keeping::Idle && this.core().has_attention() {
            // SAFETY: the caller's promises.
            return unsafe { Core::offer(this.core, slots) };
        }
        let (several, here) = (this.depots.are_several(), this.depots.here());
        let send = |bank, slots: &[SlotPtr]| {
            let side = if bank == here { Side::Near } else { Side::Far };
            // SAFETY: the caller's promises: what is not passed on keeps the core, and after the last nothing is touched.
            unsafe { Store::send_to(store, bank, side, slots) };
        };
        // SAFETY: the caller's promises.
        unsafe { by_bank(several, slots, send) };
    }

    /// The same for slots of one bank, which come from this side.
    ///
    /// # Safety
    /// As [`send_home`](Self::send_home); there are some.
    unsafe fn send_to(store: *const Store, bank: Bank, side: Side, slots: &[SlotPtr]) {
        // SAFETY: the slots keep the core.
        let this = unsafe { &*store };
        let stay = this.admit(bank, slots.len());
        let (leaving, staying) = slots.split_at(slots.len() - stay);
        // SAFETY: `staying` keeps the core, or nothing is touched after the loop.
        unsafe { retire_all(leaving) };
        if staying.is_empty() {
            return;
        }
        if this.depots.are_several() {
            this.depots.of(bank).count_returns(side, staying.len());
        }
        // SAFETY: the caller's promises.
        unsafe { Store::put_announced(store, bank, staying) };
    }

    /// Gives slots that were idle a moment ago back to their depots.
    ///
    /// # Safety
    /// As [`send_home`](Self::send_home).
    pub(super) unsafe fn put_back(store: *const Store, slots: &[SlotPtr]) {
        if slots.is_empty() {
            return;
        }
        // SAFETY: the slots keep the core.
        let several = unsafe { &*store }.depots.are_several();
        let put = |bank, slots: &[SlotPtr]| {
            // SAFETY: the slots keep the core.
            unsafe { &*store }.depots.of(bank).announce(slots.len());
            // SAFETY: the caller's promises: what is not passed on keeps the core, and after the last nothing is touched.
            unsafe { Store::put_announced(store, bank, slots) };
        };
        // SAFETY: the caller's promises.
        unsafe { by_bank(several, slots, put) };
    }

    /// # Safety
    /// As [`send_home`](Self::send_home); the bank's depot has been told of the slots, of which there are some, all of this
    /// bank.
    unsafe fn put_announced(store: *const Store, bank: Bank, slots: &[SlotPtr]) {
        // SAFETY: the slots keep the core.
        let depot = ptr::from_ref(unsafe { &*store }.depots.of(bank));
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

    /// Puts a slot into the depot, whoever waits. False: it may not stay, and is still the caller's. Frees nothing, for
    /// this is done under locks.
    ///
    /// # Safety
    /// As [`send_home`](Self::send_home).
    pub(in crate::engine) unsafe fn shelve(store: *const Store, slot: SlotPtr) -> bool {
        // SAFETY: the caller holds it.
        let bank = unsafe { slot.head() }.bank();
        // SAFETY: the slot keeps the core.
        if unsafe { &*store }.admit_as_it_is(bank, 1) == 0 {
            return false;
        }
        // SAFETY: as above.
        let depot = ptr::from_ref(unsafe { &*store }.depots.of(bank));
        // SAFETY: the caller holds it; nothing is touched after `Taken`.
        let taken = unsafe { Depot::push(depot, &[slot], 1, Heed::Nothing) } == Pushed::Taken;
        if !taken {
            // SAFETY: refused, so the slot keeps the core.
            unsafe { &*depot }.withdraw(1);
        }
        taken
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
pub(super) fn leave(cache: &Cache, magazine: NonNull<Magazine>) {
    // SAFETY: this thread's, until the loop, in which it may be replaced and is not touched any more.
    let mut slots = unsafe { magazine.as_ref() }.take_all();
    for slot in slots.drain() {
        // SAFETY: taken out, so ours; nothing of its store is touched afterwards.
        unsafe { put_slowly(cache, slot) };
    }
}

/// Gives up the memory of these slots.
///
/// # Safety
/// The caller holds them, and touches nothing afterwards that only they kept.
pub(in crate::engine) unsafe fn retire_all(slots: &[SlotPtr]) {
    for &slot in slots {
        // SAFETY: held by the caller, and each kept its core until now.
        unsafe { Core::retire(slot) };
    }
}
