//! What a slot of a byte pool holds: a block of memory and two marks on it.
//!
//! `dirty`: bytes at and above it, as far as they are initialised, are zero. `init`: bytes below it are initialised.
//! The marks follow *access*, not length: they are raised when bytes are written through the buffer's own methods, and
//! to the whole reach of any reference or pointer that a caller could write through. So a buffer of 64 KiB that was
//! exposed for 1 KiB costs 1 KiB of zeroing, and one that was only read costs none.

use std::ptr::NonNull;

use crate::engine::count::Count;
use crate::memory::regions::Place;
use crate::memory::{Block, wipe};
use crate::sync::Cell;

/// The content of a slot. The slot's holder alone uses the marks; frozen bytes leave them as they are.
#[derive(Debug)]
pub(crate) struct Held {
    ptr: NonNull<u8>,
    capacity: usize,
    dirty: Cell<usize>,
    init: Cell<usize>,
    place: Place,
    /// Frozen handles on this block.
    pub(in crate::bytes) count: Count,
}

#[cfg(all(not(loom), target_pointer_width = "64"))]
const _: () =
    assert!(size_of::<crate::engine::slot::Slot<Held>>() == 128, "the crate's documentation says what a buffer pays");

impl Held {
    pub(crate) fn new(block: Block, capacity: usize) -> Self {
        let init = if block.zeroed { capacity } else { 0 };
        let Block { ptr, place, .. } = block;
        Held { ptr, capacity, dirty: Cell::new(0), init: Cell::new(init), place, count: Count::new() }
    }

    #[inline(always)]
    pub(crate) fn ptr(&self) -> NonNull<u8> {
        self.ptr
    }

    /// Where in its region the block starts.
    pub(crate) fn place(&self) -> Place {
        self.place
    }

    #[inline(always)]
    pub(crate) fn capacity(&self) -> usize {
        self.capacity
    }

    /// Bytes below `len` may have been written, and are initialised already.
    #[inline(always)]
    pub(super) fn expose(&self, len: usize) {
        debug_assert!(len <= self.capacity);
        if self.dirty.get() < len {
            self.dirty.set(len);
        }
    }

    /// Bytes below `len` have been written.
    #[inline(always)]
    pub(super) fn written(&self, len: usize) {
        self.expose(len);
        if self.init.get() < len {
            self.init.set(len);
        }
    }

    /// Uninitialised bytes may have been written at and above `len`.
    pub(super) fn uninit_from(&self, len: usize) {
        self.expose(self.capacity);
        if self.init.get() > len {
            self.init.set(len);
        }
    }

    /// Whether bytes below `len` are zero already.
    #[inline(always)]
    pub(super) fn is_zero_to(&self, len: usize) -> bool {
        len == 0 || (self.dirty.get() == 0 && self.is_init_to(len))
    }

    #[inline(always)]
    pub(super) fn is_init_to(&self, len: usize) -> bool {
        self.init.get() >= len
    }

    /// Makes bytes below `len` zero: those that may be something else, and those that are nothing yet.
    ///
    /// # Safety
    /// The caller holds the slot, and no reference to its bytes is alive.
    #[inline(never)]
    pub(super) unsafe fn make_zero_to(&self, len: usize) {
        let (dirty, init) = (self.dirty.get(), self.init.get());
        let dirty_end = dirty.min(len);
        // SAFETY: the caller's promise; `dirty_end` and `len` are within the capacity.
        unsafe { self.zero(0, dirty_end) };
        // SAFETY: as above.
        unsafe { self.zero(init.max(dirty_end), len) };
        if dirty <= len {
            self.dirty.set(0);
        }
        self.init.set(init.max(len));
    }

    /// Makes bytes below `len` initialised.
    ///
    /// # Safety
    /// As [`make_zero_to`](Self::make_zero_to).
    #[cold]
    #[inline(never)]
    pub(super) unsafe fn make_init_to(&self, len: usize) {
        // SAFETY: the caller's promise.
        unsafe { self.zero(self.init.get(), len) };
        self.init.set(self.init.get().max(len));
    }

    /// Makes bytes from `start` on zero that may be something else.
    ///
    /// # Safety
    /// As [`make_zero_to`](Self::make_zero_to).
    #[cold]
    #[inline(never)]
    pub(super) unsafe fn clean_from(&self, start: usize) {
        // SAFETY: the caller's promise; `dirty` is within the capacity.
        unsafe { self.zero(start, self.dirty.get()) };
    }

    /// Zeroes `start..end`, if that is a range.
    ///
    /// # Safety
    /// As [`make_zero_to`](Self::make_zero_to), and `end` is within the capacity.
    unsafe fn zero(&self, start: usize, end: usize) {
        debug_assert!(end <= self.capacity);
        if start < end {
            // SAFETY: inside the block.
            let place = unsafe { self.ptr.add(start) };
            // SAFETY: as above, and the caller is alone with it.
            unsafe { place.write_bytes(0, end - start) };
        }
    }

    /// Wipes all that may be something else than zero, so that no optimiser takes it out again.
    ///
    /// # Safety
    /// As [`make_zero_to`](Self::make_zero_to).
    #[inline(never)]
    pub(super) unsafe fn wipe(&self) {
        let dirty = self.dirty.replace(0);
        if dirty == 0 {
            // Not only for speed: a `memset` of no bytes may still be a masked store, which is slow where no OS page is yet.
            return;
        }
        // SAFETY: the caller is alone with the block, and `dirty` is within the capacity.
        unsafe { wipe::wipe(self.ptr, dirty) };
        if self.init.get() < dirty {
            self.init.set(dirty);
        }
    }

    /// Makes idle memory hostile to use: debug builds overwrite what an earlier user wrote, and AddressSanitizer
    /// reports any access until [`wake`](Self::wake). Wiped memory stays zero. Nothing in release builds.
    ///
    /// # Safety
    /// As [`make_zero_to`](Self::make_zero_to).
    #[inline(always)]
    pub(super) unsafe fn rest(&self) {
        // SAFETY: the caller's promise; `dirty` is within the capacity.
        unsafe { wipe::scribble(self.ptr, self.dirty.get()) };
        // SAFETY: the caller's promise; blocks are aligned to 8 bytes at least.
        unsafe { wipe::poison(self.ptr, self.capacity) };
    }

    /// # Safety
    /// The caller holds the slot.
    #[inline(always)]
    pub(crate) unsafe fn wake(&self) {
        // SAFETY: as in `rest`.
        unsafe { wipe::unpoison(self.ptr, self.capacity) };
    }
}
