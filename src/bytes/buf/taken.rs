//! How a byte pool comes by a slot: from this thread's cache, from the depot, from fresh memory, or from other threads'
//! caches.

use std::alloc::Layout;
use std::fmt;
use std::ptr::NonNull;

use crate::bytes::buf::{Held, PooledBuf};
use crate::bytes::pool::ByteCore;
use crate::bytes::step_of;
use crate::engine::batch::sealed::Idle;
use crate::engine::cache;
use crate::engine::core;
use crate::engine::depot::Loot;
use crate::engine::lanes::Lane;
use crate::engine::lists::Lists;
use crate::engine::slot::{Slot, SlotPtr};
use crate::engine::spare::Spare;
use crate::engine::store;
use crate::memory::os::topology::Bank;
use crate::memory::prefetch::prefetch;
use crate::memory::{BlockSource, Denial, Source, Want, os};
use crate::panics;
use crate::policy::budget::{Amount, Reservation, Short, climb};
use crate::policy::builder::Overflow;
use crate::policy::error::{BuildError, Error};
use crate::sync::DEPTH;

/// A slot on its way from a pool into a handle, or from one handle into another, held by whoever has this. Not a handle
/// yet: what is dropped is lost, so nothing that may unwind stands between.
#[derive(Debug)]
pub struct Taken {
    pub(super) slot: NonNull<Slot<Held>>,
    /// Where it may be cached when it comes home; NONE if it must not be before something else has been done.
    pub(super) lane: Lane,
}

impl Taken {
    /// # Safety
    /// The caller holds the slot, one of a byte pool, and hands it over. `lane` is its store's, or NONE.
    #[inline(always)]
    pub(in crate::bytes) unsafe fn new(slot: NonNull<Slot<Held>>, lane: Lane) -> Self {
        Taken { slot, lane }
    }

    /// For slots that a core has just handed out.
    #[inline(always)]
    fn of(slot: SlotPtr, lane: Lane) -> Self {
        let taken = Taken { slot: slot.cast(), lane };
        // SAFETY: handed out, so held.
        unsafe { taken.held().wake() };
        taken
    }

    pub(in crate::bytes) fn slot(&self) -> NonNull<Slot<Held>> {
        self.slot
    }

    pub(in crate::bytes) fn lane(&self) -> Lane {
        self.lane
    }

    #[inline(always)]
    pub(super) fn held(&self) -> &Held {
        // SAFETY: whoever has this holds the slot.
        unsafe { self.slot.as_ref() }.content()
    }

    /// Makes bytes below `len`, which is within the capacity, zero.
    #[inline(always)]
    pub(in crate::bytes) fn make_zero_to(&self, len: usize) {
        let held = self.held();
        if !held.is_zero_to(len) {
            // SAFETY: held, and no handle lends its bytes out.
            unsafe { held.make_zero_to(len) };
        }
    }

    /// Makes bytes below `len`, which is within the capacity, initialised.
    #[inline(always)]
    pub(in crate::bytes) fn make_init_to(&self, len: usize) {
        let held = self.held();
        if !held.is_init_to(len) {
            // SAFETY: held, and no handle lends its bytes out.
            unsafe { held.make_init_to(len) };
        }
    }
}

/// The hit path: the newest slot of this thread's magazine for buffers of this size.
#[inline(always)]
pub(in crate::bytes) fn hit(core: &ByteCore, size: usize) -> Option<Taken> {
    let lane = core.core().lane_at(step_of(size)?);
    let slot = cache::with(|cache| core.core().take_cached(cache, lane))?;
    Some(Taken::of(slot, lane))
}

/// The hit path of many gets: slots taken out of this thread's magazine together, ahead of the requests for them.
pub(in crate::bytes) struct Ahead<'a> {
    core: &'a ByteCore,
    /// The size that was asked for when they were taken.
    size: usize,
    lane: Lane,
    slots: Loot,
    /// Whether the last requests were of one size.
    alike: bool,
}

impl<'a> Ahead<'a> {
    pub(in crate::bytes) fn of(core: &'a ByteCore) -> Self {
        Ahead { core, size: 0, lane: Lane::NONE, slots: Loot::new(), alike: true }
    }

    /// As [`hit`], if probably `more()` requests like this one follow.
    #[inline(always)]
    pub(in crate::bytes) fn hit(&mut self, size: usize, more: impl Fn() -> usize) -> Option<Taken> {
        if self.size != size || self.slots.is_empty() {
            self.take(size, more())?;
        }
        Some(Taken::of(self.slots.take_newest()?, self.lane))
    }

    #[inline(never)]
    fn take(&mut self, size: usize, more: usize) -> Option<()> {
        self.alike &= self.slots.is_empty();
        self.put_back();
        let lane = self.core.core().lane_at(step_of(size)?);
        let count = if self.alike { more.saturating_add(1) } else { 1 };
        cache::with(|cache| self.core.core().take_cached_many(cache, lane, count, &mut self.slots));
        (self.size, self.lane) = (size, lane);
        Some(())
    }

    fn put_back(&mut self) {
        if !self.slots.is_empty() {
            // SAFETY: taken out of this thread's magazine of this lane, so held, and as they were.
            cache::with(|cache| unsafe { store::put_back(cache, self.lane, self.slots.as_slice()) });
            self.slots.forget();
        }
    }
}

impl Drop for Ahead<'_> {
    fn drop(&mut self) {
        self.put_back();
    }
}

/// A slot for a buffer of at least `size` bytes: idle if there is one, else with fresh memory, else with what others
/// have idle.
#[cold]
#[inline(never)]
pub(in crate::bytes) fn obtain(core: &ByteCore, size: usize, want: Want) -> Result<Taken, Error> {
    match obtain_within(core, size, want) {
        Err(error) if error.is_for_now() && core.keeper().overflow() == Overflow::Unpooled => {
            obtain_outside(core, size, want)
        }
        within => within,
    }
}

/// As [`obtain`], and never from outside the budget.
fn obtain_within(core: &ByteCore, size: usize, want: Want) -> Result<Taken, Error> {
    let (store, layout) = block_for(core, size)?;
    obtain_block(core, store, layout, want)
}

/// The same for a block that has been looked up.
pub(in crate::bytes) fn obtain_block(
    core: &ByteCore,
    store: usize,
    layout: Layout,
    want: Want,
) -> Result<Taken, Error> {
    let keeper = core.keeper();
    if core.core().has_attention() && keeper.leaf().is_queued() {
        return Err(Error::Queued { requested: layout.size() });
    }
    if let Some(slot) = cache::with(|cache| core.core().take_idle(cache, store, prefetch_bytes)) {
        return Ok(Taken::of(slot, lane_home(core, store)));
    }
    let got = climb(
        keeper.leaf(),
        Some(core.core()),
        |()| Amount::bytes(layout.size()),
        &mut (),
        |()| born_or_far(core, store, layout, want),
        |()| core.core().steal(store),
    );
    let got = got.map(|slot| PooledBuf::empty(Taken::of(slot, lane_home(core, store))));
    // Values of other pools gave way, perhaps, and panicked. With a handle, which goes home then.
    panics::resume();
    got.map(PooledBuf::into_taken).map_err(|short| short.into_error(layout.size()))
}

/// A slot with fresh memory that is not charged.
fn obtain_outside(core: &ByteCore, size: usize, want: Want) -> Result<Taken, Error> {
    let (_, layout) = block_for(core, size)?;
    let store = core.keeper().unpooled();
    let bank = core.core().bank_here();
    let slot = birth(core, store, bank, layout, want).map_err(|denial| Error::of_denial(denial, size))?;
    Ok(Taken::of(slot, lane_home(core, store)))
}

/// The block that serves a request, if the pool serves it at all.
pub(in crate::bytes) fn block_for(core: &ByteCore, size: usize) -> Result<(usize, Layout), Error> {
    let keeper = core.keeper();
    if keeper.is_closed() {
        return Err(Error::Closed);
    }
    if size > keeper.max_request() {
        return Err(Error::TooLarge { requested: size, limit: keeper.max_request() });
    }
    keeper.block_for(size).ok_or(Error::OutOfMemory { requested: size })
}

/// Up to `count` idle slots of a store, from this thread's cache, and from the depot in bulk.
pub(in crate::bytes) fn obtain_idle(core: &ByteCore, store: usize, count: usize, mut each: impl FnMut(Taken)) {
    let mut lane = None;
    core.core().take_many(store, count, |slot| {
        prefetch_bytes(slot);
        // Known by now, for the store has been used.
        let lane = *lane.get_or_insert_with(|| lane_home(core, store));
        each(Taken::of(slot, lane));
    });
}

/// As [`obtain_idle`], of what lies in depots of other nodes.
pub(in crate::bytes) fn obtain_far(core: &ByteCore, store: usize, count: usize, mut each: impl FnMut(Taken)) {
    core.core().take_far(store, count, |slot| each(Taken::of(slot, lane_home(core, store))));
}

/// A slot out of another thread's cache.
pub(in crate::bytes) fn obtain_stolen(core: &ByteCore, store: usize) -> Option<Taken> {
    core.core().steal(store).map(|slot| Taken::of(slot, lane_home(core, store)))
}

/// A slot that was out without a handle.
///
/// # Safety
/// The caller holds the slot, one of a byte pool, and hands it over.
pub(in crate::bytes) unsafe fn held_again(slot: SlotPtr) -> Taken {
    // SAFETY: held, so store and core are there.
    let core = unsafe { ByteCore::of_slot(slot) };
    // SAFETY: as above.
    let store = unsafe { core::class_of(slot) };
    Taken { slot: slot.cast(), lane: lane_home(core, store) }
}

/// A slot that was handed over to who waited for it.
pub(in crate::bytes) fn obtain_handed_over(core: &ByteCore, spare: Spare) -> Taken {
    let store = spare.class();
    core.core().count_handed_over(store);
    Taken::of(spare.into_slot(), lane_home(core, store))
}

/// A slot with fresh memory, for which a charge is in hand.
pub(in crate::bytes) fn obtain_charged(
    core: &ByteCore,
    store: usize,
    layout: Layout,
    want: Want,
    reservation: &mut Reservation<'_>,
) -> Result<Taken, Denial> {
    let slot = birth(core, store, core.core().bank_here(), layout, want)?;
    reservation.spend(Amount::bytes(layout.size()));
    Ok(Taken::of(slot, lane_home(core, store)))
}

/// Asks for the first bytes of a buffer that came into this thread's cache: another processor may have written them last,
/// and to fetch them is most of what a buffer's way between threads costs.
#[inline(always)]
fn prefetch_bytes(slot: SlotPtr) {
    // SAFETY: the caller holds the slot, one of a byte pool.
    let held = unsafe { slot.cast::<Held>().as_ref() }.content();
    prefetch(held.ptr());
}

/// The lane that a handle keeps: NONE in a pool that wipes, so that no return takes the hit path, which knows nothing of
/// wiping. (For the same reason no step of such a pool leads anywhere.)
fn lane_home(core: &ByteCore, store: usize) -> Lane {
    if core.keeper().wipes() { Lane::NONE } else { core.core().lane_of(store) }
}

/// A slot with fresh memory of this thread's node; or one that lies idle on another, if there is no fresh memory and nobody
/// waits for it.
fn born_or_far(core: &ByteCore, store: usize, layout: Layout, want: Want) -> Result<SlotPtr, Short<'_>> {
    charged_birth(core, store, core.core().bank_here(), layout, want).or_else(|short| {
        let mut found = None;
        if !short.is_queued() {
            core.core().take_far(store, 1, |slot| found = Some(slot));
        }
        found.ok_or(short)
    })
}

/// A slot with fresh memory of this bank, charged to the budget.
fn charged_birth(core: &ByteCore, store: usize, bank: Bank, layout: Layout, want: Want) -> Result<SlotPtr, Short<'_>> {
    let reservation = core.keeper().leaf().reserve(Amount::bytes(layout.size()))?;
    let slot = birth(core, store, bank, layout, want).map_err(Short::System)?;
    reservation.keep();
    Ok(slot)
}

/// A slot with fresh memory, for which the caller answers to the budget.
fn birth(core: &ByteCore, store: usize, bank: Bank, layout: Layout, want: Want) -> Result<SlotPtr, Denial> {
    let source = core.keeper().source(store, bank);
    let block = source.allocate(layout, want)?;
    match core.birth(store, bank, layout.size(), Held::new(block, layout.size())) {
        Ok(slot) => Ok(slot),
        Err(held) => {
            release(source, &held, layout);
            Err(Denial::NoMemory)
        }
    }
}

/// New slots of one class, their memory touched, for the depots. They go there when this is dropped, and not before: what lies
/// idle gives way to what is born next.
pub(in crate::bytes) struct Stock<'c> {
    core: &'c ByteCore,
    store: usize,
    slots: Vec<SlotPtr>,
}

impl<'c> Stock<'c> {
    /// So many, as many of each bank.
    pub(in crate::bytes) fn born(
        core: &'c ByteCore,
        store: usize,
        layout: Layout,
        count: usize,
    ) -> Result<Self, BuildError> {
        let mut stock = Stock { core, store, slots: Vec::new() };
        while stock.slots.len() < count {
            // What is still to be had, of which nothing was charged.
            let left = |stock: &Self| layout.size().saturating_mul(count - stock.slots.len());
            stock.bear(layout).map_err(|short| short.into_build_error(left(&stock)))?;
        }
        Ok(stock)
    }

    fn bear(&mut self, layout: Layout) -> Result<(), Short<'c>> {
        self.slots.try_reserve(1).map_err(|_| Short::System(Denial::NoMemory))?;
        let (core, store) = (self.core, self.store);
        let bank = Bank((self.slots.len() % core.core().banks()) as u8);
        let needed = |(): &()| Amount::bytes(layout.size());
        let birth = |(): &mut ()| charged_birth(core, store, bank, layout, Want::Zeroed);
        // Without the pool's own idle slots: there are none.
        let slot = climb(core.keeper().leaf(), None, needed, &mut (), birth, |()| None)?;
        touch(slot);
        self.slots.push(slot);
        Ok(())
    }
}

impl Drop for Stock<'_> {
    fn drop(&mut self) {
        for slots in self.slots.chunks(DEPTH) {
            // SAFETY: born here, so ours; the reference keeps the core.
            unsafe { self.core.core().stock(self.store, slots) };
        }
    }
}

/// Makes the system give the memory now: zeroes one byte of each OS page of a new, zeroed block.
fn touch(slot: SlotPtr) {
    // SAFETY: the caller holds the slot, one of a byte pool.
    let held = unsafe { slot.cast::<Held>().as_ref() }.content();
    for offset in (0..held.capacity()).step_by(os::page_size()) {
        // SAFETY: within the block.
        let byte = unsafe { held.ptr().add(offset) };
        // SAFETY: ours alone, and zero already.
        unsafe { byte.write_volatile(0) };
    }
    // SAFETY: we hold the slot, and nobody borrows its bytes.
    unsafe { held.rest() };
}

/// Gives a block back to its source.
pub(in crate::bytes) fn release(source: &Source, held: &Held, layout: Layout) {
    debug_assert_eq!(layout.size(), held.capacity());
    // SAFETY: called once for each block, when its slot is given up: nobody uses the bytes.
    unsafe { held.wake() };
    // SAFETY: the block came from this source with this layout.
    unsafe { source.release(held.ptr(), held.place(), layout) };
}

/// Shows the capacity and the size class of a handle's slot.
///
/// # Safety
/// The slot is held, one of a byte pool.
pub(in crate::bytes) unsafe fn describe(slot: NonNull<Slot<Held>>, debug: &mut fmt::DebugStruct<'_, '_>) {
    // SAFETY: held.
    let held = unsafe { slot.as_ref() }.content();
    // SAFETY: as above.
    let class = unsafe { core::class_of(SlotPtr::new(slot)) };
    // SAFETY: as above.
    let core = unsafe { ByteCore::of_slot(SlotPtr::new(slot)) };
    debug.field("capacity", &held.capacity());
    match core.keeper().classes().sizes().get(class) {
        Some(class) => debug.field("class", class),
        None => debug.field("class", &format_args!("oversize")),
    };
}

impl Idle for PooledBuf {
    fn home(&self) -> usize {
        // SAFETY: the handle holds the slot.
        unsafe { core::home_of(self.slot()) }
    }

    fn lists(&self) -> &Lists<Self> {
        // SAFETY: the handle holds the slot, one of a pool of this kind.
        unsafe { ByteCore::of_slot(self.slot()) }.keeper().lists()
    }

    fn into_idle(self) -> Option<(SlotPtr, Lane)> {
        let taken = self.into_taken();
        // SAFETY: the handle is gone, and held the slot.
        unsafe { SlotPtr::new(taken.slot).check_in() };
        if taken.lane == Lane::NONE {
            // SAFETY: the handle is gone; it raised the marks.
            unsafe { make_idle(&taken) };
        } else {
            // SAFETY: as above.
            unsafe { taken.held().rest() };
        }
        Some((SlotPtr::new(taken.slot), taken.lane))
    }
}

/// Sends a buffer's slot home, unique or frozen.
///
/// # Safety
/// The slot is not used again. Its marks are raised for all that was written.
#[inline(always)]
pub(in crate::bytes) unsafe fn go_home(taken: Taken) {
    if cfg!(any(debug_assertions, millpond_asan)) && taken.lane != Lane::NONE {
        // SAFETY: the caller's promise.
        unsafe { taken.held().rest() };
    }
    let slot = SlotPtr::new(taken.slot);
    // SAFETY: the caller's promise.
    unsafe { slot.check_in() };
    // SAFETY: the caller's promise. With a lane, the memory is as an idle slot's must be; without, nothing is cached.
    if !cache::with(|cache| unsafe { store::put_cached(cache, taken.lane, slot) }) {
        // SAFETY: not taken, so still held.
        unsafe { go_home_slowly(taken) };
    }
}

/// # Safety
/// As [`go_home`].
#[cold]
#[inline(never)]
unsafe fn go_home_slowly(taken: Taken) {
    if taken.lane == Lane::NONE {
        // SAFETY: the caller's promise.
        unsafe { make_idle(&taken) };
    }
    // SAFETY: the caller's promise; the memory is as an idle slot's must be.
    cache::with(|cache| unsafe { store::put_slowly(cache, SlotPtr::new(taken.slot)) });
}

/// Makes memory ready to lie idle, wiped if the pool wipes.
///
/// # Safety
/// As [`go_home`].
unsafe fn make_idle(taken: &Taken) {
    // SAFETY: held, a slot of a byte pool.
    let core = unsafe { ByteCore::of_slot(SlotPtr::new(taken.slot)) };
    if core.keeper().wipes() {
        // SAFETY: the caller's promise.
        unsafe { taken.held().wipe() };
    }
    // SAFETY: the caller's promise.
    unsafe { taken.held().rest() };
}
