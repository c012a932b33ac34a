//! What a slot of an object pool holds: a value, and what its return needs to know.

use std::cell::UnsafeCell;
use std::mem::MaybeUninit;

use crate::engine::count::Count;
use crate::sync::Cell;

/// The bit of a weight that says that the value is gone. No weight has it, since no budget is that large.
const GONE: usize = 1 << (usize::BITS - 1);
/// The largest weight.
pub(in crate::object) const MAX_WEIGHT: usize = GONE - 1;

pub(crate) struct Held<T> {
    value: UnsafeCell<MaybeUninit<T>>,
    /// What is charged for the value, and whether there is one: together, for the slot's size.
    weight: Cell<usize>,
    /// The pool's `trim_capacity`; here, because a return should not have to look for the pool.
    trim: usize,
    pub(super) count: Count,
}

impl<T> Held<T> {
    /// `weight` bytes are charged for the value.
    pub(crate) fn new(value: T, weight: usize, trim: usize) -> Self {
        debug_assert!(weight <= MAX_WEIGHT);
        let value = UnsafeCell::new(MaybeUninit::new(value));
        Held { value, weight: Cell::new(weight), trim, count: Count::new() }
    }

    pub(super) fn trim(&self) -> usize {
        self.trim
    }

    /// Bytes charged for the value, also when it is gone.
    pub(in crate::object) fn weight(&self) -> usize {
        self.weight.get() & !GONE
    }

    /// Another charge for the value that is there.
    pub(super) fn set_weight(&self, weight: usize) {
        debug_assert!(weight <= MAX_WEIGHT && self.weight.get() & GONE == 0);
        self.weight.set(weight);
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
        debug_assert_eq!(self.weight.get() & GONE, 0, "the value is gone already");
        self.weight.set(self.weight.get() | GONE);
        // SAFETY: the caller's promise; the bit says that it is gone.
        unsafe { self.value().read() }
    }

    /// Drops the value, if it is still there.
    ///
    /// # Safety
    /// The caller holds the slot, and nobody uses the value.
    pub(super) unsafe fn vacate(&self) {
        if self.weight.get() & GONE == 0 {
            self.weight.set(self.weight.get() | GONE);
            // SAFETY: there was a value, the caller may end it, and the bit says that it is gone, should this unwind.
            unsafe { self.value().drop_in_place() };
        }
    }

    /// The value again, of a slot that was not born.
    pub(super) fn into_value(self) -> T {
        // SAFETY: `self` is nobody else's, and `new` put a value in; slots take it by other ways.
        unsafe { self.take() }
    }
}
