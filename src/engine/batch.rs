//! Many handles got at once, and returned at once.

use std::collections::TryReserveError;
use std::fmt;
use std::mem;
use std::ops::{Deref, DerefMut};
use std::vec::IntoIter;

use crate::engine::cache;
use crate::engine::depot::Loot;
use crate::engine::lanes::Lane;
use crate::engine::lists::Lists;
use crate::engine::store;
use crate::panics;
use crate::sync::DEPTH;

/// Handles that were got together.
///
/// Dereferences to a slice of them. Dropped, it returns them a magazine full at a time, in one exchange with the depot
/// each, instead of one by one.
///
/// # Examples
///
/// ```
/// let pool = millpond::BufferPool::new();
/// let mut batch = pool.get_many([512, 512, 2048]);
/// batch[2][0] = 1;
/// for buf in batch {
///     assert!(buf.len() >= 512);
/// }
/// ```
pub struct PooledBatch<H: Return> {
    handles: Vec<H>,
}

/// Handles that can be returned in bulk. Sealed.
pub trait Return: sealed::Idle {}

impl<H: sealed::Idle> Return for H {}

pub(crate) mod sealed {
    use crate::engine::lanes::Lane;
    use crate::engine::lists::Lists;
    use crate::engine::slot::SlotPtr;

    /// A handle that holds a slot.
    pub trait Idle: Sized {
        /// Where the slot goes home to; a number to compare.
        fn home(&self) -> usize;

        /// Those of its pool.
        fn lists(&self) -> &Lists<Self>;

        /// Makes what the slot holds ready to lie idle; the slot, which is the caller's then, and its lane. None if it
        /// may not lie idle and has been discarded.
        fn into_idle(self) -> Option<(SlotPtr, Lane)>;
    }
}

impl<H: Return> PooledBatch<H> {
    /// An empty batch with room for `room` handles.
    pub(crate) fn with_room(lists: &Lists<H>, room: usize) -> Result<Self, TryReserveError> {
        Ok(PooledBatch { handles: lists.list(room)? })
    }

    pub(crate) fn reserve(&mut self, additional: usize) -> Result<(), TryReserveError> {
        self.handles.try_reserve(additional)
    }

    /// Adds a handle for which room was [reserved](Self::reserve).
    pub(crate) fn push(&mut self, handle: H) {
        self.push_with(|| handle);
    }

    /// The same for a handle that is made in its place. `Vec::push` has it written to the stack in small pieces and read
    /// from there in large ones: no processor forwards such stores to such loads, and the wait was a quarter of all that a
    /// batch costs.
    #[inline(always)]
    pub(crate) fn push_with(&mut self, make: impl FnOnce() -> H) {
        let len = self.handles.len();
        assert!(len < self.handles.capacity(), "room is reserved first");
        // SAFETY: within the capacity.
        let place = unsafe { self.handles.as_mut_ptr().add(len) };
        // SAFETY: room for a handle, which `make` cannot reach.
        unsafe { place.write(make()) };
        // SAFETY: written above.
        unsafe { self.handles.set_len(len + 1) };
    }
}

impl<H: Return> Drop for PooledBatch<H> {
    fn drop(&mut self) {
        return_all(mem::take(&mut self.handles));
        panics::resume();
    }
}

/// Slots of one store on their way home, of which none is lost when a handle's preparation panics.
struct Run<H> {
    slots: Loot,
    lane: Lane,
    home: usize,
    /// Of the store's pool.
    lists: *const Lists<H>,
}

impl<H: Return> Run<H> {
    /// An empty run, for slots that go home with this one.
    fn with(first: &H) -> Self {
        Run { slots: Loot::new(), lane: Lane::NONE, home: first.home(), lists: first.lists() }
    }

    fn has_room_for(&self, handle: &H) -> bool {
        self.home == handle.home() && self.slots.len() < DEPTH
    }

    fn add(&mut self, handle: H) {
        if let Some((slot, lane)) = handle.into_idle() {
            self.slots.add(slot);
            self.lane = lane;
        }
    }

    /// Gives the pool the memory of a list, if slots in hand keep the pool.
    fn keep(&self, list: Vec<H>) {
        if !self.slots.is_empty() {
            // SAFETY: a slot of this store keeps the core, and that the lists.
            unsafe { &*self.lists }.keep(list);
        }
    }
}

impl<H> Drop for Run<H> {
    fn drop(&mut self) {
        // SAFETY: the handles held these slots, of one store, and are gone.
        cache::with(|cache| unsafe { store::put_many(cache, self.lane, self.slots.as_slice()) });
    }
}

/// Returns what these handles hold with one exchange for each magazine full of one store's.
fn return_all<H: Return>(mut handles: Vec<H>) {
    let Some(first) = handles.first() else { return };
    let mut run = Run::with(first);
    // Mostly all are of one store, and then nothing need be sorted.
    if handles.iter().any(|handle| handle.home() != run.home) {
        handles.sort_unstable_by_key(H::home);
    }
    for handle in handles.drain(..) {
        if !run.has_room_for(&handle) {
            run = Run::with(&handle);
        }
        run.add(handle);
    }
    run.keep(handles);
}

impl<H: Return> Deref for PooledBatch<H> {
    type Target = [H];

    fn deref(&self) -> &[H] {
        &self.handles
    }
}

impl<H: Return> DerefMut for PooledBatch<H> {
    fn deref_mut(&mut self) -> &mut [H] {
        &mut self.handles
    }
}

impl<H: Return> IntoIterator for PooledBatch<H> {
    type Item = H;
    type IntoIter = IntoIter<H>;

    /// The handles one by one, each of which then goes home by itself.
    fn into_iter(mut self) -> Self::IntoIter {
        mem::take(&mut self.handles).into_iter()
    }
}

impl<H: Return + fmt::Debug> fmt::Debug for PooledBatch<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.handles).finish()
    }
}
