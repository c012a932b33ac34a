//! Without the feature `track`: nothing is remembered.

use crate::engine::core::Core;
use crate::engine::slot::SlotPtr;

/// As with the feature, and empty.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Checkout;

/// Nobody asks for the time.
pub(crate) fn advance() {}

impl Core {
    #[inline(always)]
    pub(crate) fn checkout(&self) -> Checkout {
        Checkout
    }

    #[inline(always)]
    pub(in crate::engine) fn advance_if_tracking(&self) {}
}

impl SlotPtr {
    #[inline(always)]
    pub(crate) unsafe fn check_out(self, _: Checkout) {}

    #[inline(always)]
    pub(crate) unsafe fn check_in(self) {}

    #[inline(always)]
    pub(crate) unsafe fn moved_to(self, _: SlotPtr) {}

    #[inline(always)]
    pub(crate) unsafe fn weighs(self, _: usize) {}
}
