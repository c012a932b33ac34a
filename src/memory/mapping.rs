//! One mapping of the operating system as a value: unmapped when dropped.
#![allow(unsafe_code)] // The one caller of `os::unmap`.

use std::ptr::NonNull;

use super::os;

/// `len` bytes of the operating system, from an address that is a multiple of `align`.
#[derive(Debug)]
pub(super) struct Mapping {
    base: NonNull<u8>,
    len: usize,
    align: usize,
}

// SAFETY: a mapping belongs to the process, and the value is its only owner.
unsafe impl Send for Mapping {}

impl Mapping {
    /// Maps at least `bytes` zero bytes, rounded up to OS pages; `None` when the system has no such
    /// memory.
    pub(super) fn new(bytes: usize, align: usize) -> Option<Self> {
        let len = Self::len_for(bytes)?;
        let base = os::map(len, align)?;
        Some(Self { base, len, align })
    }

    /// The length of a mapping for so many bytes; `None` for zero bytes and for more than fit in
    /// the address space.
    fn len_for(bytes: usize) -> Option<usize> {
        let len = bytes.checked_next_multiple_of(os::page_size())?;
        (len != 0).then_some(len)
    }

    /// Takes back what [`into_base`](Self::into_base) has let go.
    ///
    /// # Safety
    /// `base` comes from `into_base` of a mapping made by `new(bytes, align)`, and is taken back
    /// once.
    pub(super) unsafe fn from_base(base: NonNull<u8>, bytes: usize, align: usize) -> Self {
        let len = bytes.next_multiple_of(os::page_size());
        Self { base, len, align }
    }

    /// Lets the mapping go without unmapping it.
    pub(super) fn into_base(self) -> NonNull<u8> {
        std::mem::ManuallyDrop::new(self).base
    }

    /// The address of the first byte.
    pub(super) fn addr(&self) -> usize {
        self.base.addr().get()
    }

    /// Its length in bytes, a multiple of the OS page.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// The byte at `offset`, for access to all the bytes that follow it.
    pub(super) fn at(&self, offset: usize) -> NonNull<u8> {
        assert!(offset < self.len, "{offset} is outside a mapping of {} bytes", self.len);
        // SAFETY: the offset is inside the mapping, whose length fits in an `isize`.
        unsafe { self.base.add(offset) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: these are the values of one `os::map`, and the owner drops it once, with nothing
        // left that points into it.
        unsafe { os::unmap(self.base, self.len, self.align) }
    }
}
