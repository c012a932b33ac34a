//! How many frozen handles share a buffer.
//!
//! The count lies in the slot, so freezing and cloning never allocate. It is 0 while the buffer is unique.

use crate::sync::{AtomicUsize, Ordering::*};

/// More handles than memory could hold: some were leaked, and one more lap would free the buffer under the others.
const TOO_MANY: usize = isize::MAX as usize;

#[derive(Debug)]
pub(crate) struct Count(AtomicUsize);

impl Count {
    pub(crate) fn new() -> Self {
        Count(AtomicUsize::new(0))
    }

    /// The unique handle becomes the first shared one.
    pub(crate) fn freeze(&self) {
        // Relaxed: other threads learn of the handle by what hands it to them.
        self.0.store(1, Relaxed);
    }

    /// One handle more, made from one that exists.
    pub(crate) fn add(&self) {
        // Relaxed: the new handle reaches another thread only through something that orders it.
        if self.0.fetch_add(1, Relaxed) > TOO_MANY {
            too_many_handles();
        }
    }

    /// One handle fewer. True: it was the last, and all that was done through the others has happened.
    pub(crate) fn remove(&self) -> bool {
        // Acquire pairs with the Release below: the others' reads are over. Nobody can add a handle while we hold the
        // last.
        if self.0.load(Acquire) == 1 {
            self.0.store(0, Relaxed);
            return true;
        }
        // Release: what was read through this handle was read before the buffer is used anew.
        if self.0.fetch_sub(1, Release) != 1 {
            return false;
        }
        // Pairs with the other handles' Release. A load and not a fence, for ThreadSanitizer's sake.
        self.0.load(Acquire);
        true
    }

    /// Whether the caller's handle is the only one, and all that was done through others has happened.
    pub(crate) fn is_one(&self) -> bool {
        // Acquire pairs with the Release in `remove`.
        self.0.load(Acquire) == 1
    }

    /// The only shared handle becomes unique again.
    pub(crate) fn thaw(&self) {
        debug_assert!(self.is_one());
        self.0.store(0, Relaxed);
    }
}

#[cold]
fn too_many_handles() -> ! {
    // As `Arc` does: a panic could be caught, and the next clone would go on.
    std::process::abort()
}

/// Frozen handles on two threads over one piece of data: read while shared, written by whoever has it alone.
#[cfg(all(test, loom))]
mod models {
    use loom::cell::UnsafeCell;
    use loom::thread;
    use std::sync::Arc;

    use super::*;
    use crate::engine::models::explore;

    struct Shared {
        count: Count,
        bytes: UnsafeCell<u32>,
        /// How many handles found themselves the last.
        gone: std::sync::atomic::AtomicU32,
    }

    // SAFETY: what the models check.
    unsafe impl Sync for Shared {}
    // SAFETY: as above.
    unsafe impl Send for Shared {}

    impl Shared {
        fn frozen() -> Arc<Self> {
            let shared = Shared { count: Count::new(), bytes: UnsafeCell::new(0), gone: 0.into() };
            shared.count.freeze();
            Arc::new(shared)
        }

        fn read(&self) {
            // SAFETY: shared if the count is right; loom checks.
            self.bytes.with(|bytes| unsafe { *bytes });
        }

        fn write(&self) {
            // SAFETY: exclusive if the count is right; loom checks.
            self.bytes.with_mut(|bytes| unsafe { *bytes += 1 });
        }

        fn drop_handle(&self) {
            self.read();
            if self.count.remove() {
                self.write();
                self.gone.fetch_add(1, Relaxed);
            }
        }

        /// As `PooledBytes::try_into_mut`.
        fn thaw(&self) -> bool {
            let alone = self.count.is_one();
            if alone {
                self.count.thaw();
                self.write();
            }
            alone
        }

        fn assert_gone_once(&self) {
            assert_eq!(self.gone.load(Relaxed), 1, "handles that were the last");
        }
    }

    #[test]
    fn one_of_the_dropped_clones_is_the_last() {
        explore(None, || {
            let first = Shared::frozen();
            first.count.add();
            let second = first.clone();
            let other = thread::spawn(move || {
                second.count.add();
                second.drop_handle();
                second.drop_handle();
            });
            first.drop_handle();
            other.join().unwrap();
            first.assert_gone_once();
        });
    }

    #[test]
    fn bytes_are_thawed_by_the_only_handle_alone() {
        explore(None, || {
            let first = Shared::frozen();
            first.count.add();
            let second = first.clone();
            let other = thread::spawn(move || second.drop_handle());
            first.read();
            if first.thaw() {
                // Unique again: dropped without the count, or frozen anew.
                first.count.freeze();
            }
            first.drop_handle();
            other.join().unwrap();
            first.assert_gone_once();
        });
    }

    #[test]
    fn two_handles_never_both_thaw() {
        explore(None, || {
            let first = Shared::frozen();
            first.count.add();
            let second = first.clone();
            let thaw_or_drop = |shared: &Shared| {
                let thawed = shared.thaw();
                if !thawed {
                    shared.drop_handle();
                }
                thawed
            };
            let other = thread::spawn(move || thaw_or_drop(&second));
            let mine = thaw_or_drop(&first);
            let theirs = other.join().unwrap();
            assert!(!(mine && theirs));
        });
    }
}
