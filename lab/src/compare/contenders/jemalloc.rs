//! jemalloc 5, called directly: `malloc` and the sized `sdallocx` that a typed caller can use.

#![allow(unsafe_code, reason = "a C allocator")]

use std::ptr::NonNull;

use tikv_jemalloc_sys as ffi;

use super::raw::Heap;
use crate::compare::contender::{Cannot, Kind, Plan};

pub struct Jemalloc;

// SAFETY: the allocator's contract, for sizes that are not zero (as all of the rows' are); `calloc` zeroes.
unsafe impl Heap for Jemalloc {
    const NAME: &'static str = "jemalloc";
    const KIND: Kind = Kind::Allocator;

    fn can(_: &Plan) -> Result<(), Cannot> {
        Ok(())
    }

    #[inline(always)]
    fn allocate(bytes: usize) -> NonNull<u8> {
        // SAFETY: no condition.
        let pointer = unsafe { ffi::malloc(bytes) };
        NonNull::new(pointer.cast()).expect("memory for a buffer")
    }

    #[inline(always)]
    fn allocate_zeroed(bytes: usize) -> NonNull<u8> {
        // SAFETY: no condition.
        let pointer = unsafe { ffi::calloc(1, bytes) };
        NonNull::new(pointer.cast()).expect("memory for a buffer")
    }

    #[inline(always)]
    unsafe fn release(pointer: NonNull<u8>, bytes: usize) {
        // SAFETY: from `malloc` or `calloc` for this size, not released before, by the caller's promise; no flags
        // were used.
        unsafe { ffi::sdallocx(pointer.as_ptr().cast(), bytes, 0) }
    }
}
