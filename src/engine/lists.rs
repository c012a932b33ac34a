//! Empty lists between two batches.
//!
//! A batch that crosses threads has its list allocated on one and freed on the other, again and again: with glibc, a
//! list of 2 KiB cost 500 to 1600 ns that way, as much as the 64 slots in it. So a pool keeps a few lists, all of one
//! length. Shorter ones an allocator serves from its own caches.

use std::collections::TryReserveError;
use std::fmt;
use std::mem::ManuallyDrop;
use std::ptr::{self, NonNull};

use crate::memory::prefetch::prefetch;
use crate::sync::{AtomicPtr, DEPTH, Ordering::*};

/// Handles that a kept list has room for.
const ROOM: usize = DEPTH;
/// For fewer, a list of this length would mostly be empty.
const LEAST: usize = ROOM / 2 + 1;
const CACHE_LINE: usize = 64;

/// Empty lists of handles. On a cache line of their own, as the threads between which batches travel all write it.
#[repr(align(64))]
pub struct Lists<H> {
    /// The allocations of empty `Vec`s with this capacity, or null.
    places: [AtomicPtr<[H; ROOM]>; CACHE_LINE / size_of::<usize>()],
}

impl<H> Lists<H> {
    pub(crate) fn new() -> Self {
        Lists { places: std::array::from_fn(|_| AtomicPtr::new(ptr::null_mut())) }
    }

    /// An empty list with room for at least `room` handles.
    pub(super) fn list(&self, room: usize) -> Result<Vec<H>, TryReserveError> {
        let usual = (LEAST..=ROOM).contains(&room);
        if let Some(list) = usual.then(|| self.take()).flatten() {
            return Ok(list);
        }
        let mut list = Vec::new();
        list.try_reserve_exact(if usual { ROOM } else { room })?;
        Ok(list)
    }

    fn take(&self) -> Option<Vec<H>> {
        // Relaxed: a glance, which spares the exchange.
        let place = self.places.iter().find(|place| !place.load(Relaxed).is_null())?;
        // Acquire pairs with the Release in `keep`: who had the list before is done with it.
        let list = NonNull::new(place.swap(ptr::null_mut(), Acquire))?.cast::<H>();
        // The thread that read the list last has it in its cache.
        for place in (0..ROOM).step_by((CACHE_LINE / size_of::<H>()).max(1)) {
            // SAFETY: within the allocation.
            prefetch(unsafe { list.add(place) }.cast());
        }
        // SAFETY: an allocation of the global allocator for so many handles, of which none is left, see `keep`; the
        // exchange made it ours alone.
        Some(unsafe { Vec::from_raw_parts(list.as_ptr(), 0, ROOM) })
    }

    /// Keeps the memory of a list, if it is of the usual length and not enough are here.
    pub(super) fn keep(&self, mut list: Vec<H>) {
        list.clear();
        if list.capacity() != ROOM {
            return;
        }
        let Some(place) = self.places.iter().find(|place| place.load(Relaxed).is_null()) else { return };
        let mut list = ManuallyDrop::new(list);
        // Release pairs with the Acquire in `take`.
        if place.compare_exchange(ptr::null_mut(), list.as_mut_ptr().cast(), Release, Relaxed).is_err() {
            drop(ManuallyDrop::into_inner(list));
        }
    }

    /// Frees what is here.
    pub(crate) fn clear(&self) {
        while self.take().is_some() {}
    }

    /// Bytes of the lists that are here.
    pub(crate) fn bytes(&self) -> usize {
        self.places.iter().filter(|place| !place.load(Relaxed).is_null()).count() * size_of::<[H; ROOM]>()
    }
}

impl<H> fmt::Debug for Lists<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lists").field("bytes", &self.bytes()).finish_non_exhaustive()
    }
}

impl<H> Drop for Lists<H> {
    fn drop(&mut self) {
        self.clear();
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn list(lists: &Lists<[usize; 2]>, room: usize) -> Vec<[usize; 2]> {
        lists.list(room).expect("memory for a list")
    }

    #[test]
    fn a_list_is_used_again() {
        let lists = Lists::new();
        let mut first = list(&lists, ROOM);
        first.push([1, 2]);
        let place = first.as_ptr();
        lists.keep(first);
        assert_eq!(lists.bytes(), ROOM * size_of::<[usize; 2]>());
        let second = list(&lists, LEAST);
        assert_eq!((second.as_ptr(), second.len(), second.capacity()), (place, 0, ROOM));
        assert_eq!(lists.bytes(), 0);
    }

    #[test]
    fn lists_of_another_length_are_not_kept() {
        let lists = Lists::new();
        for room in [0, 1, LEAST - 1, ROOM + 1] {
            assert_eq!(list(&lists, room).capacity(), room);
            lists.keep(list(&lists, room));
            assert_eq!(lists.bytes(), 0);
        }
    }

    #[test]
    fn no_more_are_kept_than_there_are_places_for() {
        let lists = Lists::new();
        let many: Vec<_> = (0..20).map(|_| list(&lists, ROOM)).collect();
        many.into_iter().for_each(|list| lists.keep(list));
        assert_eq!(lists.bytes(), lists.places.len() * ROOM * size_of::<[usize; 2]>());
        lists.clear();
        assert_eq!(lists.bytes(), 0);
    }
}
