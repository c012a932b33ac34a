//! Blocks from the operating system, or from a user's source: cut from slabs, or a mapping each.
#![allow(unsafe_code)] // Gives OS pages back under blocks that nobody uses.

use std::alloc::Layout;
use std::ops::Range;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::*};
use std::sync::{Arc, MutexGuard};
use std::thread;

use super::fork::ForkMutex;
use super::mapping::{Mapping, Shape, Supply};
use super::options::MemoryOption;
use super::os::pages;
use super::plan::Plan;
use super::regions::{Departure, Place, Registry};
use super::slab::{Cut, Left, Slab, Slabs};
use super::source::Origin;
use super::{Block, BlockSource, Denial, Want};

/// Memory mapped for one size class.
///
/// Blocks of the class are cut from slabs of about 2 MiB; a class of 2 MiB or more, and every block
/// of another layout than the class's, is a mapping of its own. The first slab of a small class is
/// shorter, each further one as long as all before it.
///
/// What is released goes back to the system: a slab is unmapped when its last block comes home, and
/// from 64 KiB on the OS pages that lie wholly inside a block go with the block. Those of smaller
/// blocks wait for [`tidy`](Self::tidy), which gives back many by one system call. No free slab is
/// kept for later: the pool in front of this is what keeps memory for later, and says how much. Only
/// while memory is [held](super::regions), it stays: blocks with their OS pages, and slabs and mappings
/// that are empty, which are used again before there are new ones.
///
/// The lock guards the list of slabs alone. Nothing is mapped, discarded or unmapped under it; only
/// the list itself may grow or be freed there, in the global allocator.
#[derive(Debug)]
pub(crate) struct Mapped {
    class: Layout,
    /// Bytes mapped beyond the blocks that are out. Added before it is subtracted from, so it never
    /// wraps.
    slack: AtomicUsize,
    /// A block has been released with its OS pages since the last tidying.
    is_untidy: AtomicBool,
    /// Among all sources of the registry.
    number: u32,
    shape: Shape,
    /// None where nothing is asked of the memory.
    plan: Option<Arc<Plan>>,
    /// None where it is the operating system's.
    origin: Option<Origin>,
    registry: Arc<Registry>,
    slabs: ForkMutex<Slabs>,
}

impl Mapped {
    /// A source for blocks of `class`. Takes no memory before the first block.
    pub(super) fn new(
        class: Layout,
        plan: Option<Arc<Plan>>,
        origin: Option<Origin>,
        registry: &Arc<Registry>,
    ) -> Self {
        let shape = Shape::of(Supply { plan: plan.as_deref(), origin: origin.as_ref() });
        Self {
            class,
            slack: AtomicUsize::new(0),
            is_untidy: AtomicBool::new(false),
            number: registry.owner(),
            shape,
            plan,
            origin,
            registry: registry.clone(),
            slabs: ForkMutex::new(Slabs::new()),
        }
    }

    /// How blocks of `layout` are cut; `None` when each is a mapping of its own.
    fn cut(&self, layout: Layout) -> Option<Cut> {
        if layout == self.class { Cut::of(layout, self.shape) } else { None }
    }

    /// The list of slabs; none in the child of a fork that caught another thread with the lock in its hand.
    fn slabs(&self) -> Option<MutexGuard<'_, Slabs>> {
        self.slabs.lock()
    }

    fn supply(&self) -> Supply<'_> {
        Supply { plan: self.plan.as_deref(), origin: self.origin.as_ref() }
    }

    /// Whether its mappings are regions: not where parts of them must not be touched.
    fn has_regions(&self) -> bool {
        !self.shape.guarded
    }

    /// Numbers a mapping, and tells watchers of it.
    fn enter(&self, mapping: &Mapping) -> Result<Option<u32>, Denial> {
        self.has_regions().then(|| self.registry.add(mapping)).transpose()
    }

    /// Takes a mapping off the list of regions, for which the caller has a pass. What remains to be done when it has no
    /// pass any more.
    fn take_off(&self, region: Option<u32>, mapping: Mapping) -> Option<Departure> {
        self.slack.fetch_sub(mapping.len(), Relaxed);
        // Where there is no region, the mapping ends here.
        self.registry.take_off(region?, mapping)
    }

    fn take_block(&self, cut: Cut) -> Result<Block, Denial> {
        let found = self.slabs().ok_or(Denial::NoMemory)?.take(cut);
        found.map_or_else(|| self.take_from_new_slab(cut), Ok)
    }

    /// Maps a slab and takes its first block, unless another thread was quicker: a slab that nobody
    /// needs would never become empty, so it goes back at once.
    #[cold]
    fn take_from_new_slab(&self, cut: Cut) -> Result<Block, Denial> {
        let blocks = {
            let mut slabs = self.slabs().ok_or(Denial::NoMemory)?;
            slabs.make_room()?;
            slabs.next_blocks(cut)
        };
        let made = self.new_slab(cut, blocks);
        let block = {
            let mut slabs = self.slabs().ok_or(Denial::NoMemory)?;
            match made {
                Ok(slab) => slabs.add(slab),
                Err(denial) => {
                    slabs.forget_room();
                    return Err(denial);
                }
            }
            slabs.take(cut).expect("a new slab has free blocks")
        };
        self.remove_empty();
        Ok(block)
    }

    /// As long as it may be, or where there is a limit, as long as that allows.
    fn new_slab(&self, cut: Cut, blocks: usize) -> Result<Slab, Denial> {
        let mut slab = self.map_slab(cut, blocks)?;
        let region = self.enter(slab.mapping())?;
        if let Some(region) = region {
            slab.set_region(region);
        }
        self.slack.fetch_add(slab.len(), Relaxed);
        Ok(slab)
    }

    fn map_slab(&self, cut: Cut, mut blocks: usize) -> Result<Slab, Denial> {
        loop {
            let made = Slab::new(cut, blocks, self.class.align(), self.supply());
            let is_as_asked = |slab: &Slab| slab.is_locked() || !self.shape.locked;
            match cut.fewer_than(blocks) {
                Some(fewer) if !made.as_ref().is_ok_and(is_as_asked) => blocks = fewer,
                _ => return made,
            }
        }
    }

    /// A mapping of its own for one block: one that was kept, or a new one.
    fn map_one(&self, layout: Layout) -> Result<Block, Denial> {
        if let Some(block) = self.reuse(layout) {
            return Ok(block);
        }
        let mapping = Mapping::for_one(layout.size(), layout.align(), self.supply())?;
        let region = self.enter(&mapping)?;
        self.slack.fetch_add(mapping.len(), Relaxed);
        Ok(self.lend(region, mapping, layout))
    }

    fn lend(&self, region: Option<u32>, mapping: Mapping, layout: Layout) -> Block {
        let zeroed = mapping.is_zeroed();
        let place = region.map_or(Place::NONE, |region| Place::at(region, 0));
        Block { ptr: mapping.into_block(layout.align(), self.shape), zeroed, place }
    }

    fn reuse(&self, layout: Layout) -> Option<Block> {
        let len = self.shape.len_for_one(layout.size(), layout.align())?;
        let (region, mapping) = self.registry.reuse(self.number, len, self.shape.align_for(layout.align()))?;
        Some(self.lend(Some(region), mapping, layout))
    }

    /// Has the memory of a block ready before anybody touches it, if that is planned.
    fn prefault(&self, block: &Block, layout: Layout) -> Result<(), Denial> {
        let Some(plan) = &self.plan else { return Ok(()) };
        // SAFETY: a block that was taken, and nobody else has.
        plan.ask(MemoryOption::Prefault, layout.size(), || unsafe { pages::populate(block.ptr, layout.size()) })?;
        Ok(())
    }

    fn put_block(&self, cut: Cut, ptr: NonNull<u8>) {
        let left = match cut {
            _ if cut.keeps_pages() => Left::Discarded,
            _ if cut.is_lazy() => Left::Stale,
            _ => self.discard_block(cut, ptr),
        };
        if left == Left::Stale && !self.is_untidy.load(Relaxed) {
            self.is_untidy.store(true, Relaxed);
        }
        // Without the list the block stays out for good, and with it its OS pages if they are few.
        let Some(mut slabs) = self.slabs() else { return };
        let is_empty = slabs.put(cut, ptr.addr().get(), left);
        drop(slabs);
        if is_empty {
            self.remove_empty();
        }
        if left == Left::Stale && !cut.is_lazy() {
            // SeqCst: see `Passes::lower`. Of us and the end of what holds memory, one sees the other.
            self.is_untidy.store(true, SeqCst);
            self.tidy();
        }
    }

    /// Gives back slabs that are empty, unless memory is held.
    fn remove_empty(&self) {
        loop {
            let Some(pass) = self.registry.passes().to_remove() else { return };
            let Some(slab) = self.slabs().and_then(|mut slabs| slabs.take_empty()) else { return };
            let (region, mapping) = slab.into_mapping();
            let departure = self.take_off(region, mapping);
            drop(pass);
            departure.into_iter().for_each(|departure| departure.go(&self.registry));
        }
    }

    /// The same with mappings of one block.
    fn remove_kept(&self) {
        loop {
            let Some(pass) = self.registry.passes().to_remove() else { return };
            let Some((region, mapping)) = self.registry.any_kept(self.number) else { return };
            let departure = self.take_off(Some(region), mapping);
            drop(pass);
            departure.into_iter().for_each(|departure| departure.go(&self.registry));
        }
    }

    /// Gives back what was kept because memory was held.
    pub(super) fn sweep(&self) {
        self.remove_kept();
        self.remove_empty();
        self.tidy();
    }

    /// Gives back the OS pages of released blocks that kept them, as far as they share none with blocks that are out,
    /// unless memory is held.
    ///
    /// Costs a system call, and twice the lock, for each run of such blocks. Meanwhile these are out of reach.
    pub(super) fn tidy(&self) {
        // SeqCst: see `put_block`.
        let Some(cut) = self.cut(self.class).filter(|_| self.is_untidy.load(SeqCst)) else { return };
        let Some(pass) = self.registry.passes().to_discard() else { return };
        self.is_untidy.store(false, Relaxed);
        let mut from = 0;
        while let Some(claim) = self.slabs().and_then(|mut slabs| slabs.claim(cut, from)) {
            // SAFETY: claimed, so free, and nobody else's before they are put back.
            let zeroed = unsafe { self.discard_inside(claim.start, claim.len) }.unwrap_or(0..0);
            let is_inside = |addr| zeroed.start <= addr && addr + cut.stride <= zeroed.end;
            let Some(mut slabs) = self.slabs() else { return };
            for addr in (claim.start.addr().get()..claim.end).step_by(cut.stride) {
                let left = if is_inside(addr) { Left::Zeroed } else { Left::Discarded };
                slabs.put(cut, addr, left);
            }
            from = claim.end;
        }
        drop(pass);
        // The last of them may have been a slab's last blocks out.
        self.remove_empty();
    }

    /// Gives a block's OS pages back, if it has some to itself, unless memory is held.
    fn discard_block(&self, cut: Cut, ptr: NonNull<u8>) -> Left {
        let Some(_pass) = self.registry.passes().to_discard() else { return Left::Stale };
        let (before, len) = cut.around(ptr.addr().get());
        // SAFETY: the stride of a block starts so much before it, in the same slab.
        let stride = unsafe { ptr.sub(before) };
        // SAFETY: the block was released, so nobody uses the bytes of its stride.
        match unsafe { self.discard_inside(stride, len) } {
            Some(zeroed) if zeroed.len() == len => Left::Zeroed,
            _ => Left::Discarded,
        }
    }

    /// Gives back the OS pages, or units of the source, that lie wholly inside `len` bytes. Their addresses, when they
    /// are zero now.
    ///
    /// # Safety
    /// The bytes are mapped, and nobody uses them. The caller has a pass.
    unsafe fn discard_inside(&self, ptr: NonNull<u8>, len: usize) -> Option<Range<usize>> {
        let (supply, addr) = (self.supply(), ptr.addr().get());
        let unit = supply.unit();
        let start = addr.next_multiple_of(unit);
        let end = (addr + len) / unit * unit;
        let bytes = end.checked_sub(start).filter(|&bytes| bytes != 0)?;
        // SAFETY: `start` is at most `end`, which is inside.
        let first = unsafe { ptr.add(start - addr) };
        // SAFETY: whole units of a mapping, which nobody uses.
        unsafe { supply.discard(first, bytes) }.then_some(start..end)
    }

    /// Takes back a block that is a mapping of its own, and keeps that if memory is held.
    fn put_one(&self, mapping: Mapping, place: Place) {
        let pass = self.registry.passes().to_remove();
        match (&pass, place.index()) {
            (None, Some(region)) => {
                self.registry.keep(region, self.number, mapping);
                // What holds memory may have ended just now.
                self.remove_kept();
            }
            (_, region) => {
                let departure = self.take_off(region, mapping);
                drop(pass);
                departure.into_iter().for_each(|departure| departure.go(&self.registry));
            }
        }
    }
}

// SAFETY: 1: blocks of a slab are disjoint and aligned as its stride, colour and mapping are, others are mappings of
// their own; either stays mapped until it is released, a slab as long as one of its blocks is out. 2: a new mapping is
// zero, or says that it is not, and a block that comes back is marked zero when the system or the source says so. 3:
// nothing panics with blocks released as promised, and a source's panic is caught. 4: a slab not listed is unmapped.
unsafe impl BlockSource for Mapped {
    fn allocate(&self, layout: Layout, _: Want) -> Result<Block, Denial> {
        let block = match self.cut(layout) {
            Some(cut) => self.take_block(cut)?,
            None => self.map_one(layout)?,
        };
        self.slack.fetch_sub(layout.size(), Relaxed);
        if let Err(denial) = self.prefault(&block, layout) {
            // SAFETY: taken just now for this layout, and nobody uses it.
            unsafe { self.release(block.ptr, block.place, layout) };
            return Err(denial);
        }
        Ok(block)
    }

    unsafe fn release(&self, ptr: NonNull<u8>, place: Place, layout: Layout) {
        self.slack.fetch_add(layout.size(), Relaxed);
        let Some(cut) = self.cut(layout) else {
            // SAFETY: `allocate` let go of a mapping for this layout, and the caller hands it back
            // once.
            let mapping = unsafe { Mapping::from_block(ptr, layout.size(), layout.align(), self.supply()) };
            self.put_one(mapping, place);
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
        let is_at_rest = || self.slabs().is_none_or(|slabs| slabs.has_nothing_out());
        debug_assert!(thread::panicking() || is_at_rest(), "a block outlives its source");
    }
}

#[cfg(test)]
mod tests;
