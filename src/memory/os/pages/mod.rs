//! What may be asked for the pages of a mapping. Each call does it, or says why the system does not and changes nothing
//! that matters.

use std::ptr::NonNull;

use super::page_size;
use crate::memory::options::{Node, OsReason};

#[cfg_attr(miri, path = "other.rs")]
#[cfg_attr(all(not(miri), target_os = "linux"), path = "linux.rs")]
#[cfg_attr(all(not(miri), unix, not(target_os = "linux")), path = "unix.rs")]
#[cfg_attr(all(not(miri), windows), path = "windows.rs")]
#[cfg_attr(all(not(miri), not(unix), not(windows)), path = "other.rs")]
mod platform;

/// Bytes of a huge page.
pub(crate) const HUGE_PAGE: usize = 2 << 20;

/// As [`map`](super::map), in explicit huge pages, and aligned to them.
pub(crate) fn map_huge(len: usize) -> Result<NonNull<u8>, OsReason> {
    debug_assert!(len != 0 && len % HUGE_PAGE == 0, "{len} bytes are not whole huge pages");
    platform::map_huge(len)
}

/// Lets the system use huge pages for a mapping.
///
/// # Safety
/// The range lies inside one mapping.
pub(crate) unsafe fn allow_huge(start: NonNull<u8>, len: usize) -> Result<(), OsReason> {
    // SAFETY: the caller's.
    unsafe { platform::allow_huge(start, len) }
}

/// Locks pages in memory, until they are unmapped.
///
/// # Safety
/// As [`allow_huge`].
pub(crate) unsafe fn lock(start: NonNull<u8>, len: usize) -> Result<(), OsReason> {
    // SAFETY: the caller's.
    unsafe { platform::lock(start, len) }
}

/// Has the memory of a range ready, so that no access to it faults. Zero bytes stay zero; others may change.
///
/// # Safety
/// The range lies inside one mapping, and is the caller's alone. It need not be whole OS pages.
pub(crate) unsafe fn populate(start: NonNull<u8>, len: usize) -> Result<(), OsReason> {
    // SAFETY: the caller's.
    unsafe { platform::populate(start, len) }
}

/// Leaves pages out of core dumps.
///
/// # Safety
/// As [`allow_huge`].
pub(crate) unsafe fn exclude_from_dumps(start: NonNull<u8>, len: usize) -> Result<(), OsReason> {
    // SAFETY: the caller's.
    unsafe { platform::exclude_from_dumps(start, len) }
}

/// Has the child of a fork find zero bytes in these pages.
///
/// # Safety
/// As [`allow_huge`].
pub(crate) unsafe fn wipe_on_fork(start: NonNull<u8>, len: usize) -> Result<(), OsReason> {
    // SAFETY: the caller's.
    unsafe { platform::wipe_on_fork(start, len) }
}

/// Makes every access to these pages end the process, until they are unmapped.
///
/// # Safety
/// The range lies inside one mapping, nothing was written to it and nobody uses it.
pub(crate) unsafe fn guard(start: NonNull<u8>, len: usize) -> Result<(), OsReason> {
    debug_assert!(start.addr().get() % page_size() == 0 && len % page_size() == 0);
    // SAFETY: the caller's.
    unsafe { platform::guard(start, len) }
}

/// Chooses the node of pages that have not been touched.
///
/// # Safety
/// As [`allow_huge`].
pub(crate) unsafe fn place(start: NonNull<u8>, len: usize, node: Node) -> Result<(), OsReason> {
    // SAFETY: the caller's.
    unsafe { platform::place(start, len, node) }
}

/// Writes a byte of each OS page in the range.
///
/// # Safety
/// As [`populate`].
#[cfg(all(not(miri), any(windows, all(unix, not(target_os = "linux")))))]
unsafe fn touch(start: NonNull<u8>, len: usize) {
    for offset in (0..len).step_by(page_size()).chain(len.checked_sub(1)) {
        // SAFETY: inside the range.
        let byte = unsafe { start.add(offset) };
        // SAFETY: as above; the caller's alone.
        unsafe { byte.write_volatile(0) };
    }
}
