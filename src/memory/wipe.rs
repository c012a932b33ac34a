//! Writes that the optimiser must not drop, and the states of idle memory that help to find misuse.
#![allow(unsafe_code)] // Writes through raw pointers.

use std::ptr::NonNull;

/// What debug builds leave in returned memory.
const SCRIBBLE: u8 = 0xDB;

/// Sets `len` bytes to zero, at the speed of `memset`, even when nobody will read them again.
///
/// # Safety
/// `ptr` is valid for writes of `len` bytes, and nobody else uses them during the call.
pub(crate) unsafe fn wipe(ptr: NonNull<u8>, len: usize) {
    // SAFETY: the caller's condition.
    unsafe { ptr.write_bytes(0, len) };
    observe(ptr);
}

/// Makes the optimiser believe that the memory behind `ptr` is read here.
fn observe(ptr: NonNull<u8>) {
    #[cfg(all(
        not(miri),
        any(
            target_arch = "x86",
            target_arch = "x86_64",
            target_arch = "arm",
            target_arch = "aarch64",
            target_arch = "riscv32",
            target_arch = "riscv64",
            target_arch = "loongarch64",
            target_arch = "s390x",
        )
    ))]
    // SAFETY: no instruction. Without `nomem` it may read what the pointer leads to.
    unsafe {
        std::arch::asm!("/* {0} */", in(reg) ptr.as_ptr(), options(readonly, nostack, preserves_flags));
    }
    #[cfg(any(
        miri,
        not(any(
            target_arch = "x86",
            target_arch = "x86_64",
            target_arch = "arm",
            target_arch = "aarch64",
            target_arch = "riscv32",
            target_arch = "riscv64",
            target_arch = "loongarch64",
            target_arch = "s390x",
        ))
    ))]
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
/// Nobody else uses the `len` bytes at `ptr`, which are inside one allocation, start at a multiple of 8 and are unpoisoned before they are released.
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
