//! How long a core lives: its handles, its holds, and its shutting.

use std::ops::Deref;
use std::ptr::NonNull;

use super::{Core, Handle, Keeper, rob};
use crate::engine::lanes::Lane;
use crate::engine::store::{Store, retire_all};
use crate::sync::{Ordering::*, fence};

impl<K: Keeper> Clone for Handle<K> {
    fn clone(&self) -> Self {
        // Relaxed: the new handle is made from one that exists.
        let before = self.core().counts.handles.fetch_add(1, Relaxed);
        assert!(before < usize::MAX / 2, "too many handles of one pool");
        Handle(self.0)
    }
}

impl<K: Keeper> Drop for Handle<K> {
    fn drop(&mut self) {
        // AcqRel: what was done through other handles happens before the shutting.
        if self.core().counts.handles.fetch_sub(1, AcqRel) == 1 {
            self.core().shut();
            #[cfg(feature = "track")]
            self.keeper().abandoned(self.core());
            // SAFETY: the handles' hold, given up once.
            unsafe { Core::release(self.0.as_ptr().cast()) };
        }
    }
}

impl Core {
    /// Retires all idle slots, cuts all attachments, and lets nothing lie idle any more. May be called more than once,
    /// and by several threads.
    pub(super) fn shut(&self) {
        for store in &self.stores {
            store.set_closed();
            self.show_lane(store.class(), Lane::NONE);
        }
        // With the fence in `Store::attach`: who attaches from now on sees the flag, or we see its seat.
        fence(SeqCst);
        // First the depots, so that owners and robbers on their way there keep, and retire, what they bring.
        self.stores.iter().for_each(Store::close_depots);
        let asked_to_close = self.seated().inspect(|(_, magazine)| magazine.request_close());
        // SAFETY: robbed, so ours; the caller's handle keeps the core.
        let robbed = rob(asked_to_close, |_, loot| unsafe { retire_all(loot.as_slice()) });
        // Without a barrier, magazines keep their slots and their attachment until their owner meets the closed bit or
        // exits.
        if robbed {
            self.stores.iter().for_each(|store| store.seats().visit().for_each(|magazine| store.cut(&magazine)));
        }
        // SAFETY: made for this kind of core, which the caller's handle keeps.
        unsafe { (self.told_shut)(self.whole()) };
    }

    /// The pointer to the whole that a core was made from.
    pub(super) fn whole(&self) -> *const Core {
        self.stores[0].core_ptr()
    }

    /// A hold on this core for who does not know its face.
    pub(crate) fn hold(&self) -> CoreRef {
        self.retain();
        CoreRef(NonNull::new(self.whole().cast_mut()).expect("a core has an address"))
    }

    pub(in crate::engine) fn retain(&self) {
        // Relaxed: the caller has another hold.
        self.counts.refs.fetch_add(1, Relaxed);
    }

    /// One hold fewer; the last frees the core.
    ///
    /// # Safety
    /// The caller gives up a hold of its own, and does not touch the core afterwards unless it has another.
    pub(in crate::engine) unsafe fn release(core: *const Core) {
        // SAFETY: the caller's hold. By pointer, because the core may be gone before this returns.
        let refs = unsafe { &raw const (*core).counts.refs };
        // SAFETY: as above. Release: what this holder did to the core happens before it is freed.
        if unsafe { &*refs }.fetch_sub(1, Release) == 1 {
            // Acquire pairs with the other holders' Release. A load and not a fence, for ThreadSanitizer's sake.
            // SAFETY: nobody else holds the core any more, so it stays until it is freed below.
            unsafe { &*refs }.load(Acquire);
            // SAFETY: nobody holds the core.
            let free = unsafe { (*core).free };
            // SAFETY: it was made for this kind of core, and nobody uses it any more.
            unsafe { free(core) };
        }
    }
}

/// A hold on a core, whatever its face. Keeps the core in memory, and does not keep it from being shut.
pub(crate) struct CoreRef(NonNull<Core>);

// SAFETY: a counted pointer to what is Send and Sync, see `Handle`.
unsafe impl Send for CoreRef {}
// SAFETY: as above.
unsafe impl Sync for CoreRef {}

impl CoreRef {
    pub(crate) fn is(&self, core: *const Core) -> bool {
        std::ptr::eq(self.0.as_ptr(), core)
    }
}

impl Deref for CoreRef {
    type Target = Core;

    fn deref(&self) -> &Core {
        // SAFETY: it holds the core.
        unsafe { self.0.as_ref() }
    }
}

impl Clone for CoreRef {
    fn clone(&self) -> Self {
        self.hold()
    }
}

impl Drop for CoreRef {
    fn drop(&mut self) {
        // SAFETY: a hold of its own, given up once.
        unsafe { Core::release(self.0.as_ptr()) };
    }
}
