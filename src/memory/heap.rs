//! Blocks from the global allocator.
#![allow(unsafe_code)] // Calls the allocator with layouts made at run time.

use std::alloc::{Layout, alloc, alloc_zeroed, dealloc};
use std::ptr::NonNull;
use std::sync::Arc;

use super::options::{MemoryOption, OsReason};
use super::os::pages;
use super::plan::Plan;
use super::regions::Place;
use super::{Block, BlockSource, Denial, Want};

/// The global allocator, whichever the program has chosen.
///
/// Whether it gives back to the system what is released it decides alone. Its blocks share OS pages with what is nobody's
/// business here, so nothing can be asked of them but to be there before they are touched.
#[derive(Debug, Default)]
pub(crate) struct Heap {
    /// None where nothing is asked of the memory.
    pub(super) plan: Option<Arc<Plan>>,
}

impl Heap {
    /// Asks for what is planned of a block that nobody has yet.
    fn ask(&self, ptr: NonNull<u8>, len: usize) -> Result<(), Denial> {
        let Some(plan) = &self.plan else { return Ok(()) };
        for option in MemoryOption::ALL {
            plan.ask(option, len, || match option {
                // SAFETY: a block of ours.
                MemoryOption::Prefault => unsafe { pages::populate(ptr, len) },
                _ => Err(OsReason::UNKNOWN),
            })?;
        }
        Ok(())
    }
}

// SAFETY: `GlobalAlloc` promises conditions 1 and 4 of the trait, and its methods must not unwind,
// which is 3. Only `alloc_zeroed` claims zero bytes, which is 2.
unsafe impl BlockSource for Heap {
    fn allocate(&self, layout: Layout, want: Want) -> Result<Block, Denial> {
        if layout.size() == 0 {
            return Err(Denial::NoMemory);
        }
        let ptr = match want {
            // SAFETY: the size is not zero.
            Want::Zeroed => unsafe { alloc_zeroed(layout) },
            // SAFETY: the size is not zero.
            Want::Any => unsafe { alloc(layout) },
        };
        let ptr = NonNull::new(ptr).ok_or(Denial::NoMemory)?;
        if let Err(denial) = self.ask(ptr, layout.size()) {
            // SAFETY: allocated above with this layout.
            unsafe { dealloc(ptr.as_ptr(), layout) };
            return Err(denial);
        }
        Ok(Block { ptr, zeroed: matches!(want, Want::Zeroed), place: Place::NONE })
    }

    unsafe fn release(&self, ptr: NonNull<u8>, _: Place, layout: Layout) {
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
            let block = Heap::default().allocate(layout, Want::Zeroed).unwrap();
            assert!(block.zeroed);
            assert_eq!(block.ptr.addr().get() % align, 0);
            // SAFETY: the block has this many bytes, all initialised.
            let bytes = unsafe { std::slice::from_raw_parts(block.ptr.as_ptr(), layout.size()) };
            assert!(bytes.iter().all(|&byte| byte == 0));
            // SAFETY: allocated above with the same layout.
            unsafe { Heap::default().release(block.ptr, block.place, layout) };
        }
    }

    #[test]
    fn absurd_and_empty_requests_get_no_memory() {
        let absurd = Layout::from_size_align(isize::MAX as usize - 4095, 4096).unwrap();
        // Miri and the sanitizers stop the program instead.
        if !cfg!(any(miri, millpond_asan, millpond_tsan)) {
            // Unseen, or the optimiser leaves the call out and takes it for a success.
            let refused = std::hint::black_box(Heap::default().allocate(absurd, Want::Any));
            assert!(refused.is_err());
        }
        assert!(Heap::default().allocate(Layout::new::<()>(), Want::Any).is_err());
    }
}
