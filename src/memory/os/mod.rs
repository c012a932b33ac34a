//! What is asked of the operating system, with the conditions; one small file for each platform
//! keeps them.
//!
//! An *OS page* is the unit of mapping, [`page_size`] bytes.
#![allow(unsafe_code)] // System calls on raw memory.

use std::process;
use std::ptr::NonNull;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread;

// Miri has no system calls for memory.
#[cfg_attr(miri, path = "other.rs")]
#[cfg_attr(all(not(miri), target_os = "linux"), path = "linux.rs")]
#[cfg_attr(all(not(miri), unix, not(target_os = "linux")), path = "unix.rs")]
#[cfg_attr(all(not(miri), windows), path = "windows.rs")]
#[cfg_attr(all(not(miri), not(unix), not(windows)), path = "other.rs")]
mod platform;

#[cfg(all(target_os = "linux", not(miri)))]
mod cgroup;
#[cfg(all(unix, not(miri)))]
mod mmap;
pub(crate) mod pages;
#[cfg(all(feature = "pressure", target_os = "linux", not(miri)))]
pub(crate) mod psi;
#[cfg(all(unix, not(miri)))]
mod signals;
pub(crate) mod topology;

#[cfg(all(test, feature = "pressure", target_os = "linux", not(miri)))]
pub(crate) use cgroup::tests::Root;

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

/// The number of this process, by which the child of a fork knows that it is one.
pub(crate) fn process_id() -> u32 {
    // There the standard library has no number, and nobody forks.
    if cfg!(target_family = "wasm") { 1 } else { process::id() }
}

/// The bytes of memory that this process may use, free or not: the machine's, or on Linux less where control groups or
/// the limit on addresses say so. Asks the system once.
pub(crate) fn usable_memory() -> Option<usize> {
    static KNOWN: OnceLock<Option<usize>> = OnceLock::new();
    *KNOWN.get_or_init(platform::usable_memory)
}

/// The number of this thread, not 0: the system's, or one that counts them.
#[cfg(feature = "track")]
pub(crate) fn thread_number() -> u32 {
    use std::sync::atomic::AtomicU32;

    static SEEN: AtomicU32 = AtomicU32::new(0);
    platform::thread_number()
        .filter(|&number| number != 0)
        .unwrap_or_else(|| SEEN.fetch_add(1, Relaxed).wrapping_add(1).max(1))
}

/// Maps `len` bytes at an address that is a multiple of `align` and of the OS page.
///
/// - pre: `len` is a multiple of the OS page and not zero; `align` is a power of two.
/// - post: all bytes are zero, readable and writable, and the caller's alone until [`unmap`].
/// - `None`: the system has no such memory; nothing is mapped.
pub(crate) fn map(len: usize, align: usize) -> Option<NonNull<u8>> {
    debug_assert!(len != 0 && len % page_size() == 0, "{len} bytes are not whole OS pages");
    debug_assert!(align.is_power_of_two());
    let base = platform::map(len, align)?;
    debug_assert!(base.addr().get() % align.max(page_size()) == 0);
    Some(base)
}

/// Unmaps what [`map`] has mapped.
///
/// Should the system refuse (Linux may, at its limit on the number of mappings), the memory goes
/// back and the addresses stay taken.
///
/// # Safety
/// - `base`, `len` and `align` are those of one call of `map`, unmapped for the first time;
/// - nothing uses the bytes from now on.
pub(crate) unsafe fn unmap(base: NonNull<u8>, len: usize, align: usize) {
    // SAFETY: the caller's conditions are the callee's.
    unsafe { platform::unmap(base, len, align) }
}

/// Gives the memory of OS pages back; they stay mapped and may be used again. True: all their bytes
/// are zero now. False: any value.
///
/// # Safety
/// - `start` and `len` are multiples of the OS page, `len` is not zero, and all of it lies inside one mapping of
///   [`map`];
/// - nobody uses the bytes during the call, and what they held is of no use any more.
pub(crate) unsafe fn discard(start: NonNull<u8>, len: usize) -> bool {
    debug_assert!(start.addr().get() % page_size() == 0);
    debug_assert!(len != 0 && len % page_size() == 0);
    // SAFETY: the caller's conditions are the callee's.
    unsafe { platform::discard(start, len) }
}

/// Starts a thread that no signal interrupts. False: the system has none to give, as under Miri, which wants threads to
/// end before the program does.
pub(crate) fn spawn_without_signals(name: &str, work: fn()) -> bool {
    let spawn = || thread::Builder::new().name(name.into()).spawn(work).is_ok();
    #[cfg(all(unix, not(miri)))]
    return signals::blocked(spawn);
    #[cfg(not(all(unix, not(miri))))]
    return !cfg!(miri) && spawn();
}

/// Announces that this process will call [`barrier`]. True when it can.
///
/// May take long in a process with many threads; later calls are cheap.
pub(crate) fn register_barrier() -> bool {
    platform::register_barrier()
}

/// A full memory barrier on every running thread of the process, the caller included, before it
/// returns true.
///
/// False: no barrier was run. Registers by itself when [`register_barrier`] was not called in this
/// process, as in the child of a fork.
pub(crate) fn barrier() -> bool {
    platform::barrier()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(base: NonNull<u8>, len: usize, byte: u8) {
        // SAFETY: the tests pass mappings of their own.
        unsafe { base.write_bytes(byte, len) };
    }

    fn is_zero(base: NonNull<u8>, len: usize) -> bool {
        // SAFETY: the tests pass mappings of their own, whose bytes are initialised.
        let bytes = unsafe { std::slice::from_raw_parts(base.as_ptr(), len) };
        bytes[0] == 0 && bytes[1..] == bytes[..len - 1]
    }

    #[test]
    fn a_mapping_is_aligned_zero_and_writable() {
        let len = 3 * page_size();
        for align in [1, 64, page_size(), 4 * page_size(), 1 << 21, 1 << 23] {
            let base = map(len, align).unwrap();
            assert_eq!(base.addr().get() % align, 0);
            assert!(is_zero(base, len));
            fill(base, len, 0xFF);
            // SAFETY: mapped above.
            unsafe { unmap(base, len, align) };
        }
    }

    // A 32-bit program may get half of its addresses.
    #[test]
    #[cfg(all(target_pointer_width = "64", not(miri)))]
    fn an_absurd_length_gets_no_memory() {
        let absurd = isize::MAX as usize / page_size() * page_size();
        assert!(map(absurd, 1).is_none());
        assert!(map(absurd, 1 << 30).is_none());
        assert!(map(page_size(), 1 << (usize::BITS - 1)).is_none());
    }

    #[test]
    fn discarded_pages_are_zero_when_it_says_so() {
        let len = 4 * page_size();
        let base = map(len, 1).unwrap();
        fill(base, len, 0xFF);
        // SAFETY: the mapping is ours alone.
        let zeroed = unsafe { discard(base, len) };
        assert_eq!(zeroed, cfg!(all(target_os = "linux", not(miri))));
        assert!(!zeroed || is_zero(base, len));
        fill(base, len, 1);
        // SAFETY: mapped above.
        unsafe { unmap(base, len, 1) };
    }

    #[test]
    #[cfg(all(target_os = "linux", not(miri)))]
    fn discarded_pages_leave_memory() {
        use crate::memory::resident::resident_bytes;

        let len = 64 * page_size();
        let base = map(len, 1).unwrap();
        fill(base, len, 0xFF);
        assert_eq!(resident_bytes(base, len), len);
        // SAFETY: the mapping is ours alone.
        unsafe { discard(base, len) };
        assert_eq!(resident_bytes(base, len), 0);
        // SAFETY: mapped above.
        unsafe { unmap(base, len, 1) };
    }

    #[test]
    #[cfg(all(target_os = "linux", not(miri)))]
    fn locked_pages_are_not_called_zero() {
        let len = page_size();
        let base = map(len, 1).unwrap();
        fill(base, len, 0xFF);
        // Where the limit on locked memory or a sanitizer forbids it, the pages do become zero.
        // SAFETY: locking changes no byte.
        unsafe { libc::mlock(base.as_ptr().cast(), len) };
        // SAFETY: the mapping is ours alone.
        let zeroed = unsafe { discard(base, len) };
        assert_eq!(zeroed, is_zero(base, len));
        // SAFETY: mapped above.
        unsafe { unmap(base, len, 1) };
    }

    /// Would fill 64 GiB of addresses if the ends of over-long mappings stayed behind.
    #[test]
    #[cfg(all(target_os = "linux", target_pointer_width = "64", not(miri)))]
    fn the_ends_of_an_aligned_mapping_go_back() {
        fn mapped_pages() -> usize {
            let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
            statm.split(' ').next().unwrap().parse().unwrap()
        }

        let before = mapped_pages();
        for _ in 0..64 {
            let base = map(page_size(), 1 << 30).unwrap();
            // SAFETY: mapped above.
            unsafe { unmap(base, page_size(), 1 << 30) };
        }
        let grown = mapped_pages().saturating_sub(before) * page_size();
        assert!(grown < 32 << 30, "{grown} bytes of addresses are still mapped");
    }

    #[test]
    fn a_barrier_runs_where_it_can_be_registered() {
        assert_eq!(register_barrier(), barrier());
        assert!(barrier() || cfg!(miri) || cfg!(not(any(target_os = "linux", windows))));
    }

    #[test]
    #[cfg(all(target_os = "linux", not(miri)))]
    fn the_child_of_a_fork_has_its_barrier() {
        assert!(register_barrier());
        // SAFETY: the child makes system calls and nothing else.
        let child = unsafe { libc::fork() };
        if child == 0 {
            let status = i32::from(!barrier());
            // SAFETY: ends the child at once.
            unsafe { libc::_exit(status) };
        }
        let mut status = -1;
        // SAFETY: `status` may be written to.
        assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
        assert_eq!(status, 0);
    }
}
