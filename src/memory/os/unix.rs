//! Every unix but Linux: `madvise` promises nothing about the bytes, and no thread can run a
//! barrier on the others.

use std::ptr::NonNull;

pub(super) use super::mmap::{map, page_size, total_memory as usable_memory, unmap};

/// The system takes the pages when it is short of memory, so they may hold old bytes or zeroes.
pub(super) unsafe fn discard(start: NonNull<u8>, len: usize) -> bool {
    // SAFETY: whole pages of a private anonymous mapping that nobody uses. Should it fail, they
    // stay as they are.
    unsafe { libc::madvise(start.as_ptr().cast(), len, libc::MADV_FREE) };
    false
}

pub(super) fn register_barrier() -> bool {
    false
}

pub(super) fn barrier() -> bool {
    false
}

pub(super) fn cpu_here() -> Option<usize> {
    None
}

#[cfg(feature = "track")]
pub(super) fn thread_number() -> Option<u32> {
    None
}
