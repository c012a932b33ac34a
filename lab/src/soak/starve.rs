//! Allocations that fail, in the pool's own calls alone.
//!
//! That takes a global allocator, and `compare` times the global allocator: one branch in each call would be a part of
//! the figure. So it is there with the feature `starve` only, and a build that has it does not measure.
#![cfg_attr(feature = "starve", allow(unsafe_code, reason = "a global allocator"))]

#[cfg(feature = "starve")]
pub use failing::{failures, fed, starved};
#[cfg(not(feature = "starve"))]
pub use never::{failures, fed, starved};

/// Whether this build can fail allocations.
pub const CAN: bool = cfg!(feature = "starve");

#[cfg(feature = "starve")]
mod failing {
    use std::alloc::{GlobalAlloc, Layout, System};
    use std::cell::Cell;
    use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

    thread_local! {
        /// Every so many calls of this thread one fails; 0 for none.
        static EVERY: Cell<u32> = const { Cell::new(0) };
        static CALLS: Cell<u32> = const { Cell::new(0) };
    }

    static FAILURES: AtomicU64 = AtomicU64::new(0);

    struct Failing;

    #[global_allocator]
    static ALLOCATOR: Failing = Failing;

    fn fails() -> bool {
        let every = EVERY.get();
        if every == 0 {
            return false;
        }
        let calls = CALLS.get() + 1;
        let fails = calls >= every;
        CALLS.set(if fails { 0 } else { calls });
        FAILURES.fetch_add(u64::from(fails), Relaxed);
        fails
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

        unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, size: usize) -> *mut u8 {
            // SAFETY: the caller's conditions.
            if fails() { std::ptr::null_mut() } else { unsafe { System.realloc(ptr, layout, size) } }
        }

        unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
            // SAFETY: the caller's conditions.
            unsafe { System.dealloc(ptr, layout) }
        }
    }

    /// Runs `work` while every `every`-th allocation of this thread fails; none with 0.
    pub fn starved<R>(every: u32, work: impl FnOnce() -> R) -> R {
        let before = EVERY.replace(every);
        let result = work();
        EVERY.set(before);
        result
    }

    /// Runs `work`, which cannot do without memory.
    pub fn fed<R>(work: impl FnOnce() -> R) -> R {
        starved(0, work)
    }

    /// Allocations that have failed.
    pub fn failures() -> u64 {
        FAILURES.load(Relaxed)
    }
}

#[cfg(not(feature = "starve"))]
mod never {
    pub fn starved<R>(_: u32, work: impl FnOnce() -> R) -> R {
        work()
    }

    pub fn fed<R>(work: impl FnOnce() -> R) -> R {
        work()
    }

    pub fn failures() -> u64 {
        0
    }
}
