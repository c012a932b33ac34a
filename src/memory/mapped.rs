//! Blocks from the operating system: cut from slabs, or a mapping each.
#![allow(unsafe_code)] // Gives OS pages back under blocks that nobody uses.

use std::alloc::Layout;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::mapping::Mapping;
use super::slab::{Cut, Slab, Slabs};
use super::{Block, MemorySource, Want, os};

/// Memory mapped for one size class.
///
/// Blocks of the class are cut from slabs of about 2 MiB; a class of 2 MiB or more, and every block of another layout
/// than the class's, is a mapping of its own. What is released goes back to the system at once: the OS pages that lie
/// wholly inside a block with the block, the rest with the slab, which is unmapped when its last block comes home. No
/// free slab is kept for later: the pool in front of this is what keeps memory for later, and says how much.
///
/// The lock guards the list of slabs alone. No system call runs under it.
#[derive(Debug)]
pub(crate) struct Mapped {
    class: Layout,
    /// Bytes mapped beyond the blocks that are out. Added before it is subtracted from, so it never wraps.
    slack: AtomicUsize,
    slabs: Mutex<Slabs>,
}

impl Mapped {
    /// A source for blocks of `class`. Takes no memory before the first block.
    pub(crate) const fn new(class: Layout) -> Self {
        Self {
            class,
            slack: AtomicUsize::new(0),
            slabs: Mutex::new(Slabs::new()),
        }
    }

    /// How blocks of `layout` are cut; `None` when each is a mapping of its own.
    fn cut(&self, layout: Layout) -> Option<Cut> {
        if layout == self.class {
            Cut::of(layout)
        } else {
            None
        }
    }

    fn slabs(&self) -> MutexGuard<'_, Slabs> {
        // Nothing panics under the lock, short of a broken invariant that a debug build has reported already.
        self.slabs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take_block(&self, cut: Cut) -> Option<Block> {
        let found = self.slabs().take(cut);
        found.or_else(|| self.take_from_new_slab(cut))
    }

    /// Maps a slab and takes a block. Two threads may both come here; the lower of the two slabs is filled first.
    #[cold]
    fn take_from_new_slab(&self, cut: Cut) -> Option<Block> {
        let slab = Slab::new(cut, self.class.align())?;
        let len = slab.len();
        self.slack.fetch_add(len, Relaxed);
        let mut slabs = self.slabs();
        let Err(refused) = slabs.add(slab) else {
            return slabs.take(cut);
        };
        drop(slabs);
        drop(refused);
        self.slack.fetch_sub(len, Relaxed);
        None
    }

    fn put_block(&self, cut: Cut, ptr: NonNull<u8>) {
        // SAFETY: the block was released, so nobody uses its bytes.
        let zeroed = unsafe { discard_inside(ptr, cut.stride) };
        let emptied = self.slabs().put(cut, ptr.addr().get(), zeroed);
        if let Some(slab) = emptied {
            self.slack.fetch_sub(slab.len(), Relaxed);
        }
    }
}

/// Gives back the OS pages that lie wholly inside a block of `len` bytes. True when they are the whole block and now zero.
///
/// # Safety
/// The block is mapped, and nobody uses its bytes.
unsafe fn discard_inside(ptr: NonNull<u8>, len: usize) -> bool {
    let page = os::page_size();
    let addr = ptr.addr().get();
    let start = addr.next_multiple_of(page) - addr;
    let end = (addr + len) / page * page;
    let Some(bytes) = end.checked_sub(addr + start).filter(|&bytes| bytes != 0) else {
        return false;
    };
    // SAFETY: `start` is at most `end`, which is inside the block.
    let first = unsafe { ptr.add(start) };
    // SAFETY: whole OS pages inside the block, which nobody uses.
    let zeroed = unsafe { os::discard(first, bytes) };
    zeroed && bytes == len
}

// SAFETY: 1: blocks of a slab are disjoint and aligned as its stride and mapping are, other blocks are mappings of their
// own; either stays mapped until it is released, the slab at least as long as one of its blocks is out. 2: a new mapping
// is zero, and a block that comes back is marked zero when the system says so. 3: nothing panics with blocks
// released as the caller promises. 4: a slab that cannot be listed is unmapped.
unsafe impl MemorySource for Mapped {
    fn allocate(&self, layout: Layout, _: Want) -> Option<Block> {
        let block = match self.cut(layout) {
            Some(cut) => self.take_block(cut)?,
            None => {
                let mapping = Mapping::new(layout.size(), layout.align())?;
                self.slack.fetch_add(mapping.len(), Relaxed);
                Block {
                    ptr: mapping.into_base(),
                    zeroed: true,
                }
            }
        };
        self.slack.fetch_sub(layout.size(), Relaxed);
        Some(block)
    }

    unsafe fn release(&self, ptr: NonNull<u8>, layout: Layout) {
        self.slack.fetch_add(layout.size(), Relaxed);
        let Some(cut) = self.cut(layout) else {
            // SAFETY: `allocate` let go of a mapping for this layout, and the caller hands it back once.
            let mapping = unsafe { Mapping::from_base(ptr, layout.size(), layout.align()) };
            self.slack.fetch_sub(mapping.len(), Relaxed);
            return;
        };
        self.put_block(cut, ptr);
    }

    fn overhead(&self) -> usize {
        self.slack.load(Relaxed)
    }
}

impl Drop for Mapped {
    fn drop(&mut self) {
        debug_assert!(self.slabs().is_empty(), "a block outlives its source");
    }
}
