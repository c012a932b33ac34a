//! What a slot of an object pool holds: a value, and what its return needs to know.

use std::cell::UnsafeCell;
use std::mem::MaybeUninit;

use crate::engine::count::Count;
use crate::sync::Cell;

pub(crate) struct Held<T> {
    value: UnsafeCell<MaybeUninit<T>>,
    /// Whether there is a value.
    full: Cell<bool>,
    /// The pool's `trim_capacity`; here, because a return should not have to look for the pool.
    trim: usize,
    pub(super) count: Count,
}

impl<T> Held<T> {
    pub(crate) fn new(value: T, trim: usize) -> Self {
        let value = UnsafeCell::new(MaybeUninit::new(value));
        Held { value, full: Cell::new(true), trim, count: Count::new() }
    }

    pub(super) fn trim(&self) -> usize {
        self.trim
    }

    /// Where the value is.
    #[inline(always)]
    pub(super) fn value(&self) -> *mut T {
        self.value.get().cast()
    }

    /// Moves the value out, for good.
    ///
    /// # Safety
    /// The caller holds the slot, and there is a value that nobody uses.
    pub(super) unsafe fn take(&self) -> T {
        debug_assert!(self.full.get());
        self.full.set(false);
        // SAFETY: the caller's promise; `full` says that it is gone.
        unsafe { self.value().read() }
    }

    /// Drops the value, if it is still there.
    ///
    /// # Safety
    /// The caller holds the slot, and nobody uses the value.
    pub(super) unsafe fn vacate(&self) {
        if self.full.replace(false) {
            // SAFETY: there was a value, the caller may end it, and `full` says that it is gone, should this unwind.
            unsafe { self.value().drop_in_place() };
        }
    }

    /// The value again, of a slot that was not born.
    pub(super) fn into_value(self) -> T {
        // SAFETY: `self` is nobody else's, and `new` put a value in; slots take it by other ways.
        unsafe { self.take() }
    }
}
