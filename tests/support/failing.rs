//! A global allocator that fails every k-th call of a thread while it is told to.
#![allow(unsafe_code)] // A global allocator.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    /// Every so many calls of this thread one fails; 0 for none.
    static EVERY: Cell<u32> = const { Cell::new(0) };
    static CALLS: Cell<u32> = const { Cell::new(0) };
}

struct Failing;

fn fails() -> bool {
    let every = EVERY.get();
    CALLS.set(CALLS.get().wrapping_add(1));
    every != 0 && CALLS.get() % every == 0
}

// SAFETY: the system's allocator, or no memory.
unsafe impl GlobalAlloc for Failing {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's conditions.
        if fails() { std::ptr::null_mut() } else { unsafe { System.alloc(layout) } }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's conditions.
        if fails() { std::ptr::null_mut() } else { unsafe { System.alloc_zeroed(layout) } }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: the caller's conditions.
        unsafe { System.dealloc(ptr, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Failing = Failing;

/// Runs `work` while every `every`-th allocation of this thread fails.
pub(crate) fn starved<R>(every: u32, work: impl FnOnce() -> R) -> R {
    EVERY.set(every);
    let result = work();
    EVERY.set(0);
    result
}
