//! A slot between two places: what is offered to those who wait for memory.

use std::mem;

use crate::engine::core::{Core, class_of};
use crate::engine::slot::SlotPtr;
use crate::engine::store::Store;

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

impl Drop for Spare {
    fn drop(&mut self) {
        // SAFETY: in hand, and not used again.
        unsafe { Core::retire(self.0) };
    }
}
