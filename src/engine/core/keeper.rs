//! What the engine asks of a face, and how a core that does not know its face asks it.

use std::ptr::NonNull;

use super::{Core, CoreOf};
use crate::engine::boxed;
use crate::engine::slot::{Slot, SlotPtr};
use crate::engine::spare::Spare;
use crate::memory::os::topology::Bank;
use crate::panics;

/// What the engine asks of a face.
pub(crate) trait Keeper: Send + Sync + 'static {
    /// What a slot holds.
    type Content;

    /// Gives up what the slot holds, once for each birth; how many bytes it was born with. No lock is held and no
    /// magazine busy, so this may run user code, which may use pools. It must not unwind: see
    /// [`panics`].
    fn vacate(&self, content: &Self::Content, class: usize, bank: Bank) -> usize;

    /// A slot came home while [attention](Core::raise_attention) is raised: gives it to who waits, or
    /// [shelves](Spare::shelve) it. As [`vacate`](Self::vacate), this may run user code and must not unwind.
    fn offer(&self, core: &Core, spare: Spare);

    /// Slots have been given up in number, and no more will be for now: their memory may go back to the system.
    fn tidy(&self) {}

    /// Something was born while the core was [asleep](Core::fall_asleep).
    fn woken(&self) {}

    /// The pool has been shut: nothing lies idle, and nothing will. May be called more than once.
    fn shut(&self, core: &Core);

    /// The last handle is gone, and the pool shut. As [`vacate`](Self::vacate), this may run user code and must not unwind.
    #[cfg(feature = "track")]
    fn abandoned(&self, core: &Core);
}

/// # Safety
/// `core` belongs to a `CoreOf<K>`; the caller holds the slot, one of this core.
pub(super) unsafe fn vacate<K: Keeper>(core: *const Core, slot: SlotPtr, class: usize, bank: Bank) -> usize {
    // SAFETY: the core is the first field of a `CoreOf<K>` and made from a pointer to the whole.
    let core = unsafe { &*core.cast::<CoreOf<K>>() };
    let slot = slot.cast::<K::Content>();
    // SAFETY: the caller holds the slot.
    let slot: &Slot<K::Content> = unsafe { slot.as_ref() };
    core.keeper.vacate(slot.content(), class, bank)
}

/// # Safety
/// `core` belongs to a `CoreOf<K>`; the caller keeps it, by other means than the spare.
pub(super) unsafe fn offer<K: Keeper>(core: *const Core, spare: Spare) {
    // SAFETY: as in `vacate`.
    let core = unsafe { &*core.cast::<CoreOf<K>>() };
    core.keeper.offer(&core.core, spare);
}

/// # Safety
/// `core` belongs to a `CoreOf<K>`; the caller keeps it.
pub(super) unsafe fn told_shut<K: Keeper>(core: *const Core) {
    // SAFETY: as in `vacate`.
    let core = unsafe { &*core.cast::<CoreOf<K>>() };
    core.keeper.shut(&core.core);
}

/// # Safety
/// As [`told_shut`].
pub(super) unsafe fn tidy<K: Keeper>(core: *const Core) {
    // SAFETY: as in `vacate`.
    unsafe { &*core.cast::<CoreOf<K>>() }.keeper.tidy();
}

/// # Safety
/// `core` belongs to a `CoreOf<K>` and nobody uses it any more.
pub(super) unsafe fn free<K: Keeper>(core: *const Core) {
    let whole = core.cast_mut().cast::<CoreOf<K>>();
    // SAFETY: a core's pointer is not null.
    let whole = unsafe { NonNull::new_unchecked(whole) };
    // SAFETY: made by `boxed::try_new`, and not used again. A keeper may be user code, too.
    panics::contain(|| unsafe { boxed::free(whole) });
}
