//! A wipe before memory is freed survives the optimiser (run it with `--release` too).
//!
//! Stores to memory that is freed next are dead to the optimiser. The global allocator of this test reads what it gets back.
#![allow(unsafe_code)] // A global allocator, and the file under test.

use std::alloc::{GlobalAlloc, Layout, System, alloc, dealloc};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

#[allow(dead_code, unreachable_pub)] // Only the wipe is under test here.
#[path = "../src/memory/wipe.rs"]
mod wipe;

/// An odd size, so that no other allocation is taken for the one with the secret.
const SECRET: Layout = match Layout::from_size_align(12_345, 64) {
    Ok(layout) => layout,
    Err(_) => unreachable!(),
};

static FREED: AtomicUsize = AtomicUsize::new(0);
static BYTES_LEFT: AtomicUsize = AtomicUsize::new(0);

struct Witness;

// SAFETY: the system's allocator, unchanged.
unsafe impl GlobalAlloc for Witness {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's condition.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        if layout == SECRET {
            // SAFETY: the caller gives the block up, and the test has written all of it.
            let bytes = unsafe { std::slice::from_raw_parts(ptr, layout.size()) };
            BYTES_LEFT.fetch_add(bytes.iter().filter(|&&byte| byte != 0).count(), Relaxed);
            FREED.fetch_add(1, Relaxed);
        }
        // SAFETY: the caller's condition.
        unsafe { System.dealloc(ptr, layout) }
    }
}

#[global_allocator]
static WITNESS: Witness = Witness;

#[test]
fn nothing_of_a_secret_is_left_when_its_memory_is_freed() {
    // SAFETY: the layout is not empty.
    let ptr = NonNull::new(unsafe { alloc(SECRET) }).expect("the system has memory");
    // SAFETY: the block is ours and this long.
    unsafe { ptr.write_bytes(0xAA, SECRET.size()) };
    std::hint::black_box(ptr);
    // SAFETY: as above.
    unsafe { wipe::wipe(ptr, SECRET.size()) };
    // SAFETY: allocated above with this layout.
    unsafe { dealloc(ptr.as_ptr(), SECRET) };
    assert_eq!(FREED.load(Relaxed), 1);
    assert_eq!(BYTES_LEFT.load(Relaxed), 0);
}
