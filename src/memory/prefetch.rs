//! Hints to the processor about memory that will soon be used.
#![allow(unsafe_code)] // An instruction on a raw pointer.

use std::ptr::NonNull;

/// Asks for the cache line at `ptr`, to write to. Costs one instruction and waits for nothing; where there is none, does
/// nothing.
#[inline(always)]
pub(crate) fn prefetch(ptr: NonNull<u8>) {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    // Not `_mm_prefetch`, which asks for a copy to read from unless the program is compiled for newer processors.
    // SAFETY: a hint about any address whatever; where an x86-64 does not know it, it does nothing.
    unsafe {
        std::arch::asm!("prefetchw [{}]", in(reg) ptr.as_ptr(), options(readonly, nostack, preserves_flags));
    }
    #[cfg(all(target_arch = "aarch64", not(miri)))]
    // SAFETY: a hint about any address whatever; every AArch64 has the instruction.
    unsafe {
        std::arch::asm!("prfm pstl1keep, [{}]", in(reg) ptr.as_ptr(), options(readonly, nostack, preserves_flags));
    }
    #[cfg(any(miri, not(any(target_arch = "x86_64", target_arch = "aarch64"))))]
    let _ = ptr; // No instruction to give it to.
}

/// Asks for the cache line at `ptr`, to read from. Costs as [`prefetch`].
#[inline(always)]
pub(crate) fn prefetch_to_read(ptr: NonNull<u8>) {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a hint about any address whatever; every x86-64 has the instruction.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(ptr.as_ptr().cast()) };
    }
    #[cfg(all(target_arch = "aarch64", not(miri)))]
    // SAFETY: a hint about any address whatever; every AArch64 has the instruction.
    unsafe {
        std::arch::asm!("prfm pldl1keep, [{}]", in(reg) ptr.as_ptr(), options(readonly, nostack, preserves_flags));
    }
    #[cfg(any(miri, not(any(target_arch = "x86_64", target_arch = "aarch64"))))]
    let _ = ptr; // No instruction to give it to.
}
