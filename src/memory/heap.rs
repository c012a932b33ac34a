//! Blocks from the global allocator.
#![allow(unsafe_code)] // Calls the allocator with layouts made at run time.

use std::alloc::{Layout, alloc, alloc_zeroed, dealloc};
use std::ptr::NonNull;

use super::{Block, MemorySource, Want};

/// The global allocator, whichever the program has chosen.
///
/// Whether it gives back to the system what is released it decides alone.
#[derive(Debug)]
pub(crate) struct Heap;

// SAFETY: `GlobalAlloc` promises conditions 1 and 4 of the trait, and its methods must not unwind,
// which is 3. Only `alloc_zeroed` claims zero bytes, which is 2.
unsafe impl MemorySource for Heap {
    fn allocate(&self, layout: Layout, want: Want) -> Option<Block> {
        if layout.size() == 0 {
            return None;
        }
        let ptr = match want {
            // SAFETY: the size is not zero.
            Want::Zeroed => unsafe { alloc_zeroed(layout) },
            // SAFETY: the size is not zero.
            Want::Any => unsafe { alloc(layout) },
        };
        Some(Block { ptr: NonNull::new(ptr)?, zeroed: matches!(want, Want::Zeroed) })
    }

    unsafe fn release(&self, ptr: NonNull<u8>, layout: Layout) {
        // SAFETY: the caller hands back a block of `allocate` with its own layout.
        unsafe { dealloc(ptr.as_ptr(), layout) }
    }

    /// Zero: what the allocator holds beyond its blocks it tells nobody.
    fn overhead(&self) -> usize {
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_aligned_and_zero_when_it_says_so() {
        for align in [1, 64, 4096, 1 << 21] {
            let layout = Layout::from_size_align(192, align).unwrap();
            let block = Heap.allocate(layout, Want::Zeroed).unwrap();
            assert!(block.zeroed);
            assert_eq!(block.ptr.addr().get() % align, 0);
            // SAFETY: the block has this many bytes, all initialised.
            let bytes = unsafe { std::slice::from_raw_parts(block.ptr.as_ptr(), layout.size()) };
            assert!(bytes.iter().all(|&byte| byte == 0));
            // SAFETY: allocated above with the same layout.
            unsafe { Heap.release(block.ptr, layout) };
        }
    }

    #[test]
    fn absurd_and_empty_requests_get_no_memory() {
        let absurd = Layout::from_size_align(isize::MAX as usize - 4095, 4096).unwrap();
        // Miri and the sanitizers stop the program instead.
        if !cfg!(any(miri, millpond_asan, millpond_tsan)) {
            // Unseen, or the optimiser leaves the call out and takes it for a success.
            let refused = std::hint::black_box(Heap.allocate(absurd, Want::Any));
            assert!(refused.is_none());
        }
        assert!(Heap.allocate(Layout::new::<()>(), Want::Any).is_none());
    }
}
