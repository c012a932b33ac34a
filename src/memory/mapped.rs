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
mod tests {
    use super::super::os;
    use super::*;

    fn layout(size: usize, align: usize) -> Layout {
        Layout::from_size_align(size, align).unwrap()
    }

    fn fill(block: &Block, size: usize, byte: u8) {
        // SAFETY: the tests pass blocks of their own.
        unsafe { block.ptr.write_bytes(byte, size) };
    }

    fn all_are(block: &Block, size: usize, byte: u8) -> bool {
        // SAFETY: the tests pass blocks of their own, zeroed or filled.
        let bytes = unsafe { std::slice::from_raw_parts(block.ptr.as_ptr(), size) };
        // One comparison in the machine, which Miri is quick at.
        bytes[0] == byte && bytes[1..] == bytes[..size - 1]
    }

    fn take(source: &Mapped, layout: Layout) -> Block {
        source.allocate(layout, Want::Any).unwrap()
    }

    fn put(source: &Mapped, layout: Layout, block: Block) {
        // SAFETY: the tests pass blocks of this source and layout, and pass them on.
        unsafe { source.release(block.ptr, block.place, layout) };
    }

    /// Classes below, at and above an OS page, whole pages and not, aligned to more than a page,
    /// and one that is not cut.
    fn classes() -> Vec<Layout> {
        let mut classes = vec![layout(192, 64), layout(6144, 64), layout(4096, 4096), layout(20_000, 1 << 14)];
        if !cfg!(miri) {
            classes.extend([layout(96 << 10, 64), layout(64 << 10, 1 << 18)]);
            classes.extend([layout(3 << 20, 64), layout(5000, 1 << 21)]);
        }
        classes
    }

    #[test]
    fn blocks_are_aligned_zero_and_disjoint() {
        for class in classes() {
            let source = Mapped::new(class, None, None, &Registry::new());
            let count = if cfg!(miri) { 5 } else { 40 };
            let blocks: Vec<Block> = (0..count).map(|_| take(&source, class)).collect();
            for (block, byte) in blocks.iter().zip(1..) {
                assert_eq!(block.ptr.addr().get() % class.align(), 0);
                assert!(block.zeroed && all_are(block, class.size(), 0));
                fill(block, class.size(), byte);
            }
            for (block, byte) in blocks.iter().zip(1..) {
                assert!(all_are(block, class.size(), byte));
            }
            for block in blocks {
                put(&source, class, block);
            }
            assert_eq!(source.overhead(), 0);
        }
    }

    #[test]
    fn a_block_that_comes_back_is_zero_when_it_says_so() {
        for class in classes() {
            let source = Mapped::new(class, None, None, &Registry::new());
            let anchor = take(&source, class);
            let block = take(&source, class);
            fill(&block, class.size(), 0xFF);
            let ptr = block.ptr;
            put(&source, class, block);
            source.tidy();
            let again = take(&source, class);
            if Cut::of(class, Shape::default()).is_some() {
                assert_eq!(again.ptr, ptr, "the lowest free block goes out first");
            }
            assert!(!again.zeroed || all_are(&again, class.size(), 0));
            if cfg!(all(target_os = "linux", not(miri))) {
                let whole_pages = class.pad_to_align().size() % os::page_size() == 0;
                assert_eq!(again.zeroed, whole_pages);
            }
            put(&source, class, again);
            put(&source, class, anchor);
        }
    }

    #[test]
    fn giving_pages_back_leaves_the_neighbours_alone() {
        for class in classes() {
            let source = Mapped::new(class, None, None, &Registry::new());
            let [left, middle, right] = std::array::from_fn(|_| take(&source, class));
            for block in [&left, &middle, &right] {
                fill(block, class.size(), 0xA5);
            }
            put(&source, class, middle);
            assert!(all_are(&left, class.size(), 0xA5) && all_are(&right, class.size(), 0xA5));
            put(&source, class, left);
            put(&source, class, right);
        }
    }

    #[test]
    fn nothing_is_held_before_the_first_block_and_after_the_last() {
        let class = layout(4096, 64);
        let source = Mapped::new(class, None, None, &Registry::new());
        assert!(size_of::<Mapped>() <= 192);
        assert_eq!(source.overhead(), 0);
        let block = take(&source, class);
        assert_eq!(source.overhead(), 8 * 4096 - 4096);
        put(&source, class, block);
        assert_eq!(source.overhead(), 0);
        assert!(source.slabs().unwrap().is_empty());
    }

    #[test]
    fn another_layout_than_the_class_is_a_mapping_of_its_own() {
        let source = Mapped::new(layout(4096, 64), None, None, &Registry::new());
        let odd = layout(4097, 64);
        let block = take(&source, odd);
        assert!(source.slabs().unwrap().is_empty());
        assert_eq!(source.overhead(), 2 * os::page_size() - 4097);
        put(&source, odd, block);
        assert_eq!(source.overhead(), 0);
    }

    #[test]
    fn a_refusal_changes_nothing() {
        let absurd = layout(isize::MAX as usize - 4095, 4096);
        let source = Mapped::new(absurd, None, None, &Registry::new());
        if !cfg!(miri) {
            assert!(source.allocate(absurd, Want::Any).is_err());
        }
        assert!(source.allocate(layout(0, 1), Want::Any).is_err());
        assert_eq!(source.overhead(), 0);
    }

    #[test]
    #[cfg(not(miri))]
    fn large_blocks_do_not_compete_for_the_same_cache_sets() {
        let class = layout(64 << 10, 64);
        let source = Mapped::new(class, None, None, &Registry::new());
        let blocks: Vec<Block> = (0..29).map(|_| take(&source, class)).collect();
        let mut lines: Vec<usize> = blocks.iter().map(|block| block.ptr.addr().get() % os::page_size()).collect();
        lines.sort_unstable();
        lines.dedup();
        assert_eq!(lines.len(), 29, "blocks that start at the same distance from an OS page");
        let anchor = take(&source, class);
        for block in blocks {
            fill(&block, class.size(), 0xFF);
            put(&source, class, block);
            let block = take(&source, class);
            assert_eq!(block.zeroed, cfg!(target_os = "linux"));
            assert!(!block.zeroed || all_are(&block, class.size(), 0));
            put(&source, class, block);
        }
        put(&source, class, anchor);
        assert!(source.slabs().unwrap().is_empty());
    }

    #[test]
    #[cfg(all(target_os = "linux", not(miri)))]
    fn released_blocks_leave_memory_while_their_slab_stays() {
        use super::super::resident::resident_bytes;

        let class = layout(64 << 10, os::page_size());
        let source = Mapped::new(class, None, None, &Registry::new());
        let blocks: Vec<Block> = (0..32).map(|_| take(&source, class)).collect();
        let slab = blocks[0].ptr;
        let resident = || resident_bytes(slab, 32 * class.size());
        for block in &blocks {
            fill(block, class.size(), 0xFF);
        }
        assert_eq!(resident(), 32 * class.size());
        let mut blocks = blocks.into_iter();
        let last = blocks.next_back().unwrap();
        for block in blocks {
            put(&source, class, block);
        }
        assert_eq!(resident(), class.size());
        assert!(all_are(&last, class.size(), 0xFF));
        put(&source, class, last);
        assert!(source.slabs().unwrap().is_empty());
    }

    #[test]
    #[cfg(all(target_os = "linux", not(miri)))]
    fn small_blocks_leave_memory_when_it_is_tidied() {
        use super::super::resident::resident_bytes;

        let class = layout(1 << 10, 64);
        let source = Mapped::new(class, None, None, &Registry::new());
        // All of the first slab.
        let mut blocks: Vec<Block> = (0..16).map(|_| take(&source, class)).collect();
        let slab = blocks[0].ptr;
        let resident = || resident_bytes(slab, 16 << 10);
        blocks.iter().for_each(|block| fill(block, class.size(), 0xFF));
        assert_eq!(resident(), 16 << 10);
        // One in each of the last two pages stays.
        let kept: Vec<Block> = [13, 9].map(|block| blocks.remove(block)).into();
        blocks.into_iter().for_each(|block| put(&source, class, block));
        assert_eq!(resident(), 16 << 10);
        source.tidy();
        assert_eq!(resident(), 2 * os::page_size());
        for block in &kept {
            assert!(all_are(block, class.size(), 0xFF));
        }
        let first = take(&source, class);
        assert!(first.zeroed && all_are(&first, class.size(), 0));
        put(&source, class, first);
        kept.into_iter().for_each(|block| put(&source, class, block));
        assert!(source.slabs().unwrap().is_empty());
    }

    #[test]
    fn threads_never_share_a_block() {
        let class = if cfg!(miri) { layout(48 << 10, 64) } else { layout(12 << 10, 64) };
        let (threads, rounds) = if cfg!(miri) { (3, 8) } else { (10, 2000) };
        let source = Mapped::new(class, None, None, &Registry::new());
        let start = std::sync::Barrier::new(threads);
        std::thread::scope(|scope| {
            for thread in 1..=threads {
                let (source, start) = (&source, &start);
                scope.spawn(move || {
                    start.wait();
                    hammer(source, class, thread as u8, rounds);
                });
            }
        });
        assert_eq!(source.overhead(), 0);
        assert!(source.slabs().unwrap().is_empty());
    }

    /// Keeps up to 50 blocks, so that slabs come and go, and looks for the marks of other threads
    /// in them.
    fn hammer(source: &Mapped, class: Layout, mark: u8, rounds: usize) {
        let mut blocks = std::collections::VecDeque::new();
        for round in 0..rounds {
            let block = take(source, class);
            assert!(!block.zeroed || all_are(&block, class.size(), 0));
            fill(&block, class.size(), mark);
            blocks.push_back(block);
            let keep = if round / 50 % 2 == 0 { 50 } else { 0 };
            if round % 20 == 0 {
                source.tidy();
            }
            while blocks.len() > keep {
                let block = blocks.pop_front().unwrap();
                assert!(all_are(&block, class.size(), mark));
                put(source, class, block);
            }
        }
        for block in blocks {
            put(source, class, block);
        }
    }
}
