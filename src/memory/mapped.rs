//! Blocks from the operating system: cut from slabs, or a mapping each.
#![allow(unsafe_code)] // Gives OS pages back under blocks that nobody uses.

use std::alloc::Layout;
use std::mem::ManuallyDrop;
use std::ops::Range;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, TryLockError};
use std::{process, thread};

use super::mapping::{Mapping, Shape};
use super::options::MemoryOption;
use super::os::pages;
use super::plan::Plan;
use super::slab::{Cut, Left, Slab, Slabs};
use super::{Block, Denial, MemorySource, Want, os};

/// Memory mapped for one size class.
///
/// Blocks of the class are cut from slabs of about 2 MiB; a class of 2 MiB or more, and every block
/// of another layout than the class's, is a mapping of its own. The first slab of a small class is
/// shorter, each further one as long as all before it.
///
/// What is released goes back to the system: a slab is unmapped when its last block comes home, and
/// from 64 KiB on the OS pages that lie wholly inside a block go with the block. Those of smaller
/// blocks wait for [`tidy`](Self::tidy), which gives back many by one system call. No free slab is
/// kept for later: the pool in front of this is what keeps memory for later, and says how much.
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
    shape: Shape,
    /// None where nothing is asked of the memory.
    plan: Option<Arc<Plan>>,
    slabs: ManuallyDrop<Mutex<Slabs>>,
}

/// How often the child of a fork looks at a lock that may have no owner any more.
const LOOKS_AFTER_FORK: usize = 1000;

/// The process that made the first source, to know the child of a fork by.
fn first_process() -> u32 {
    static FIRST: OnceLock<u32> = OnceLock::new();
    *FIRST.get_or_init(process::id)
}

impl Mapped {
    /// A source for blocks of `class`. Takes no memory before the first block.
    pub(crate) fn new(class: Layout, plan: Option<Arc<Plan>>) -> Self {
        first_process();
        Self {
            class,
            slack: AtomicUsize::new(0),
            is_untidy: AtomicBool::new(false),
            shape: Shape::of(plan.as_deref()),
            plan,
            slabs: ManuallyDrop::new(Mutex::new(Slabs::new())),
        }
    }

    /// How blocks of `layout` are cut; `None` when each is a mapping of its own.
    fn cut(&self, layout: Layout) -> Option<Cut> {
        if layout == self.class { Cut::of(layout, self.shape) } else { None }
    }

    /// The list of slabs; none in the child of a fork that caught another thread with the lock in its hand, since that
    /// thread is not in the child and never gives it back.
    fn slabs(&self) -> Option<MutexGuard<'_, Slabs>> {
        // Nothing panics under the lock, short of a broken invariant that a debug build has
        // reported already.
        match self.slabs.try_lock() {
            Ok(slabs) => Some(slabs),
            Err(TryLockError::Poisoned(slabs)) => Some(slabs.into_inner()),
            Err(TryLockError::WouldBlock) if process::id() == first_process() => {
                Some(self.slabs.lock().unwrap_or_else(PoisonError::into_inner))
            }
            Err(TryLockError::WouldBlock) => self.slabs_after_fork(),
        }
    }

    /// The child may have threads of its own, which hold the lock for moments only.
    #[cold]
    fn slabs_after_fork(&self) -> Option<MutexGuard<'_, Slabs>> {
        (0..LOOKS_AFTER_FORK).find_map(|_| {
            thread::yield_now();
            self.slabs.try_lock().ok()
        })
    }

    fn take_block(&self, cut: Cut) -> Result<Block, Denial> {
        let found = self.slabs().ok_or(Denial::NoMemory)?.take(cut);
        found.map_or_else(|| self.take_from_new_slab(cut), Ok)
    }

    /// Maps a slab and takes its first block, unless another thread was quicker: a slab that nobody
    /// needs would never become empty, so it goes back at once.
    #[cold]
    fn take_from_new_slab(&self, cut: Cut) -> Result<Block, Denial> {
        let slab = self.new_slab(cut)?;
        let len = slab.len();
        self.slack.fetch_add(len, Relaxed);
        let Some(mut slabs) = self.slabs() else {
            self.slack.fetch_sub(len, Relaxed);
            return Err(Denial::NoMemory);
        };
        let (block, spare) = match slabs.take(cut) {
            Some(block) => (Ok(block), slab),
            None => match slabs.add(cut, slab) {
                Ok(block) => return Ok(block),
                Err(refused) => (Err(Denial::NoMemory), refused),
            },
        };
        drop(slabs);
        drop(spare);
        self.slack.fetch_sub(len, Relaxed);
        block
    }

    /// As long as it may be, or where it is to be locked, as long as can be locked.
    fn new_slab(&self, cut: Cut) -> Result<Slab, Denial> {
        let mut blocks = self.slabs().ok_or(Denial::NoMemory)?.next_blocks(cut);
        loop {
            let made = Slab::new(cut, blocks, self.class.align(), self.plan.as_deref());
            match cut.fewer_than(blocks) {
                Some(fewer) if !made.as_ref().is_ok_and(Slab::is_locked) => blocks = fewer,
                _ => return made,
            }
        }
    }

    /// A mapping of its own for one block.
    fn map_one(&self, layout: Layout) -> Result<Block, Denial> {
        let mapping = Mapping::for_one(layout.size(), layout.align(), self.plan.as_deref())?;
        self.slack.fetch_add(mapping.len(), Relaxed);
        Ok(Block { ptr: mapping.into_block(layout.align(), self.shape), zeroed: true })
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
            _ => discard_block(cut, ptr),
        };
        if left == Left::Stale && !self.is_untidy.load(Relaxed) {
            self.is_untidy.store(true, Relaxed);
        }
        // Without the list the block stays out for good, and with it its OS pages if they are few.
        let Some(mut slabs) = self.slabs() else { return };
        let emptied = slabs.put(cut, ptr.addr().get(), left);
        drop(slabs);
        self.unmap(emptied);
    }

    fn unmap(&self, emptied: Option<Slab>) {
        if let Some(slab) = emptied {
            self.slack.fetch_sub(slab.len(), Relaxed);
        }
    }

    /// Gives back the OS pages of released blocks that kept them, as far as they share none with blocks that are out.
    ///
    /// Costs a system call, and twice the lock, for each run of such blocks. Meanwhile these are out of reach.
    pub(crate) fn tidy(&self) {
        let Some(cut) = self.cut(self.class).filter(|_| self.is_untidy.swap(false, Relaxed)) else { return };
        let mut from = 0;
        while let Some(claim) = self.slabs().and_then(|mut slabs| slabs.claim(cut, from)) {
            // SAFETY: claimed, so free, and nobody else's before they are put back.
            let zeroed = unsafe { discard_inside(claim.start, claim.len) }.unwrap_or(0..0);
            let is_inside = |addr| zeroed.start <= addr && addr + cut.stride <= zeroed.end;
            let Some(mut slabs) = self.slabs() else { return };
            // The last of them may have been the slab's last block out.
            let mut emptied = None;
            for addr in (claim.start.addr().get()..claim.end).step_by(cut.stride) {
                let left = if is_inside(addr) { Left::Zeroed } else { Left::Discarded };
                emptied = slabs.put(cut, addr, left);
            }
            drop(slabs);
            self.unmap(emptied);
            from = claim.end;
        }
    }
}

/// Gives a block's OS pages back, if it has some to itself.
fn discard_block(cut: Cut, ptr: NonNull<u8>) -> Left {
    let (before, len) = cut.around(ptr.addr().get());
    // SAFETY: the stride of a block starts so much before it, in the same slab.
    let stride = unsafe { ptr.sub(before) };
    // SAFETY: the block was released, so nobody uses the bytes of its stride.
    match unsafe { discard_inside(stride, len) } {
        Some(zeroed) if zeroed.len() == len => Left::Zeroed,
        _ => Left::Discarded,
    }
}

/// Gives back the OS pages that lie wholly inside `len` bytes. Their addresses, when they are zero now.
///
/// # Safety
/// The bytes are mapped, and nobody uses them.
unsafe fn discard_inside(ptr: NonNull<u8>, len: usize) -> Option<Range<usize>> {
    let page = os::page_size();
    let addr = ptr.addr().get();
    let start = addr.next_multiple_of(page);
    let end = (addr + len) / page * page;
    let bytes = end.checked_sub(start).filter(|&bytes| bytes != 0)?;
    // SAFETY: `start` is at most `end`, which is inside.
    let first = unsafe { ptr.add(start - addr) };
    // SAFETY: whole OS pages, which nobody uses.
    unsafe { os::discard(first, bytes) }.then_some(start..end)
}

// SAFETY: 1: blocks of a slab are disjoint and aligned as its stride, colour and mapping are, others
// are mappings of their own; either stays mapped until it is released, a slab as long as one of its
// blocks is out. 2: a new mapping is zero, and a block that comes back is marked zero when the system
// says so. 3: nothing panics with blocks released as promised. 4: a slab not listed is unmapped.
unsafe impl MemorySource for Mapped {
    fn allocate(&self, layout: Layout, _: Want) -> Result<Block, Denial> {
        let block = match self.cut(layout) {
            Some(cut) => self.take_block(cut)?,
            None => self.map_one(layout)?,
        };
        self.slack.fetch_sub(layout.size(), Relaxed);
        if let Err(denial) = self.prefault(&block, layout) {
            // SAFETY: taken just now for this layout, and nobody uses it.
            unsafe { self.release(block.ptr, layout) };
            return Err(denial);
        }
        Ok(block)
    }

    unsafe fn release(&self, ptr: NonNull<u8>, layout: Layout) {
        self.slack.fetch_add(layout.size(), Relaxed);
        let Some(cut) = self.cut(layout) else {
            // SAFETY: `allocate` let go of a mapping for this layout, and the caller hands it back
            // once.
            let mapping = unsafe { Mapping::from_block(ptr, layout.size(), layout.align(), self.shape) };
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
        if let Some(slabs) = self.slabs() {
            debug_assert!(thread::panicking() || slabs.is_empty(), "a block outlives its source");
        } else {
            // Caught by a fork in the middle of a change: to free it could do anything.
            return;
        }
        // SAFETY: not used again.
        unsafe { ManuallyDrop::drop(&mut self.slabs) };
    }
}

#[cfg(test)]
mod tests {
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
        unsafe { source.release(block.ptr, layout) };
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
            let source = Mapped::new(class, None);
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
            let source = Mapped::new(class, None);
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
            let source = Mapped::new(class, None);
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
        let source = Mapped::new(class, None);
        assert!(size_of::<Mapped>() <= 112);
        assert_eq!(source.overhead(), 0);
        let block = take(&source, class);
        assert_eq!(source.overhead(), 8 * 4096 - 4096);
        put(&source, class, block);
        assert_eq!(source.overhead(), 0);
        assert!(source.slabs().unwrap().is_empty());
    }

    #[test]
    fn another_layout_than_the_class_is_a_mapping_of_its_own() {
        let source = Mapped::new(layout(4096, 64), None);
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
        let source = Mapped::new(absurd, None);
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
        let source = Mapped::new(class, None);
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
        let source = Mapped::new(class, None);
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
        let source = Mapped::new(class, None);
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
        let source = Mapped::new(class, None);
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
