//! The slot table: index to slot, in segments that double and never move.
//!
//! A segment stays as long as the core, for a thread late with a pop may read any slot's link. But its OS pages need not:
//! where slots that lie together are all vacant, the pages wholly under them go back to the system, and what that thread
//! reads is zero, as good as any other number that came too late.

use std::alloc::{Layout, alloc, alloc_zeroed, dealloc};
use std::ops::Range;
use std::ptr::{self, NonNull};

#[cfg(feature = "track")]
use crate::engine::slot::Head;
use crate::engine::slot::{Slot, SlotPtr};
use crate::engine::store::Store;
#[cfg(feature = "track")]
use crate::engine::track::Record;
use crate::memory::os;
use crate::sync::{AtomicPtr, AtomicU32, AtomicUsize, FIRST_SEGMENT, Mutex, Ordering::*, locked};

/// Bits of a slot's index; see [`Link`](super::depot::Link) for why not more.
pub(super) const INDEX_BITS: u32 = 28;
/// Index 0 means "none" and [`CLOSED`](super::depot::Link::CLOSED) the last one, so neither is ever handed out.
const LAST_INDEX: u32 = (1 << INDEX_BITS) - 2;
const SEGMENTS: usize = (INDEX_BITS - FIRST_SEGMENT.ilog2() + 1) as usize;

/// Slots by index. Grows without a lock: who loses the race for a segment frees its own.
pub(crate) struct SlotTable {
    segments: [AtomicPtr<u8>; SEGMENTS],
    /// The index of the next slot never used before.
    next: AtomicU32,
    /// Indices whose slots have gone back to the system.
    released: Mutex<Vec<Range<u32>>>,
    /// How many those are.
    released_count: AtomicUsize,
    /// Bytes of one slot.
    stride: usize,
}

/// Segment `s` holds the indices from `FIRST_SEGMENT * (2^s - 1)` on: (segment, place in it).
fn locate(index: u32) -> (usize, usize) {
    let shifted = index + FIRST_SEGMENT;
    let top = shifted.ilog2();
    ((top - FIRST_SEGMENT.ilog2()) as usize, (shifted - (1 << top)) as usize)
}

impl SlotTable {
    pub(super) fn new<C>() -> Self {
        const {
            assert!(
                align_of::<Slot<C>>() == align_of::<Slot<()>>(),
                "values of a pool are aligned to 128 bytes at most: put those that need more into a `Box`"
            )
        };
        SlotTable {
            segments: std::array::from_fn(|_| AtomicPtr::new(ptr::null_mut())),
            next: AtomicU32::new(1),
            released: Mutex::new(Vec::new()),
            released_count: AtomicUsize::new(0),
            stride: size_of::<Slot<C>>(),
        }
    }

    /// None where a segment would be larger than any allocation, on 32-bit targets.
    fn layout(&self, segment: usize) -> Option<Layout> {
        let bytes = (FIRST_SEGMENT as usize).checked_mul(1 << segment)?.checked_mul(self.stride)?;
        Layout::from_size_align(bytes, align_of::<Slot<()>>()).ok()
    }

    /// The slot of this index.
    ///
    /// # Safety
    /// `add` returned a slot of this index, and its return happens before this call.
    #[inline]
    pub(super) unsafe fn slot(&self, index: u32) -> SlotPtr {
        let (segment, place) = locate(index);
        // Relaxed: `add` stored the pointer before the index left it, and the caller vouches for that order.
        let base = self.segments[segment].load(Relaxed);
        // SAFETY: the segment is there, since `add` returned one of its slots, and the place lies in it by `locate`.
        let slot = unsafe { base.add(place * self.stride) };
        // SAFETY: inside an allocation, so not null.
        SlotPtr::from_raw(unsafe { NonNull::new_unchecked(slot.cast()) })
    }

    /// A slot never used before, or not since it was released, or the content back when there is no memory or no index left.
    pub(super) fn add<C>(&self, store: *const Store, content: C) -> Result<SlotPtr, C> {
        debug_assert_eq!(self.stride, size_of::<Slot<C>>());
        if let Some(index) = self.take_released() {
            // SAFETY: it has been out before it was released.
            let slot = unsafe { self.slot(index) }.cast::<C>();
            // SAFETY: taken out of the list, so ours alone.
            unsafe { Slot::renew(slot.as_ptr(), index, store, content) };
            return Ok(SlotPtr::new(slot));
        }
        let Some((index, base)) = self.reserve() else { return Err(content) };
        let (_, place) = locate(index);
        // SAFETY: `place` lies in the segment, which is `stride` bytes times its length.
        let slot = unsafe { base.add(place * self.stride) }.cast::<Slot<C>>();
        #[cfg(not(feature = "track"))]
        // SAFETY: valid for writes and aligned (the layout's alignment is a slot's); the index is ours alone.
        unsafe {
            slot.write(Slot::new(index, store, content))
        };
        #[cfg(feature = "track")]
        // SAFETY: as above. The segment is zero, which is what a link and a record are before they are used.
        unsafe {
            Slot::renew(slot, index, store, content)
        };
        // SAFETY: inside an allocation, so not null.
        Ok(SlotPtr::new(unsafe { NonNull::new_unchecked(slot) }))
    }

    /// An index of our own and its segment.
    fn reserve(&self) -> Option<(u32, *mut u8)> {
        let mut index = self.next.load(Relaxed);
        loop {
            if index > LAST_INDEX {
                return None;
            }
            // Before the index is taken, so that a failed allocation costs none.
            let base = self.segment(locate(index).0)?;
            // Relaxed: the index alone is shared by this; its slot is handed on through other words.
            match self.next.compare_exchange_weak(index, index + 1, Relaxed, Relaxed) {
                Ok(_) => return Some((index, base)),
                Err(now) => index = now,
            }
        }
    }

    fn segment(&self, segment: usize) -> Option<*mut u8> {
        // Acquire pairs with the Release below: the allocation happens before any thread's first write into it.
        let there = self.segments[segment].load(Acquire);
        if !there.is_null() {
            return Some(there);
        }
        let layout = self.layout(segment)?;
        let fresh = take(layout)?.as_ptr();
        match self.segments[segment].compare_exchange(ptr::null_mut(), fresh, Release, Acquire) {
            Ok(_) => Some(fresh),
            Err(theirs) => {
                // SAFETY: taken above with this layout and shown to nobody.
                unsafe { give_back(fresh, layout) };
                Some(theirs)
            }
        }
    }

    /// Calls `each` for the records of all slots that there are or were.
    #[cfg(feature = "track")]
    pub(super) fn for_each_record(&self, mut each: impl FnMut(&Record)) {
        for index in 1..self.next.load(Relaxed) {
            let (segment, place) = locate(index);
            // Acquire pairs with the Release in `segment`: it is zero, or what has been written since.
            let base = self.segments[segment].load(Acquire);
            if base.is_null() {
                continue;
            }
            // SAFETY: inside the segment, which stays as long as the table.
            let record = unsafe { base.add(place * self.stride + Head::RECORD) }.cast::<Record>();
            // SAFETY: in a segment that was zero when it was new, records are written through their atomics alone.
            each(unsafe { &*record });
        }
    }

    /// Bytes of headers the table holds.
    pub(super) fn bytes(&self) -> usize {
        let segments: usize = (0..SEGMENTS)
            .filter(|&s| !self.segments[s].load(Relaxed).is_null())
            .filter_map(|s| self.layout(s))
            .map(|layout| layout.size())
            .sum();
        segments.saturating_sub(self.released_count.load(Relaxed) * self.stride)
    }

    fn take_released(&self) -> Option<u32> {
        // Relaxed: a glance. The lock hands the slots on.
        if self.released_count.load(Relaxed) == 0 {
            return None;
        }
        let mut released = locked(&self.released);
        let last = released.last_mut()?;
        let index = last.start;
        last.start += 1;
        if last.start == last.end {
            released.pop();
        }
        self.released_count.fetch_sub(1, Relaxed);
        Some(index)
    }

    /// An empty set of indices; none when there is no memory for it.
    pub(super) fn no_indices(&self) -> Option<Indices> {
        let words = self.next.load(Relaxed) as usize / 64 + 1;
        let mut set = Vec::new();
        set.try_reserve_exact(words).ok()?;
        set.resize(words, 0);
        Some(Indices(set))
    }

    /// Gives the OS pages under these vacant slots back, as far as no other slot has a part in them. Those that are left
    /// go to `rest`.
    ///
    /// # Safety
    /// The caller holds the slots of these indices, which are vacated, and gives them up.
    pub(super) unsafe fn release(&self, indices: &Indices, mut rest: impl FnMut(SlotPtr)) {
        let end = indices.0.len() as u32 * 64;
        let mut from = 1;
        while let Some(first) = (from..end).find(|&index| indices.has(index)) {
            // Segments do not lie together.
            let is_over = |&index: &u32| !indices.has(index) || locate(index).1 == 0;
            from = (first + 1..end).find(is_over).unwrap_or(end);
            // SAFETY: the caller's.
            let gone = unsafe { self.release_run(first..from) };
            for index in (first..from).filter(|index| !gone.contains(index)) {
                // SAFETY: it is the caller's, so `add` returned it.
                rest(unsafe { self.slot(index) });
            }
        }
    }

    /// The indices whose slots are gone, of a run in one segment.
    ///
    /// # Safety
    /// As [`release`](Self::release).
    unsafe fn release_run(&self, run: Range<u32>) -> Range<u32> {
        let none = run.start..run.start;
        let (segment, place) = locate(run.start);
        // Records must stay readable, or become zero; Windows says neither of pages that it discards.
        let may_go = !cfg!(all(windows, feature = "track"));
        let is_mapped = may_go && self.layout(segment).is_some_and(is_mapped);
        let (page, len) = (os::page_size(), run.len() * self.stride);
        // SAFETY: the caller's, so it was out.
        let start = unsafe { self.slot(run.start) }.as_ptr().cast::<u8>();
        let (skipped, end) = (start.addr().next_multiple_of(page) - start.addr(), (start.addr() + len) / page * page);
        let Some(bytes) = end.checked_sub(start.addr() + skipped).filter(|&bytes| is_mapped && bytes > 0) else {
            return none;
        };
        let mut released = locked(&self.released);
        if released.try_reserve(1).is_err() {
            return none;
        }
        debug_assert!(place + run.len() <= (FIRST_SEGMENT as usize) << segment);
        // SAFETY: inside the run.
        let pages = unsafe { start.add(skipped) };
        // SAFETY: inside an allocation, so not null.
        let pages = unsafe { NonNull::new_unchecked(pages) };
        // SAFETY: whole OS pages of a mapped segment, under slots that are ours. A thread late with a pop reads one word of
        // them at a time, whatever it is now.
        unsafe { os::discard(pages, bytes) };
        // All slots that had a part in them.
        let first = run.start + (skipped / self.stride) as u32;
        let end = run.start + (skipped + bytes).div_ceil(self.stride) as u32;
        released.push(first..end);
        self.released_count.fetch_add((end - first) as usize, Relaxed);
        first..end
    }
}

impl Drop for SlotTable {
    fn drop(&mut self) {
        for segment in 0..SEGMENTS {
            let base = self.segments[segment].load(Relaxed);
            if !base.is_null() {
                let layout = self.layout(segment).expect("it was taken with this layout");
                // SAFETY: taken in `segment` with this layout; slots need no drop (their content was vacated).
                unsafe { give_back(base, layout) };
            }
        }
    }
}

/// Indices of slots, a bit for each that there was when the set was made.
pub(super) struct Indices(Vec<u64>);

impl Indices {
    /// False: made later than the set.
    pub(super) fn add(&mut self, index: u32) -> bool {
        let word = self.0.get_mut(index as usize / 64);
        word.map(|word| *word |= 1 << (index % 64)).is_some()
    }

    fn has(&self, index: u32) -> bool {
        self.0[index as usize / 64] >> (index % 64) & 1 == 1
    }
}

/// Small segments come from the allocator, and stay whole.
const MAPPED_FROM: usize = 64 << 10;

fn is_mapped(layout: Layout) -> bool {
    layout.size() >= MAPPED_FROM && layout.size() % os::page_size() == 0
}

/// Memory for a segment.
fn take(layout: Layout) -> Option<NonNull<u8>> {
    if is_mapped(layout) {
        return os::map(layout.size(), layout.align());
    }
    let allocate = if cfg!(feature = "track") { alloc_zeroed } else { alloc };
    // SAFETY: the layout is not zero-sized.
    NonNull::new(unsafe { allocate(layout) })
}

/// # Safety
/// `base` came from `take(layout)` and is not used any more.
unsafe fn give_back(base: *mut u8, layout: Layout) {
    if is_mapped(layout) {
        // SAFETY: not null, as the caller promises.
        let base = unsafe { NonNull::new_unchecked(base) };
        // SAFETY: the caller's promise.
        unsafe { os::unmap(base, layout.size(), layout.align()) };
    } else {
        // SAFETY: the caller's promise.
        unsafe { dealloc(base, layout) };
    }
}
