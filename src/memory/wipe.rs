//! Writes that the optimiser must not drop, and the states of idle memory that help to find misuse.
#![allow(unsafe_code)] // Writes through raw pointers.

use std::ptr::NonNull;

/// What debug builds leave in returned memory.
const SCRIBBLE: u8 = 0xDB;

/// Sets `len` bytes to zero, at the speed of `memset`, even when nobody will read them again.
///
/// # Safety
/// `ptr` is valid for writes of `len` bytes, and nobody else uses them during the call.
#[inline]
pub(crate) unsafe fn wipe(ptr: NonNull<u8>, len: usize) {
    // SAFETY: the caller's condition.
    unsafe { ptr.write_bytes(0, len) };
    observe(ptr);
}

/// Makes the optimiser believe that the memory behind `ptr` is read here.
#[inline]
#[cfg(all(
    not(miri),
    any(
        target_arch = "x86",
        target_arch = "x86_64",
        target_arch = "arm",
        target_arch = "aarch64",
        target_arch = "riscv64",
    )
))]
fn observe(ptr: NonNull<u8>) {
    use std::arch::asm;

    // SAFETY: no instruction. Without `nomem` it may read what the pointer leads to, for all the
    // optimiser knows.
    unsafe {
        asm!("/* {0} */", in(reg) ptr.as_ptr(), options(readonly, nostack, preserves_flags));
    }
}

/// The same without `asm!`: it does what we need on every target so far, but promises less.
#[inline]
#[cfg(any(
    miri,
    not(any(
        target_arch = "x86",
        target_arch = "x86_64",
        target_arch = "arm",
        target_arch = "aarch64",
        target_arch = "riscv64",
    ))
))]
fn observe(ptr: NonNull<u8>) {
    std::hint::black_box(ptr);
}

/// Fills returned memory with a pattern in debug builds, so that a use after return shows.
///
/// # Safety
/// As for [`wipe`].
pub(crate) unsafe fn scribble(ptr: NonNull<u8>, len: usize) {
    if cfg!(debug_assertions) {
        // SAFETY: the caller's condition.
        unsafe { ptr.write_bytes(SCRIBBLE, len) };
    }
}

/// Tells AddressSanitizer that any use of these bytes is a mistake, until [`unpoison`].
///
/// # Safety
/// Nobody else uses the `len` bytes at `ptr`, which are inside one allocation, start at a multiple
/// of 8 and are unpoisoned before they are released.
pub(crate) unsafe fn poison(ptr: NonNull<u8>, len: usize) {
    #[cfg(millpond_asan)]
    // SAFETY: the caller's condition.
    unsafe {
        asan::__asan_poison_memory_region(ptr.as_ptr().cast(), len);
    }
    #[cfg(not(millpond_asan))]
    let _ = (ptr, len); // Nothing to tell.
}

/// Takes [`poison`] back.
///
/// # Safety
/// As for `poison`.
pub(crate) unsafe fn unpoison(ptr: NonNull<u8>, len: usize) {
    #[cfg(millpond_asan)]
    // SAFETY: the caller's condition.
    unsafe {
        asan::__asan_unpoison_memory_region(ptr.as_ptr().cast(), len);
    }
    #[cfg(not(millpond_asan))]
    let _ = (ptr, len); // Nothing to tell.
}

#[cfg(millpond_asan)]
mod asan {
    use std::ffi::c_void;

    unsafe extern "C" {
        pub(super) fn __asan_poison_memory_region(start: *const c_void, len: usize);
        pub(super) fn __asan_unpoison_memory_region(start: *const c_void, len: usize);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wipe_leaves_zeroes_and_nothing_else() {
        let mut bytes = [0xAA_u8; 100];
        let middle = NonNull::from(&mut bytes).cast::<u8>();
        // SAFETY: 10 + 80 bytes are inside the array.
        let middle = unsafe { middle.add(10) };
        // SAFETY: as above.
        unsafe { wipe(middle, 80) };
        assert!(bytes[10..90].iter().all(|&byte| byte == 0));
        assert!(bytes[..10].iter().chain(&bytes[90..]).all(|&byte| byte == 0xAA));
    }

    #[test]
    fn debug_builds_scribble_over_returned_memory() {
        let mut bytes = [0xAA_u8; 16];
        // SAFETY: the array is ours.
        unsafe { scribble(NonNull::from(&mut bytes).cast(), 16) };
        let expected = if cfg!(debug_assertions) { SCRIBBLE } else { 0xAA };
        assert_eq!(bytes, [expected; 16]);
    }

    #[test]
    fn poison_comes_off_again() {
        let mut bytes = Box::new([1_u64; 8]);
        let ptr = NonNull::from(&mut *bytes).cast::<u8>();
        // SAFETY: the box is ours, and aligned to 8.
        unsafe { poison(ptr, 64) };
        // SAFETY: as above.
        unsafe { unpoison(ptr, 64) };
        assert_eq!(*bytes, [1; 8]);
    }

    /// To the optimiser, stores to memory that is freed next are dead. In a release build this
    /// fails without the call of `observe`.
    #[test]
    #[cfg(all(target_os = "linux", not(miri), not(millpond_asan)))]
    fn a_wipe_before_memory_is_freed_survives_the_optimiser() {
        use std::alloc::{Layout, alloc, dealloc};
        use std::os::unix::fs::FileExt;

        let layout = Layout::from_size_align(60_000, 64).unwrap();
        let memory = std::fs::File::open("/proc/self/mem").unwrap();
        let mut left = vec![0; layout.size()];
        // SAFETY: the layout is not empty.
        let secret = NonNull::new(unsafe { alloc(layout) }).unwrap();
        // Keeps the freed block from going back to the system.
        let neighbour = std::hint::black_box(vec![1_u8; 1000]);
        // SAFETY: the block is ours and this long.
        unsafe { secret.write_bytes(0xA5, layout.size()) };
        std::hint::black_box(secret);
        // SAFETY: as above.
        unsafe { wipe(secret, layout.size()) };
        // SAFETY: allocated above with this layout.
        unsafe { dealloc(secret.as_ptr(), layout) };

        // The kernel may read what the program may not.
        memory.read_exact_at(&mut left, secret.addr().get() as u64).unwrap();
        assert!(!left.windows(16).any(|bytes| bytes == [0xA5; 16]));
        drop(neighbour);
    }
}
