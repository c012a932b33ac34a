//! Mapping and unmapping, the same on every unix.

use std::ptr::{self, NonNull};

pub(super) fn page_size() -> usize {
    // SAFETY: a plain query.
    let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    usize::try_from(size).expect("the system knows its page size")
}

/// `mmap` aligns to OS pages. For more, this maps too much and gives back both ends.
pub(super) fn map(len: usize, align: usize) -> Option<NonNull<u8>> {
    let excess = align.saturating_sub(super::page_size());
    let longer = len.checked_add(excess)?;
    let start = map_pages(longer)?;
    let head = start.addr().get().next_multiple_of(align) - start.addr().get();
    debug_assert!(head <= excess);
    let tail = excess - head;
    // SAFETY: `head` is at most `excess`, so it is inside the mapping.
    let base = unsafe { start.add(head) };
    // SAFETY: `head + len` is at most `longer`.
    let end = unsafe { base.add(len) };
    // SAFETY: the pages before `base` were mapped just now and nobody knows them.
    let trimmed_head = unsafe { unmap_pages(start, head) };
    // SAFETY: so were the pages from `end` on.
    let trimmed_tail = unsafe { unmap_pages(end, tail) };
    if trimmed_head && trimmed_tail {
        return Some(base);
    }
    // The limit on mappings is reached. No page was touched, so at worst addresses stay taken.
    // SAFETY: nobody knows these pages either; unmapping those that are gone is allowed.
    unsafe { unmap_pages(start, longer) };
    None
}

fn map_pages(len: usize) -> Option<NonNull<u8>> {
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    let flags = libc::MAP_PRIVATE | libc::MAP_ANON;
    // SAFETY: a new mapping at an address of the system's choice touches no memory that exists.
    let start = unsafe { libc::mmap(ptr::null_mut(), len, protection, flags, -1, 0) };
    if start == libc::MAP_FAILED {
        return None;
    }
    NonNull::new(start.cast())
}

/// Unmaps whole OS pages, possibly none. False when the system refuses.
///
/// # Safety
/// The range was mapped by `map_pages`, and nothing uses it from now on.
unsafe fn unmap_pages(start: NonNull<u8>, len: usize) -> bool {
    // SAFETY: the caller gives up this range.
    len == 0 || unsafe { libc::munmap(start.as_ptr().cast(), len) } == 0
}

pub(super) unsafe fn unmap(base: NonNull<u8>, len: usize, _align: usize) {
    // SAFETY: `map` left exactly this range mapped, and the caller gives it up.
    if !unsafe { unmap_pages(base, len) } {
        // SAFETY: the range is still mapped, and nobody uses it.
        unsafe { super::discard(base, len) };
    }
}

/// The machine's memory, in bytes.
pub(super) fn total_memory() -> Option<usize> {
    // SAFETY: a plain query.
    let pages = usize::try_from(unsafe { libc::sysconf(libc::_SC_PHYS_PAGES) }).ok()?;
    // More than a 32-bit program can use.
    Some(pages.saturating_mul(super::page_size()))
}
