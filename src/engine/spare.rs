//! Slots between two places: what is offered to those who wait for memory.

use std::mem;
use std::ptr::{self, NonNull};

use crate::engine::core::{Core, class_of};
use crate::engine::slot::{Head, SlotPtr};
use crate::engine::store::Store;
use crate::memory::prefetch::prefetch;
use crate::sync::{AtomicPtr, Ordering::*};

/// An idle slot in hand, in nobody's magazine or depot. Dropped, it is retired.
#[derive(Debug)]
pub(crate) struct Spare(SlotPtr);

// SAFETY: whoever has it holds the slot, and slots are made to change threads.
unsafe impl Send for Spare {}

impl Spare {
    /// # Safety
    /// The caller holds the slot, whose content is as an idle slot's must be, and hands it over.
    pub(super) unsafe fn new(slot: SlotPtr) -> Self {
        Spare(slot)
    }

    /// The slot, which is the caller's then.
    pub(crate) fn into_slot(self) -> SlotPtr {
        mem::ManuallyDrop::new(self).0
    }

    pub(crate) fn class(&self) -> usize {
        // SAFETY: held.
        unsafe { class_of(self.0) }
    }

    /// Puts it into the depot, whoever waits; or gives it back where nothing may lie any more.
    pub(crate) fn shelve(self) -> Result<(), Spare> {
        let slot = self.into_slot();
        // SAFETY: held, so its table is there.
        let store = unsafe { slot.head() }.store();
        // SAFETY: in hand, and not used again where it is taken.
        if unsafe { Store::shelve(store, slot) } { Ok(()) } else { Err(Spare(slot)) }
    }
}

/// The index of no slot.
const NO_SLOT: u32 = 0;

/// Spares of one pool, the last first. They are linked by their own headers, so that none is lost for want of memory to
/// list it in. Dropped, they are retired.
#[derive(Debug, Default)]
pub(crate) struct Spares(Option<Spare>);

impl Spares {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Adds one, of the same pool as the others.
    pub(crate) fn add(&mut self, spare: Spare) {
        // SAFETY: held, so its table is there.
        let next = self.0.take().map_or(NO_SLOT, |next| unsafe { next.into_slot().head() }.index());
        // SAFETY: as above.
        unsafe { spare.0.head() }.chain(next);
        self.0 = Some(spare);
    }
}

impl Iterator for Spares {
    type Item = Spare;

    fn next(&mut self) -> Option<Spare> {
        let spare = self.0.take()?;
        // SAFETY: held, so its table is there.
        let head = unsafe { spare.0.head() };
        let next = head.chained();
        if next != NO_SLOT {
            // SAFETY: as above; the store is its pool's, which slots in hand keep.
            let table = unsafe { &*head.store() }.core().table();
            // SAFETY: the index of a slot of this pool, see `add`, which is in hand since then.
            self.0 = Some(Spare(unsafe { table.slot(next) }));
        }
        Some(spare)
    }
}

impl Drop for Spares {
    fn drop(&mut self) {
        self.for_each(drop);
    }
}

/// Where a spare lies for somebody: one puts it in, another takes it out, at any time and without a lock.
#[derive(Debug)]
#[repr(align(64))]
pub(crate) struct Hatch(AtomicPtr<Head>);

impl Hatch {
    pub(crate) fn new() -> Self {
        Hatch(AtomicPtr::new(ptr::null_mut()))
    }

    pub(crate) fn is_empty(&self) -> bool {
        // Relaxed: a glance. What comes out is taken with Acquire.
        self.0.load(Relaxed).is_null()
    }

    /// Asks for its cache line, for who will put something in.
    pub(crate) fn prefetch(&self) {
        prefetch(NonNull::from(self).cast());
    }

    /// Puts a spare in, where nothing lies: that would be lost.
    pub(crate) fn put(&self, spare: Spare) {
        debug_assert!(self.is_empty(), "two spares in one hatch");
        // Release, with the Acquire in `take`: what was done to the slot happens before its next use.
        self.0.store(spare.into_slot().as_ptr(), Release);
    }

    pub(crate) fn take(&self) -> Option<Spare> {
        if self.is_empty() {
            return None;
        }
        // Acquire, with the Release in `put`.
        let slot = NonNull::new(self.0.swap(ptr::null_mut(), Acquire))?;
        Some(Spare(SlotPtr::from_raw(slot)))
    }
}

impl Drop for Spare {
    fn drop(&mut self) {
        // SAFETY: in hand, and not used again.
        unsafe { Core::retire(self.0) };
    }
}
