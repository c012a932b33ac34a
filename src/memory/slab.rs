//! Which blocks of which slabs are free: bookkeeping, without a system call and without unsafe
//! code.
//!
//! Blocks are taken from the slab at the lowest address that has a free one, and the lowest free
//! block first ("address-ordered first fit", Wilson et al., *Dynamic Storage Allocation*, 1995).
//! Blocks in use gather at low addresses, so the slabs at high addresses empty out and can go back
//! whole.

use std::alloc::Layout;
use std::ops::Range;
use std::ptr::NonNull;

use super::mapping::{Mapping, Shape, Supply};
use super::os::pages::HUGE_PAGE;
use super::regions::Place;
use super::{Block, Denial, os};

/// How long a slab is when its blocks are small. From this size on a block is a mapping of its own.
pub(super) const SLAB_BYTES: usize = 2 << 20;

/// Smaller blocks are not coloured, in OS pages: another page would be too large a part of them.
const COLOURED_FROM: usize = 16;

/// No colour is finer.
const CACHE_LINE: usize = 64;

/// No slab has fewer blocks: with fewer, the mapping costs more than the sharing saves.
const MIN_BLOCKS: usize = 8;

/// No slab has more blocks: its marks stay within a KiB, and one of them is found in 64 steps.
const MAX_BLOCKS: usize = 4096;

/// The same for a slab of huge pages, which is not shorter than one of them.
const MAX_BLOCKS_OF_HUGE_PAGES: usize = HUGE_PAGE / CACHE_LINE;

/// The first slab of a class is no longer, if it has [`MIN_BLOCKS`], so that many classes of which little is used take
/// few addresses.
const FIRST_SLAB_BYTES: usize = 16 << 10;

/// How slabs of one size class are cut.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cut {
    /// From one block to the next.
    pub(super) stride: usize,
    /// Blocks in a slab, at most.
    pub(super) blocks: usize,
    /// How much further into its stride each block starts than the one before, up to an OS page; 0 when all start where
    /// their stride starts.
    ///
    /// Blocks of whole OS pages would all start on one, and their first bytes, which are used most, would compete for
    /// the same few sets of every cache ("cache coloring", Bonwick, *The Slab Allocator*, 1994). Touching the first
    /// byte of 1000 buffers of 64 KiB in turn cost 81 ns each that way. So such a block gets an OS page more of
    /// addresses; one that asks for the alignment of an OS page gets none, and starts on it.
    colour: usize,
    /// Where the first block starts.
    front: usize,
    shape: Shape,
}

impl Cut {
    /// The bytes of a block's stride, all of which are the block's alone, given where the block starts.
    pub(super) fn around(self, addr: usize) -> (usize, usize) {
        let before = if self.colour == 0 { 0 } else { addr % os::page_size() };
        (before, self.stride)
    }

    /// How slabs for `class` are cut; `None` when its blocks are mappings of their own.
    pub(super) fn of(class: Layout, shape: Shape) -> Option<Self> {
        let size = class.pad_to_align().size();
        if size == 0 || size >= SLAB_BYTES {
            return None;
        }
        let page = os::page_size();
        let front = shape.front(class.align());
        if !shape.is_plain() {
            let guarded = size.next_multiple_of(page) + page;
            let stride = if shape.guarded { guarded.next_multiple_of(class.align()) } else { size };
            return Some(Self { stride, blocks: Self::blocks_of(stride, front, shape), colour: 0, front, shape });
        }
        let coloured = size % page == 0 && size >= COLOURED_FROM * page && class.align() < page;
        let (stride, colour) = if coloured { (size + page, class.align().max(CACHE_LINE)) } else { (size, 0) };
        let blocks = Self::blocks_of(stride, front, shape);
        Some(Self { stride, blocks, colour, front, shape })
    }

    /// Blocks of a slab. One that is locked is not longer than others, so that a limit on locked memory is used up to
    /// its end; one of huge pages has as many as fit into whole ones.
    fn blocks_of(stride: usize, front: usize, shape: Shape) -> usize {
        if shape.huge.is_some() {
            let least = if shape.locked { 1 } else { MIN_BLOCKS };
            let len = (front + least * stride).next_multiple_of(HUGE_PAGE);
            return ((len - front) / stride).min(MAX_BLOCKS_OF_HUGE_PAGES);
        }
        let least = if shape.locked { 1 } else { MIN_BLOCKS };
        let unit = shape.unit();
        if unit > os::page_size() {
            let len = SLAB_BYTES.max(least * stride).next_multiple_of(unit);
            // So that each block's place fits half a word; see `Place`.
            return (len.min(u32::MAX as usize) / stride).min(MAX_BLOCKS_OF_HUGE_PAGES);
        }
        (SLAB_BYTES.saturating_sub(front) / stride).clamp(least, MAX_BLOCKS)
    }

    /// The length of a slab of so many blocks.
    fn len_of(self, blocks: usize) -> Option<usize> {
        let len = self.front + self.stride * blocks;
        let unit = if self.shape.huge.is_some() { HUGE_PAGE } else { self.shape.unit() };
        self.shape.len_for(len.checked_next_multiple_of(unit)?)
    }

    /// Where the guards of a slab of so many blocks are.
    fn guards(self, blocks: usize) -> impl Iterator<Item = usize> {
        let ends = (0..=blocks).map(move |block| self.front + block * self.stride - os::page_size());
        ends.filter(move |_| self.shape.guarded)
    }

    /// Blocks of the next slab to be tried when one of so many was refused: where there is a limit to what can be had,
    /// it is used up to its end.
    pub(super) fn fewer_than(self, blocks: usize) -> Option<usize> {
        ((self.shape.locked || self.shape.unit.is_some()) && blocks > 1).then_some(blocks / 2)
    }

    /// Whether OS pages stay with the slab whatever becomes of its blocks: to give back a part of a huge page would
    /// break it up.
    pub(super) fn keeps_pages(self) -> bool {
        self.shape.huge.is_some()
    }

    /// Blocks in a slab that is mapped when there are so many: as many again, if they are small.
    pub(super) fn blocks_beside(self, there: usize) -> usize {
        if !self.is_lazy() || self.shape.unit() > os::page_size() {
            return self.blocks;
        }
        let first = (FIRST_SLAB_BYTES / self.stride).clamp(MIN_BLOCKS, self.blocks);
        there.clamp(first, self.blocks)
    }

    /// Whether a block keeps its OS pages when it is released, until the source is [tidied](Slabs::claim): they are
    /// few, and each system call costs as much as for many.
    pub(super) fn is_lazy(self) -> bool {
        self.stride < COLOURED_FROM * os::page_size() && !self.keeps_pages()
    }

    /// Where a block starts in the slab.
    fn start_of(self, block: usize) -> usize {
        self.front + block * self.stride + block * self.colour % os::page_size()
    }
}

/// The marks of 64 neighbouring blocks, one bit each.
#[derive(Clone, Copy, Debug)]
struct Marks {
    /// The block is in the slab, not out with a user.
    free: u64,
    /// All bytes of the block are zero. Says nothing about a block that is out.
    zeroed: u64,
    /// The block was released with its OS pages. Nothing about a block that is out.
    stale: u64,
}

/// How a block comes back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Left {
    /// Its bytes are zero.
    Zeroed,
    /// Those of its OS pages that it shares with no other block are back with the system.
    Discarded,
    /// With all its OS pages.
    Stale,
}

/// Neighbouring free blocks of a slab, taken out of it to give their OS pages back.
#[derive(Clone, Debug)]
pub(super) struct Claim {
    /// The first byte of the first block.
    pub(super) start: NonNull<u8>,
    pub(super) len: usize,
    /// Where to look on.
    pub(super) end: usize,
}

/// A mapping that is cut into blocks of one size.
#[derive(Debug)]
pub(super) struct Slab {
    mapping: Mapping,
    marks: Vec<Marks>,
    blocks: usize,
    out: usize,
    /// Blocks that are free and stale.
    stale: usize,
    /// The number of its region, if it is one.
    region: Option<u32>,
}

impl Slab {
    /// Maps a slab of so many blocks, all of it free.
    pub(super) fn new(cut: Cut, blocks: usize, align: usize, supply: Supply<'_>) -> Result<Self, Denial> {
        let words = blocks.div_ceil(64);
        let mut marks = Vec::new();
        marks.try_reserve_exact(words).map_err(|_| Denial::NoMemory)?;
        let len = cut.len_of(blocks).ok_or(Denial::NoMemory)?;
        let mapping = Mapping::new(len, cut.shape.align_for(align), supply, cut.guards(blocks))?;
        marks.extend((0..words).map(|word| {
            let blocks = (blocks - word * 64).min(64);
            let all = u64::MAX >> (64 - blocks);
            Marks { free: all, zeroed: if mapping.is_zeroed() { all } else { 0 }, stale: 0 }
        }));
        Ok(Self { mapping, marks, blocks, out: 0, stale: 0, region: None })
    }

    pub(super) fn mapping(&self) -> &Mapping {
        &self.mapping
    }

    pub(super) fn set_region(&mut self, index: u32) {
        self.region = Some(index);
    }

    /// The mapping, and the number of its region.
    pub(super) fn into_mapping(self) -> (Option<u32>, Mapping) {
        (self.region, self.mapping)
    }

    /// Bytes held from the system.
    pub(super) fn len(&self) -> usize {
        self.mapping.len()
    }

    pub(super) fn is_locked(&self) -> bool {
        self.mapping.is_locked()
    }

    fn addr(&self) -> usize {
        self.mapping.addr()
    }

    fn is_full(&self) -> bool {
        self.out == self.blocks
    }

    /// Takes the lowest free block.
    fn take(&mut self, cut: Cut) -> Option<Block> {
        let word = self.marks.iter().position(|marks| marks.free != 0)?;
        let marks = &mut self.marks[word];
        let bit = marks.free.trailing_zeros();
        let zeroed = marks.zeroed >> bit & 1 == 1;
        self.take_out(word * 64 + bit as usize);
        let offset = cut.start_of(word * 64 + bit as usize);
        let place = self.region.map_or(Place::NONE, |region| Place::at(region, offset));
        Some(Block { ptr: self.mapping.at(offset), zeroed, place })
    }

    fn take_out(&mut self, block: usize) {
        let (marks, bit) = (&mut self.marks[block / 64], block % 64);
        self.stale -= (marks.stale >> bit & 1) as usize;
        marks.free &= !(1 << bit);
        marks.stale &= !(1 << bit);
        self.out += 1;
    }

    fn is_free(&self, block: usize) -> bool {
        self.marks[block / 64].free >> (block % 64) & 1 == 1
    }

    fn is_stale(&self, block: usize) -> bool {
        self.marks[block / 64].stale >> (block % 64) & 1 == 1
    }

    /// The first run of free blocks from this one on that has OS pages to give back.
    fn stale_run(&self, cut: Cut, from: usize) -> Option<Range<usize>> {
        if self.stale == 0 {
            return None;
        }
        let mut start = from;
        loop {
            start = (start..self.blocks).find(|&block| self.is_free(block))?;
            let end = (start..self.blocks).find(|&block| !self.is_free(block)).unwrap_or(self.blocks);
            let (first, last) = (self.place(cut, start), self.place(cut, end));
            let unit = cut.shape.unit();
            let has_page = first.next_multiple_of(unit) + unit <= last;
            if has_page && (start..end).any(|block| self.is_stale(block)) {
                return Some(start..end);
            }
            start = end;
        }
    }

    /// Where a block's stride starts.
    fn place(&self, cut: Cut, block: usize) -> usize {
        self.addr() + cut.front + block * cut.stride
    }

    /// Takes back the block whose stride `addr` is in.
    fn put(&mut self, cut: Cut, addr: usize, left: Left) {
        let offset = addr - self.addr();
        let block = (offset - cut.front) / cut.stride;
        debug_assert!(
            offset == cut.start_of(block) || offset == cut.front + block * cut.stride,
            "not the start of a block"
        );
        let marks = &mut self.marks[block / 64];
        let bit = block % 64;
        debug_assert_eq!(marks.free >> bit & 1, 0, "released twice");
        marks.free |= 1 << bit;
        marks.zeroed = marks.zeroed & !(1 << bit) | u64::from(left == Left::Zeroed) << bit;
        marks.stale |= u64::from(left == Left::Stale) << bit;
        self.stale += usize::from(left == Left::Stale);
        self.out -= 1;
    }
}

/// The slabs of one size class.
#[derive(Debug)]
pub(super) struct Slabs {
    /// Sorted by address.
    all: Vec<Slab>,
    /// The addresses of those that have a free block, highest first. Has room for all of them, so
    /// `put` need not allocate.
    open: Vec<usize>,
    /// Slabs without a block out. They are there for moments, or as long as memory is held.
    empty: usize,
    /// Slabs that are to come, for which there is room in the lists.
    to_come: usize,
}

impl Slabs {
    pub(super) const fn new() -> Self {
        Self { all: Vec::new(), open: Vec::new(), empty: 0, to_come: 0 }
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    pub(super) fn has_nothing_out(&self) -> bool {
        self.all.iter().all(|slab| slab.out == 0)
    }

    /// Takes the lowest free block of the lowest slab that has one; `None` when all slabs are full.
    pub(super) fn take(&mut self, cut: Cut) -> Option<Block> {
        let lowest = *self.open.last()?;
        let slab = self.holder_of(lowest);
        self.empty -= usize::from(self.all[slab].out == 0);
        let block = self.all[slab].take(cut);
        if self.all[slab].is_full() {
            self.open.pop();
        }
        self.assert_valid();
        block
    }

    /// Makes room for a slab that is to come. An error: the global allocator has no memory for the lists.
    pub(super) fn make_room(&mut self) -> Result<(), Denial> {
        let more = self.to_come + 1;
        let room =
            self.all.try_reserve(more).and_then(|()| self.open.try_reserve(self.all.len() + more - self.open.len()));
        room.map_err(|_| Denial::NoMemory)?;
        self.to_come = more;
        Ok(())
    }

    /// A slab that was to come does not.
    pub(super) fn forget_room(&mut self) {
        self.to_come -= 1;
    }

    /// Adds a new slab, for which there is room.
    pub(super) fn add(&mut self, slab: Slab) {
        debug_assert!(slab.out == 0 && self.to_come > 0);
        self.to_come -= 1;
        let addr = slab.addr();
        let at = self.all.partition_point(|other| other.addr() < addr);
        self.all.insert(at, slab);
        self.empty += 1;
        self.open_up(addr);
    }

    /// How many blocks the next slab should have.
    pub(super) fn next_blocks(&self, cut: Cut) -> usize {
        cut.blocks_beside(self.all.iter().map(|slab| slab.blocks).sum())
    }

    /// Takes free blocks that lie together, and have OS pages to give back, out of a slab: the first from this address
    /// on.
    pub(super) fn claim(&mut self, cut: Cut, from: usize) -> Option<Claim> {
        let first = self.all.partition_point(|slab| slab.addr() + slab.len() <= from);
        let found = (first..self.all.len()).find_map(|at| {
            let slab = &self.all[at];
            let first = from.saturating_sub(slab.addr() + cut.front).div_ceil(cut.stride);
            Some((at, slab.stale_run(cut, first)?))
        });
        let (at, run) = found?;
        let slab = &mut self.all[at];
        self.empty -= usize::from(slab.out == 0);
        run.clone().for_each(|block| slab.take_out(block));
        let (addr, start, len) = (slab.addr(), cut.front + run.start * cut.stride, run.len() * cut.stride);
        let claim = Claim { start: slab.mapping.at(start), len, end: addr + start + len };
        if slab.is_full() {
            let place = self.place_in_open(addr);
            self.open.remove(place);
        }
        self.assert_valid();
        Some(claim)
    }

    /// Takes back the block at `addr`. True: it was its slab's last one out, and [`take_empty`](Self::take_empty) gives
    /// the slab.
    pub(super) fn put(&mut self, cut: Cut, addr: usize, left: Left) -> bool {
        let at = self.holder_of(addr);
        let slab = &mut self.all[at];
        let slab_addr = slab.addr();
        let was_full = slab.is_full();
        slab.put(cut, addr, left);
        let is_empty = slab.out == 0;
        if was_full {
            self.open_up(slab_addr);
        }
        self.empty += usize::from(is_empty);
        self.assert_valid();
        is_empty
    }

    /// Takes out a slab that has no block out.
    pub(super) fn take_empty(&mut self) -> Option<Slab> {
        if self.empty == 0 {
            return None;
        }
        // High ones are empty first.
        let at = self.all.iter().rposition(|slab| slab.out == 0)?;
        let slab = self.remove(at);
        self.empty -= 1;
        self.assert_valid();
        Some(slab)
    }

    /// The index of the slab that holds `addr`: the last one that starts at or below it.
    fn holder_of(&self, addr: usize) -> usize {
        self.all.partition_point(|slab| slab.addr() <= addr) - 1
    }

    /// Where `addr` is in `open`, or belongs.
    fn place_in_open(&self, addr: usize) -> usize {
        self.open.partition_point(|&other| other > addr)
    }

    fn open_up(&mut self, addr: usize) {
        let place = self.place_in_open(addr);
        self.open.insert(place, addr);
    }

    fn remove(&mut self, at: usize) -> Slab {
        let slab = self.all.remove(at);
        let place = self.place_in_open(slab.addr());
        self.open.remove(place);
        if self.all.is_empty() && self.to_come == 0 {
            (self.all, self.open) = (Vec::new(), Vec::new());
        }
        slab
    }

    /// Slabs with a free block are in `open`, in order, and no other; there is room for all, and for those to come.
    fn assert_valid(&self) {
        if cfg!(all(test, debug_assertions)) {
            let open = self.all.iter().rev().filter(|slab| !slab.is_full()).map(Slab::addr);
            assert!(open.eq(self.open.iter().copied()));
            assert_eq!(self.all.iter().filter(|slab| slab.out == 0).count(), self.empty);
            assert!(self.all.capacity().min(self.open.capacity()) >= self.all.len() + self.to_come);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const ALIGN: usize = 64;
    const CUT: Cut = Cut {
        stride: 192,
        blocks: 70,
        colour: 0,
        front: 0,
        shape: Shape { guarded: false, locked: false, huge: None, unit: None },
    };

    fn layout(size: usize) -> Layout {
        Layout::from_size_align(size, ALIGN).unwrap()
    }

    /// Adds a slab and takes its first block.
    fn add_one(slabs: &mut Slabs) -> Block {
        slabs.make_room().unwrap();
        slabs.add(Slab::new(CUT, CUT.blocks, ALIGN, Supply::default()).unwrap());
        slabs.take(CUT).unwrap()
    }

    #[test]
    fn slabs_have_about_two_mib_or_eight_blocks() {
        let blocks = |size| Cut::of(layout(size), Shape::default()).map(|cut| cut.blocks);
        assert_eq!(blocks(64), Some(4096));
        assert_eq!(blocks(4096), Some(512));
        assert_eq!(blocks(96 << 10), Some(20), "an OS page more each");
        assert_eq!(blocks(1 << 20), Some(8));
        assert_eq!(blocks(3 << 19), Some(8));
        assert_eq!(blocks(2 << 20), None);
        assert_eq!(blocks(0), None);
        let aligned = Layout::from_size_align(4096, 2 << 20).unwrap();
        assert!(Cut::of(aligned, Shape::default()).is_none());
    }

    #[test]
    fn a_block_remembers_whether_it_is_zero() {
        let mut slabs = Slabs::new();
        let anchor = add_one(&mut slabs);
        for left in [Left::Stale, Left::Zeroed, Left::Discarded] {
            let block = slabs.take(CUT).unwrap();
            assert!(!slabs.put(CUT, block.ptr.addr().get(), left));
            let again = slabs.take(CUT).unwrap();
            assert_eq!((again.ptr, again.zeroed), (block.ptr, left == Left::Zeroed));
            slabs.put(CUT, again.ptr.addr().get(), left);
        }
        assert!(slabs.put(CUT, anchor.ptr.addr().get(), Left::Zeroed));
        assert!(slabs.take_empty().is_some() && slabs.take_empty().is_none());
        assert!(slabs.is_empty());
    }

    /// The naive model: the set of free addresses, of which the lowest goes out.
    #[test]
    fn the_lowest_free_block_goes_out_first() {
        let rounds = if cfg!(miri) { 160 } else { 100_000 };
        let mut slabs = Slabs::new();
        let mut free = BTreeSet::new();
        let mut out = Vec::new();
        let mut random = 0x9E37_79B9_7F4A_7C15_u64;
        for round in 0..rounds {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            // Grows for a while, then shrinks for a while.
            let grow = if round / (rounds / 8) % 2 == 0 { 5 } else { 3 };
            if random % 8 < grow {
                let (block, expected) = match free.pop_first() {
                    Some(lowest) => (slabs.take(CUT).unwrap(), lowest),
                    None => {
                        assert!(slabs.take(CUT).is_none());
                        let block = add_one(&mut slabs);
                        let addr = block.ptr.addr().get();
                        free.extend((1..CUT.blocks).map(|block| addr + block * CUT.stride));
                        (block, addr)
                    }
                };
                assert_eq!(block.ptr.addr().get(), expected);
                out.push(expected);
            } else if !out.is_empty() {
                let addr = out.swap_remove((random >> 8) as usize % out.len());
                free.insert(addr);
                slabs.put(CUT, addr, Left::Stale);
                if let Some(slab) = slabs.take_empty() {
                    let range = slab.addr()..slab.addr() + slab.len();
                    assert!(!out.iter().any(|addr| range.contains(addr)));
                    free.retain(|addr| !range.contains(addr));
                }
            }
        }
        for addr in out {
            slabs.put(CUT, addr, Left::Stale);
            drop(slabs.take_empty());
        }
        assert!(slabs.is_empty());
    }
}
