//! A global allocator that counts calls by thread, and live memory by what it is for.
//!
//! Blocks of pools built with [`BLOCK_ALIGN`] are told from everything else by their alignment; so is what the engine
//! makes for itself (cores, stores, magazines, slots), which lies on double cache lines.

#![allow(dead_code)] // Each test asks for the counts it needs.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicIsize, Ordering::Relaxed};

/// An alignment that nothing else in the process asks for.
pub(crate) const BLOCK_ALIGN: usize = 1024;
const ENGINE_ALIGN: usize = 128;

static BLOCKS: AtomicIsize = AtomicIsize::new(0);
static ENGINE: AtomicIsize = AtomicIsize::new(0);

thread_local! {
    static CALLS: Cell<u64> = const { Cell::new(0) };
}

/// Calls of the allocator that this thread has made, of any kind.
pub(crate) fn calls() -> u64 {
    CALLS.get()
}

/// Pools' blocks that are allocated and not freed.
pub(crate) fn live_blocks() -> isize {
    BLOCKS.load(Relaxed)
}

/// Pieces of the engine that are allocated and not freed.
pub(crate) fn live_engine() -> isize {
    ENGINE.load(Relaxed)
}

struct Counting;

fn count(layout: Layout, change: isize) {
    CALLS.set(CALLS.get() + 1);
    match layout.align() {
        BLOCK_ALIGN => BLOCKS.fetch_add(change, Relaxed),
        ENGINE_ALIGN => ENGINE.fetch_add(change, Relaxed),
        _ => 0,
    };
}

// SAFETY: the system's allocator, counted; the counters allocate nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout, 1);
        // SAFETY: the caller's conditions.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout, 1);
        // SAFETY: the caller's conditions.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        count(layout, -1);
        // SAFETY: the caller's conditions.
        unsafe { System.dealloc(ptr, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;
