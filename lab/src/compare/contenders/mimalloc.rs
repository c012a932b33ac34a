//! mimalloc 3, called directly.

#![allow(unsafe_code, reason = "a C allocator")]

use std::ptr::NonNull;

use libmimalloc_sys as ffi;

use super::raw::Heap;
use crate::compare::contender::{Cannot, Kind, Plan};

pub struct Mimalloc;

// SAFETY: the allocator's contract; `mi_zalloc` zeroes.
unsafe impl Heap for Mimalloc {
    const NAME: &'static str = "mimalloc";
    const KIND: Kind = Kind::Allocator;

    fn can(_: &Plan) -> Result<(), Cannot> {
        Ok(())
    }

    #[inline(always)]
    fn allocate(bytes: usize) -> NonNull<u8> {
        // SAFETY: no condition.
        let pointer = unsafe { ffi::mi_malloc(bytes) };
        NonNull::new(pointer.cast()).expect("memory for a buffer")
    }

    #[inline(always)]
    fn allocate_zeroed(bytes: usize) -> NonNull<u8> {
        // SAFETY: no condition.
        let pointer = unsafe { ffi::mi_zalloc(bytes) };
        NonNull::new(pointer.cast()).expect("memory for a buffer")
    }

    #[inline(always)]
    unsafe fn release(pointer: NonNull<u8>, _: usize) {
        // SAFETY: from `mi_malloc` or `mi_zalloc`, not released before, by the caller's promise.
        unsafe { ffi::mi_free(pointer.as_ptr().cast()) }
    }
}
