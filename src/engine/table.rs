//! The slot table: index to slot, in segments that double and never move.

use std::alloc::{Layout, alloc, dealloc};
use std::ptr::{self, NonNull};

use crate::engine::slot::{Slot, SlotPtr};
use crate::engine::store::Store;
use crate::sync::{AtomicPtr, AtomicU32, FIRST_SEGMENT, Ordering::*};

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
        const { assert!(align_of::<Slot<C>>() == align_of::<Slot<()>>(), "content aligned above a slot's own alignment") };
        SlotTable {
            segments: std::array::from_fn(|_| AtomicPtr::new(ptr::null_mut())),
            next: AtomicU32::new(1),
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

    /// A slot never used before, or the content back when there is no memory or no index left.
    pub(super) fn add<C>(&self, store: *const Store, content: C) -> Result<SlotPtr, C> {
        debug_assert_eq!(self.stride, size_of::<Slot<C>>());
        let Some((index, base)) = self.reserve() else { return Err(content) };
        let (_, place) = locate(index);
        // SAFETY: `place` lies in the segment, which is `stride` bytes times its length.
        let slot = unsafe { base.add(place * self.stride) }.cast::<Slot<C>>();
        // SAFETY: valid for writes and aligned (the layout's alignment is a slot's); the index is ours alone.
        unsafe { slot.write(Slot::new(index, store, content)) };
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
        // SAFETY: the layout is not zero-sized.
        let fresh = unsafe { alloc(layout) };
        if fresh.is_null() {
            return None;
        }
        match self.segments[segment].compare_exchange(ptr::null_mut(), fresh, Release, Acquire) {
            Ok(_) => Some(fresh),
            Err(theirs) => {
                // SAFETY: allocated above with this layout and shown to nobody.
                unsafe { dealloc(fresh, layout) };
                Some(theirs)
            }
        }
    }

    /// Bytes of headers the table holds from the allocator.
    pub(super) fn bytes(&self) -> usize {
        (0..SEGMENTS)
            .filter(|&s| !self.segments[s].load(Relaxed).is_null())
            .filter_map(|s| self.layout(s))
            .map(|layout| layout.size())
            .sum()
    }
}

impl Drop for SlotTable {
    fn drop(&mut self) {
        for segment in 0..SEGMENTS {
            let base = self.segments[segment].load(Relaxed);
            if !base.is_null() {
                let layout = self.layout(segment).expect("it was allocated with this layout");
                // SAFETY: allocated in `segment` with this layout; slots need no drop (their content was vacated).
                unsafe { dealloc(base, layout) };
            }
        }
    }
}
