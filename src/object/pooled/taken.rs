//! How an object pool comes by a slot: from this thread's cache, from the depot, with a new value, or from other threads'
//! caches; and how a slot goes home.

use std::mem::{self, ManuallyDrop};
use std::ptr::NonNull;

use crate::engine::batch::PooledBatch;
use crate::engine::batch::sealed::Idle;
use crate::engine::cache;
use crate::engine::core::{self, Core};
use crate::engine::depot::Loot;
use crate::engine::lanes::Lane;
use crate::engine::lists::Lists;
use crate::engine::slot::{Slot, SlotPtr};
use crate::engine::spare::Spare;
use crate::engine::store;
use crate::memory::Denial;
use crate::memory::os::topology::Bank;
use crate::memory::prefetch::prefetch;
use crate::object::pool::ObjectCore;
use crate::object::pooled::{Held, Pooled};
use crate::object::reuse::Reuse;
use crate::panics;
use crate::policy::budget::{Amount, Part, Reservation, Short, climb};
use crate::policy::builder::Overflow;
use crate::policy::error::{BuildError, Error};
use crate::sync::DEPTH;

/// The only store of an object pool, and the only step that leads to it.
pub(in crate::object) const STORE: usize = 0;
/// The store of values outside the budget, which are dropped when they come home.
pub(in crate::object) const UNPOOLED: usize = 1;

/// The hit path of every get.
#[inline(always)]
pub(in crate::object) fn hit<T: Reuse + Send + 'static>(core: &ObjectCore<T>) -> Option<Pooled<T>> {
    let lane = core.core().lane_at(STORE);
    let slot = cache::with(|cache| core.core().take_cached(cache, lane))?;
    // SAFETY: taken, so held; a slot of this pool.
    Some(unsafe { Pooled::new(slot, lane) })
}

/// The hit path of many gets: up to `count` values that this thread's cache has.
pub(in crate::object) fn hits<T: Reuse + Send + 'static>(
    core: &ObjectCore<T>,
    count: usize,
    batch: &mut PooledBatch<Pooled<T>>,
) {
    let lane = core.core().lane_at(STORE);
    let mut slots = Loot::new();
    cache::with(|cache| core.core().take_cached_many(cache, lane, count, &mut slots));
    // SAFETY: taken, so held; slots of this pool.
    slots.drain().for_each(|slot| batch.push_with(|| unsafe { Pooled::new(slot, lane) }));
}

/// A value that this thread's cache does not have.
#[cold]
#[inline(never)]
pub(in crate::object) fn obtain<T: Reuse + Send + 'static>(core: &ObjectCore<T>) -> Result<Pooled<T>, Error> {
    let got = match obtain_within(core) {
        Err(error) if error.is_for_now() && core.keeper().overflow() == Overflow::Unpooled => make_outside(core),
        within => within,
    };
    // With the value in hand, which goes home then.
    panics::resume();
    got
}

/// As [`obtain`], and never from outside the budget; does not go on with panics.
pub(in crate::object) fn obtain_within<T: Reuse + Send + 'static>(core: &ObjectCore<T>) -> Result<Pooled<T>, Error> {
    let keeper = core.keeper();
    if keeper.is_closed() {
        return Err(Error::Closed);
    }
    let expected = keeper.expected();
    if core.core().has_attention() && keeper.leaf().is_queued() {
        return Err(Error::Queued { requested: expected.bytes });
    }
    if let Some(pooled) = idle(core) {
        return Ok(pooled);
    }
    let steal = |(): &mut ()| stolen(core).or_else(|| idle(core)).map(Ok);
    // What a value weighs is known when one has been made.
    let needed = |(): &()| keeper.expected();
    climb(keeper.leaf(), Some(core.core()), needed, &mut (), |()| make(core), steal)
        .unwrap_or_else(|short| Err(short.into_error(keeper.expected().bytes)))
}

/// A value from the depot.
fn idle<T: Reuse + Send + 'static>(core: &ObjectCore<T>) -> Option<Pooled<T>> {
    let slot = cache::with(|cache| core.core().take_idle(cache, STORE, prefetch_value::<T>))?;
    // SAFETY: taken, so held; a slot of this pool.
    Some(unsafe { Pooled::new(slot, lane_home(core)) })
}

/// The lane that a handle keeps: NONE in a pool that weighs, so that no return takes the hit path, which knows nothing of
/// weights. (For the same reason the step of such a pool leads nowhere.)
fn lane_home<T: Reuse + Send + 'static>(core: &ObjectCore<T>) -> Lane {
    if core.keeper().weighs() { Lane::NONE } else { core.core().lane_of(STORE) }
}

/// A value from another thread's cache.
fn stolen<T: Reuse + Send + 'static>(core: &ObjectCore<T>) -> Option<Pooled<T>> {
    let slot = core.core().steal(STORE)?;
    // SAFETY: robbed, so held; a slot of this pool.
    Some(unsafe { Pooled::new(slot, lane_home(core)) })
}

/// A value that was handed over to who waited for it.
pub(in crate::object) fn handed_over<T: Reuse + Send + 'static>(core: &ObjectCore<T>, spare: Spare) -> Pooled<T> {
    core.core().count_handed_over(STORE);
    // SAFETY: in hand; a slot of this pool, whose line it was handed over in.
    unsafe { Pooled::new(spare.into_slot(), lane_home(core)) }
}

/// A batch with room for `count` values.
pub(in crate::object) fn empty_batch<T: Reuse + Send + 'static>(
    core: &ObjectCore<T>,
    count: usize,
) -> Result<PooledBatch<Pooled<T>>, Error> {
    let requested = count.saturating_mul(size_of::<Pooled<T>>());
    PooledBatch::with_room(core.keeper().lists(), count).map_err(|_| Error::OutOfMemory { requested })
}

/// `count` values, or none.
pub(in crate::object) fn obtain_many<T: Reuse + Send + 'static>(
    core: &ObjectCore<T>,
    count: usize,
    overflow: Overflow,
    batch: &mut PooledBatch<Pooled<T>>,
) -> Result<(), Error> {
    if count == 0 {
        return Ok(());
    }
    let keeper = core.keeper();
    if keeper.is_closed() {
        return Err(Error::Closed);
    }
    let wanted = batch.len() + count;
    let got = if core.core().has_attention() && keeper.leaf().is_queued() {
        Err(Error::Queued { requested: charge_for(core, count).bytes })
    } else {
        let complete = |batch: &mut PooledBatch<_>| complete(core, wanted, batch);
        let steal = |batch: &mut PooledBatch<_>| {
            batch.push(stolen(core)?);
            obtain_idle(core, wanted - batch.len(), |pooled| batch.push(pooled));
            (batch.len() == wanted).then_some(Ok(()))
        };
        let needed = |batch: &PooledBatch<_>| charge_for(core, wanted - batch.len());
        climb(keeper.leaf(), Some(core.core()), needed, batch, complete, steal)
            .unwrap_or_else(|short| Err(short.into_error(charge_for(core, count).bytes)))
    };
    let got = match got {
        Err(error) if error.is_for_now() && overflow == Overflow::Unpooled => {
            (batch.len()..wanted).try_for_each(|_| obtain(core).map(|pooled| batch.push(pooled)))
        }
        got => got,
    };
    panics::resume();
    got
}

/// What so many new values will be charged, as far as is known.
fn charge_for<T: Reuse + Send + 'static>(core: &ObjectCore<T>, count: usize) -> Amount {
    Part { class: STORE, count, each: core.keeper().expected() }.charge_for(count)
}

/// What lies in the depot, and new values for the rest, up to `wanted` in all.
fn complete<'a, T: Reuse + Send + 'static>(
    core: &'a ObjectCore<T>,
    wanted: usize,
    batch: &mut PooledBatch<Pooled<T>>,
) -> Result<Result<(), Error>, Short<'a>> {
    obtain_idle(core, wanted - batch.len(), |pooled| batch.push(pooled));
    let lacking = wanted - batch.len();
    if lacking == 0 {
        return Ok(Ok(()));
    }
    let each = core.keeper().expected();
    let part = Part { class: STORE, count: lacking, each };
    let mut reservation = core.keeper().leaf().reserve(part.charge_for(lacking))?;
    for _ in 0..lacking {
        match make_charged(core, each.bytes, &mut reservation)? {
            Ok(pooled) => batch.push(pooled),
            Err(error) => return Ok(Err(error)),
        }
    }
    Ok(Ok(()))
}

/// Up to `count` values from this thread's cache, and from the depot in bulk.
fn obtain_idle<T: Reuse + Send + 'static>(core: &ObjectCore<T>, count: usize, mut each: impl FnMut(Pooled<T>)) {
    core.core().take_many(STORE, count, |slot| {
        // SAFETY: taken, so held; a slot of this pool.
        each(unsafe { Pooled::new(slot, lane_home(core)) });
    });
}

/// A new value, or the error of `try_create`.
fn make<T: Reuse + Send + 'static>(core: &ObjectCore<T>) -> Result<Result<Pooled<T>, Error>, Short<'_>> {
    let expected = core.keeper().expected();
    let mut reservation = core.keeper().leaf().reserve(expected)?;
    make_charged(core, expected.bytes, &mut reservation)
}

/// A new value, for which `expected` bytes are charged; the difference to what it weighs is settled.
pub(in crate::object) fn make_charged<'a, T: Reuse + Send + 'static>(
    core: &'a ObjectCore<T>,
    expected: usize,
    reservation: &mut Reservation<'a>,
) -> Result<Result<Pooled<T>, Error>, Short<'a>> {
    // What making room in the cache has dropped is told before `create` may panic, too.
    panics::resume();
    let keeper = core.keeper();
    let value = match keeper.create() {
        Ok(value) => value,
        Err(error) => return Ok(Err(error)),
    };
    let weight = keeper.weigh(&value);
    if weight != expected {
        if let Some((requested, limit)) = keeper.leaf().never_fits(Amount { values: 1, bytes: weight }) {
            return Ok(Err(Error::NeverFits { requested, limit }));
        }
        keeper.expect(weight);
        reservation.reweigh(expected, weight)?;
    }
    let Ok(slot) = birth(core, STORE, value, weight) else { return Err(Short::System(Denial::NoMemory)) };
    reservation.spend(Amount { values: 1, bytes: weight });
    // SAFETY: just born, so held; a slot of this pool.
    Ok(Ok(unsafe { Pooled::new(slot, lane_home(core)) }))
}

/// A new value that is not charged.
fn make_outside<T: Reuse + Send + 'static>(core: &ObjectCore<T>) -> Result<Pooled<T>, Error> {
    panics::resume();
    let value = core.keeper().create()?;
    let weight = core.keeper().weigh(&value);
    let slot = birth(core, UNPOOLED, value, weight).map_err(|(_, error)| error)?;
    // SAFETY: just born, so held; a slot of this pool.
    Ok(unsafe { Pooled::new(slot, Lane::NONE) })
}

/// A value made elsewhere, in a slot of this pool; it comes back with the error.
pub(in crate::object) fn adopt<T: Reuse + Send + 'static>(
    core: &ObjectCore<T>,
    value: T,
) -> Result<Pooled<T>, (T, Error)> {
    if core.keeper().is_closed() {
        return Err((value, Error::Closed));
    }
    let leaf = core.keeper().leaf();
    let weight = core.keeper().weigh(&value);
    let amount = Amount { values: 1, bytes: weight };
    let charge = |(): &mut ()| leaf.reserve(amount).map_err(Short::from);
    let reservation = match climb(leaf, Some(core.core()), |()| amount, &mut (), charge, |()| None) {
        Ok(reservation) => reservation,
        Err(short) => return Err((value, short.into_error(weight))),
    };
    let slot = birth(core, STORE, value, weight)?;
    reservation.keep();
    core.core().uncount_fresh(STORE);
    // SAFETY: just born, so held; a slot of this pool.
    let pooled = unsafe { Pooled::new(slot, lane_home(core)) };
    panics::resume();
    Ok(pooled)
}

/// A slot with this value, for whose weight the caller answers to the budget.
fn birth<T: Reuse + Send + 'static>(
    core: &ObjectCore<T>,
    store: usize,
    value: T,
    weight: usize,
) -> Result<SlotPtr, (T, Error)> {
    let out_of_memory = Error::OutOfMemory { requested: size_of::<Slot<Held<T>>>() };
    let held = Held::new(value, weight, core.keeper().trim());
    core.birth(store, Bank::FIRST, weight, held).map_err(|held| (held.into_value(), out_of_memory))
}

/// Puts `count` new values into the depot, when all are there: what lies idle gives way to what is made next.
pub(in crate::object) fn stock<T: Reuse + Send + 'static>(
    core: &ObjectCore<T>,
    count: usize,
) -> Result<(), BuildError> {
    let needed = |(): &()| core.keeper().expected();
    // Handles: what was made goes home if a further one fails.
    let mut made = Vec::new();
    for _ in 0..count {
        made.try_reserve(1).map_err(|_| BuildError::OutOfMemory { requested: size_of::<Pooled<T>>() })?;
        // Without the pool's own idle values: there are none.
        let got = climb(core.keeper().leaf(), None, needed, &mut (), |()| make(core), |()| None);
        match got.map_err(|short| short.into_build_error(core.keeper().expected().bytes))? {
            Ok(pooled) => made.push(pooled),
            Err(Error::Create(error)) => return Err(BuildError::Create(error)),
            Err(Error::NeverFits { requested, limit }) => {
                return Err(BuildError::OverBudget { requested, available: limit, limit });
            }
            Err(other) => unreachable!("`try_create` fails with its own error, not {other}"),
        }
    }
    let slots: Vec<_> = made.into_iter().map(|pooled| ManuallyDrop::new(pooled).slot()).collect();
    for slots in slots.chunks(DEPTH) {
        // SAFETY: the handles held them and are gone; the caller's handle keeps the core.
        unsafe { core.core().stock(STORE, slots) };
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
    // SAFETY: held.
    unsafe { SlotPtr::new(slot).check_in() };
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
        unsafe { go_home_slowly::<T>(slot, lane) };
    }
}

/// # Safety
/// As [`go_home`], and the value is ready.
#[cold]
#[inline(never)]
unsafe fn go_home_slowly<T: Reuse + Send + 'static>(slot: SlotPtr, lane: Lane) {
    // SAFETY: the caller's promise.
    if lane != Lane::NONE || unsafe { reweigh::<T>(slot) } {
        // SAFETY: the caller's promise; not discarded.
        cache::with(|cache| unsafe { store::put_slowly(cache, slot) });
    }
    panics::resume();
}

/// Charges what a returned value has grown by, where values are weighed. False: a budget refused, and it has been
/// discarded.
///
/// # Safety
/// As [`make_idle`].
unsafe fn reweigh<T: Reuse + Send + 'static>(slot: SlotPtr) -> bool {
    // SAFETY: held, a slot of a pool of `T`.
    let core = unsafe { ObjectCore::<T>::of_slot(slot) };
    // SAFETY: held.
    if !core.keeper().weighs() || unsafe { core::class_of(slot) } != STORE {
        return true;
    }
    let discard = Discard(slot);
    // SAFETY: held.
    let held: &Slot<Held<T>> = unsafe { slot.cast().as_ref() };
    let held = held.content();
    // SAFETY: there is a value as long as the slot is out, and the caller says that nobody else uses it.
    let weight = core.keeper().weigh(unsafe { &*held.value() });
    let keep = core.keeper().leaf().reweigh(held.weight(), weight).is_ok();
    if keep {
        core.core().count_weight(STORE, held.weight(), weight);
        held.set_weight(weight);
        // SAFETY: the slot is held.
        unsafe { slot.weighs(weight) };
        mem::forget(discard);
    }
    keep
}

impl<T: Reuse + Send + 'static> Idle for Pooled<T> {
    fn home(&self) -> usize {
        // SAFETY: the handle holds the slot.
        unsafe { core::home_of(self.slot()) }
    }

    fn lists(&self) -> &Lists<Self> {
        // SAFETY: the handle holds the slot, one of a pool of this kind.
        unsafe { ObjectCore::<T>::of_slot(self.slot()) }.keeper().lists()
    }

    fn into_idle(self) -> Option<(SlotPtr, Lane)> {
        let this = ManuallyDrop::new(self);
        // SAFETY: the handle held the slot and is gone.
        let keep = unsafe { make_idle(this.slot) };
        // SAFETY: as above; not discarded.
        let keep = keep && (this.lane != Lane::NONE || unsafe { reweigh::<T>(this.slot()) });
        keep.then(|| (this.slot(), this.lane))
    }
}
