//! Miri, and systems we know nothing of: the global allocator stands in for mappings.

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::ptr::NonNull;

/// A usual length. Nothing depends on the true one, as no page is given back.
pub(super) fn page_size() -> usize {
    4096
}

fn layout(len: usize, align: usize) -> Option<Layout> {
    Layout::from_size_align(len, align.max(page_size())).ok()
}

pub(super) fn map(len: usize, align: usize) -> Option<NonNull<u8>> {
    let layout = layout(len, align)?;
    // SAFETY: a mapping is not empty.
    NonNull::new(unsafe { alloc_zeroed(layout) })
}

pub(super) unsafe fn unmap(base: NonNull<u8>, len: usize, align: usize) {
    let layout = layout(len, align).expect("valid when it was mapped");
    // SAFETY: `map` allocated it with this layout, and the caller gives it up.
    unsafe { dealloc(base.as_ptr(), layout) }
}

pub(super) unsafe fn discard(_start: NonNull<u8>, _len: usize) -> bool {
    false
}

pub(super) fn register_barrier() -> bool {
    false
}

pub(super) fn barrier() -> bool {
    false
}

pub(super) fn usable_memory() -> Option<usize> {
    None
}

pub(super) fn cpu_here() -> Option<usize> {
    None
}

#[cfg(feature = "track")]
pub(super) fn thread_number() -> Option<u32> {
    None
}
