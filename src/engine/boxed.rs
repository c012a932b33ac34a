//! Boxes whose making may fail, because a pool answers a failing allocator with an error and `Box::new` aborts.

use std::alloc::{Layout, alloc, dealloc};
use std::ptr::NonNull;

/// A value on the heap, or nothing when there is no memory.
pub(super) fn try_new<T>(value: T) -> Option<NonNull<T>> {
    const { assert!(size_of::<T>() > 0) };
    // SAFETY: the layout is not zero-sized.
    let place = NonNull::new(unsafe { alloc(Layout::new::<T>()) }.cast::<T>())?;
    // SAFETY: fresh memory of T's layout.
    unsafe { place.write(value) };
    Some(place)
}

/// As [`try_new`], for owners that are not shared.
pub(crate) fn try_box<T>(value: T) -> Option<Box<T>> {
    let place = try_new(value)?;
    // SAFETY: a valid value in memory of the global allocator, with T's layout, and nobody else knows of it.
    Some(unsafe { Box::from_raw(place.as_ptr()) })
}

/// Ends the value and frees its memory, that also when the value's destructor unwinds.
///
/// # Safety
/// `place` came from [`try_new`] and nobody uses it any more.
pub(super) unsafe fn free<T>(place: NonNull<T>) {
    struct Memory<T>(NonNull<T>);
    impl<T> Drop for Memory<T> {
        fn drop(&mut self) {
            // SAFETY: allocated in `try_new` with this layout.
            unsafe { dealloc(self.0.as_ptr().cast(), Layout::new::<T>()) };
        }
    }
    let _memory = Memory(place);
    // SAFETY: by the caller, a valid value that nobody reads again.
    unsafe { place.drop_in_place() };
}
