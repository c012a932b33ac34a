//! How an object pool comes by a slot: from this thread's cache, from the depot, with a new value, or from other threads'
//! caches; and how a slot goes home.

use std::mem::{self, ManuallyDrop};
use std::ptr::NonNull;

use crate::engine::batch::sealed::Idle;
use crate::engine::cache;
use crate::engine::core::{self, Core};
use crate::engine::lanes::Lane;
use crate::engine::panics;
use crate::engine::slot::{Slot, SlotPtr};
use crate::engine::store;
use crate::memory::prefetch::prefetch;
use crate::object::pool::ObjectCore;
use crate::object::pooled::{Held, Pooled};
use crate::object::reuse::Reuse;
use crate::policy::error::Error;
use crate::sync::DEPTH;

/// The only store of an object pool, and the only step that leads to it.
pub(in crate::object) const STORE: usize = 0;

/// The hit path of every get.
#[inline(always)]
pub(in crate::object) fn hit<T: Reuse + Send + 'static>(core: &ObjectCore<T>) -> Option<Pooled<T>> {
    let lane = core.core().lane_at(STORE);
    let slot = cache::with(|cache| core.core().take_cached(cache, lane))?;
    // SAFETY: taken, so held; a slot of this pool.
    Some(unsafe { Pooled::new(slot, lane) })
}

/// A value that this thread's cache does not have.
#[cold]
#[inline(never)]
pub(in crate::object) fn obtain<T: Reuse + Send + 'static>(core: &ObjectCore<T>) -> Result<Pooled<T>, Error> {
    if core.keeper().is_closed() {
        return Err(Error::Closed);
    }
    let got = match idle(core).map_or_else(|| make(core), Ok) {
        // Last, because to rob the other threads' caches costs a barrier in each of them.
        Err(error @ (Error::Exhausted { .. } | Error::OutOfMemory { .. })) => {
            stolen(core).or_else(|| idle(core)).ok_or(error)
        }
        got => got,
    };
    // With the value in hand, which goes home then.
    panics::resume();
    got
}

/// A value from the depot.
fn idle<T: Reuse + Send + 'static>(core: &ObjectCore<T>) -> Option<Pooled<T>> {
    let slot = cache::with(|cache| core.core().take_idle(cache, STORE, prefetch_value::<T>))?;
    // SAFETY: taken, so held; a slot of this pool.
    Some(unsafe { Pooled::new(slot, core.core().lane_of(STORE)) })
}

/// A value from another thread's cache.
fn stolen<T: Reuse + Send + 'static>(core: &ObjectCore<T>) -> Option<Pooled<T>> {
    let slot = core.core().steal(STORE)?;
    // SAFETY: robbed, so held; a slot of this pool.
    Some(unsafe { Pooled::new(slot, core.core().lane_of(STORE)) })
}

/// Up to `count` values from the depot in bulk.
pub(in crate::object) fn obtain_idle<T: Reuse + Send + 'static>(
    core: &ObjectCore<T>,
    count: usize,
    mut each: impl FnMut(Pooled<T>),
) {
    core.core().take_many(STORE, count, |slot| {
        // SAFETY: taken, so held; a slot of this pool.
        each(unsafe { Pooled::new(slot, core.core().lane_of(STORE)) });
    });
}

/// A new value.
fn make<T: Reuse + Send + 'static>(core: &ObjectCore<T>) -> Result<Pooled<T>, Error> {
    // What making room in the cache has dropped is told before `create` may panic, too.
    panics::resume();
    let reservation = core.keeper().reserve()?;
    let value = core.keeper().create()?;
    let slot = birth(core, value).map_err(|(_, error)| error)?;
    reservation.keep();
    // SAFETY: just born, so held; a slot of this pool.
    Ok(unsafe { Pooled::new(slot, core.core().lane_of(STORE)) })
}

/// A value made elsewhere, in a slot of this pool; it comes back with the error.
pub(in crate::object) fn adopt<T: Reuse + Send + 'static>(
    core: &ObjectCore<T>,
    value: T,
) -> Result<Pooled<T>, (T, Error)> {
    if core.keeper().is_closed() {
        return Err((value, Error::Closed));
    }
    let reservation = match core.keeper().reserve() {
        Ok(reservation) => reservation,
        Err(error) => return Err((value, error)),
    };
    let slot = birth(core, value)?;
    reservation.keep();
    core.core().uncount_fresh(STORE);
    // SAFETY: just born, so held; a slot of this pool.
    let pooled = unsafe { Pooled::new(slot, core.core().lane_of(STORE)) };
    panics::resume();
    Ok(pooled)
}

fn birth<T: Reuse + Send + 'static>(core: &ObjectCore<T>, value: T) -> Result<SlotPtr, (T, Error)> {
    let out_of_memory = Error::OutOfMemory { requested: size_of::<Slot<Held<T>>>() };
    let held = Held::new(value, core.keeper().trim());
    core.birth(STORE, 1, held).map_err(|held| (held.into_value(), out_of_memory))
}

/// Puts `count` new values into the depot.
pub(in crate::object) fn stock<T: Reuse + Send + 'static>(core: &ObjectCore<T>, count: usize) -> Result<(), Error> {
    let mut left = count;
    while left > 0 {
        // Handles, until all are there: what was made goes home if a further one fails.
        let mut made = Vec::new();
        let wanted = left.min(DEPTH);
        let requested = wanted * size_of::<Pooled<T>>();
        made.try_reserve(wanted).map_err(|_| Error::OutOfMemory { requested })?;
        for _ in 0..wanted {
            made.push(make(core)?);
        }
        left -= wanted;
        let slots: Vec<_> = made.into_iter().map(|pooled| ManuallyDrop::new(pooled).slot()).collect();
        // SAFETY: the handles held them and are gone; the caller's handle keeps the core.
        unsafe { core.core().stock(STORE, &slots) };
    }
    Ok(())
}

/// Asks for the first bytes of a value that came into this thread's cache from another's.
fn prefetch_value<T>(slot: SlotPtr) {
    // SAFETY: the caller holds the slot, one of a pool of `T`.
    let held: &Slot<Held<T>> = unsafe { slot.cast().as_ref() };
    prefetch(NonNull::from(held.content()).cast());
}

/// Drops the value of a slot that is given up.
pub(in crate::object) fn vacate<T>(held: &Held<T>) {
    // SAFETY: called once for each slot, when it is given up: whoever gives it up holds it and uses the value no more.
    unsafe { held.vacate() };
}

/// Discards a value that must not be used again, should its preparation unwind.
struct Discard(SlotPtr);

impl Drop for Discard {
    fn drop(&mut self) {
        // SAFETY: whoever made this holds the slot and gives it up.
        unsafe { Core::retire(self.0) };
    }
}

/// Makes a returned value ready to be handed out again. False: it has been discarded.
///
/// # Safety
/// The caller holds the slot, nobody uses the value, and after `false` the slot is not the caller's any more.
#[inline(always)]
unsafe fn make_idle<T: Reuse + Send + 'static>(slot: NonNull<Slot<Held<T>>>) -> bool {
    // SAFETY: held.
    let held = unsafe { slot.as_ref() }.content();
    let discard = Discard(SlotPtr::new(slot));
    // SAFETY: there is a value as long as the slot is out, and the caller says that nobody else uses it.
    let value = unsafe { &mut *held.value() };
    let keep = value.reuse(held.trim());
    if keep {
        mem::forget(discard);
    }
    keep
}

/// Sends a slot home.
///
/// # Safety
/// The caller holds the slot, nobody uses the value, and the slot is not used again.
#[inline(always)]
pub(super) unsafe fn go_home<T: Reuse + Send + 'static>(slot: NonNull<Slot<Held<T>>>, lane: Lane) {
    // SAFETY: the caller's promise.
    if !unsafe { make_idle(slot) } {
        return panics::resume();
    }
    let slot = SlotPtr::new(slot);
    // SAFETY: the caller's promise.
    if !cache::with(|cache| unsafe { store::put_cached(cache, lane, slot) }) {
        // SAFETY: not taken, so still held.
        unsafe { go_home_slowly(slot) };
    }
}

/// # Safety
/// As [`go_home`], and the value is ready.
#[cold]
#[inline(never)]
unsafe fn go_home_slowly(slot: SlotPtr) {
    // SAFETY: the caller's promise.
    cache::with(|cache| unsafe { store::put_slowly(cache, slot) });
    panics::resume();
}

impl<T: Reuse + Send + 'static> Idle for Pooled<T> {
    fn home(&self) -> usize {
        // SAFETY: the handle holds the slot.
        unsafe { core::home_of(self.slot()) }
    }

    fn into_idle(self) -> Option<(SlotPtr, Lane)> {
        let this = ManuallyDrop::new(self);
        // SAFETY: the handle held the slot and is gone.
        unsafe { make_idle(this.slot) }.then(|| (this.slot(), this.lane))
    }
}
