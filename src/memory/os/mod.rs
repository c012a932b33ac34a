//! What is asked of the operating system, with the conditions; one small file for each platform keeps them.
//!
//! An *OS page* is the unit of mapping, [`page_size`] bytes.
#![allow(unsafe_code)] // System calls on raw memory.

use std::ptr::NonNull;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

// Miri has no system calls for memory.
#[cfg_attr(miri, path = "other.rs")]
#[cfg_attr(all(not(miri), target_os = "linux"), path = "linux.rs")]
#[cfg_attr(all(not(miri), unix, not(target_os = "linux")), path = "unix.rs")]
#[cfg_attr(all(not(miri), windows), path = "windows.rs")]
#[cfg_attr(all(not(miri), not(unix), not(windows)), path = "other.rs")]
mod platform;

#[cfg(all(unix, not(miri)))]
mod mmap;

/// The length of an OS page, a power of two. Asks the system once.
pub(crate) fn page_size() -> usize {
    static KNOWN: AtomicUsize = AtomicUsize::new(0);
    let known = KNOWN.load(Relaxed);
    if known != 0 {
        return known;
    }
    // Threads that race here all learn the same number.
    let size = platform::page_size();
    assert!(size.is_power_of_two(), "OS page of {size} bytes");
    KNOWN.store(size, Relaxed);
    size
}

/// Maps `len` bytes at an address that is a multiple of `align` and of the OS page.
///
/// - pre: `len` is a multiple of the OS page and not zero; `align` is a power of two.
/// - post: all bytes are zero, readable and writable, and the caller's alone until [`unmap`].
/// - `None`: the system has no such memory; nothing is mapped.
pub(crate) fn map(len: usize, align: usize) -> Option<NonNull<u8>> {
    debug_assert!(
        len != 0 && len % page_size() == 0,
        "{len} bytes are not whole OS pages"
    );
    debug_assert!(align.is_power_of_two());
    let base = platform::map(len, align)?;
    debug_assert!(base.addr().get() % align.max(page_size()) == 0);
    Some(base)
}

/// Unmaps what [`map`] has mapped.
///
/// Should the system refuse (Linux may, at its limit on the number of mappings), the memory goes back and the addresses stay taken.
///
/// # Safety
/// - `base`, `len` and `align` are those of one call of `map`, unmapped for the first time;
/// - nothing uses the bytes from now on.
pub(crate) unsafe fn unmap(base: NonNull<u8>, len: usize, align: usize) {
    // SAFETY: the caller's conditions are the callee's.
    unsafe { platform::unmap(base, len, align) }
}

/// Gives the memory of OS pages back; they stay mapped and may be used again. True: all their bytes are zero now. False: any value.
///
/// # Safety
/// - `start` and `len` are multiples of the OS page, `len` is not zero, all inside one mapping of [`map`];
/// - nobody uses the bytes during the call, and what they held is of no use any more.
pub(crate) unsafe fn discard(start: NonNull<u8>, len: usize) -> bool {
    debug_assert!(start.addr().get() % page_size() == 0);
    debug_assert!(len != 0 && len % page_size() == 0);
    // SAFETY: the caller's conditions are the callee's.
    unsafe { platform::discard(start, len) }
}

/// Announces that this process will call [`barrier`]. True when it can.
///
/// May take long in a process with many threads; later calls are cheap.
pub(crate) fn register_barrier() -> bool {
    platform::register_barrier()
}

/// A full memory barrier on every running thread of the process, the caller included, before it returns true.
///
/// False: no barrier was run. Registers by itself when [`register_barrier`] was not called in this process, as in the child of a fork.
pub(crate) fn barrier() -> bool {
    platform::barrier()
}
