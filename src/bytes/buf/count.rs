//! How many frozen handles share a buffer.
//!
//! The count lies in the slot, so freezing and cloning never allocate. It is 0 while the buffer is unique.

use crate::sync::{AtomicUsize, Ordering::*, fence};

/// More handles than memory could hold: some were leaked, and one more lap would free the buffer under the others.
const TOO_MANY: usize = isize::MAX as usize;

#[derive(Debug)]
pub(in crate::bytes) struct Count(AtomicUsize);

impl Count {
    pub(super) fn new() -> Self {
        Count(AtomicUsize::new(0))
    }

    /// The unique handle becomes the first shared one.
    pub(in crate::bytes) fn freeze(&self) {
        // Relaxed: other threads learn of the handle by what hands it to them.
        self.0.store(1, Relaxed);
    }

    /// One handle more, made from one that exists.
    pub(in crate::bytes) fn add(&self) {
        // Relaxed: the new handle reaches another thread only through something that orders it.
        if self.0.fetch_add(1, Relaxed) > TOO_MANY {
            too_many_handles();
        }
    }

    /// One handle fewer. True: it was the last, and all that was done through the others has happened.
    pub(in crate::bytes) fn remove(&self) -> bool {
        // Acquire pairs with the Release below: the others' reads are over. Nobody can add a handle while we hold the last.
        if self.0.load(Acquire) == 1 {
            self.0.store(0, Relaxed);
            return true;
        }
        // Release: what was read through this handle was read before the buffer is used anew.
        if self.0.fetch_sub(1, Release) != 1 {
            return false;
        }
        // Pairs with the other handles' Release.
        fence(Acquire);
        true
    }

    /// Whether the caller's handle is the only one, and all that was done through others has happened.
    pub(in crate::bytes) fn is_one(&self) -> bool {
        // Acquire pairs with the Release in `remove`.
        self.0.load(Acquire) == 1
    }

    /// The only shared handle becomes unique again.
    pub(in crate::bytes) fn thaw(&self) {
        debug_assert!(self.is_one());
        self.0.store(0, Relaxed);
    }
}

#[cold]
fn too_many_handles() -> ! {
    // As `Arc` does: a panic could be caught, and the next clone would go on.
    std::process::abort()
}
