//! Many handles got at once, and returned at once.

use std::collections::TryReserveError;
use std::fmt;
use std::iter::Peekable;
use std::ops::{Deref, DerefMut};
use std::vec::IntoIter;

use crate::engine::cache;
use crate::engine::depot::Loot;
use crate::engine::lanes::Lane;
use crate::engine::panics;
use crate::engine::store;
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
    use crate::engine::slot::SlotPtr;

    /// A handle that holds a slot.
    pub trait Idle: Sized {
        /// Where the slot goes home to; a number to compare.
        fn home(&self) -> usize;

        /// Makes what the slot holds ready to lie idle; the slot, which is the caller's then, and its lane. None if it
        /// may not lie idle and has been discarded.
        fn into_idle(self) -> Option<(SlotPtr, Lane)>;
    }
}

impl<H: Return> PooledBatch<H> {
    pub(crate) fn new() -> Self {
        PooledBatch { handles: Vec::new() }
    }

    pub(crate) fn reserve(&mut self, additional: usize) -> Result<(), TryReserveError> {
        self.handles.try_reserve(additional)
    }

    /// Adds a handle for which room was [reserved](Self::reserve).
    pub(crate) fn push(&mut self, handle: H) {
        self.handles.push(handle);
    }
}

impl<H: Return> Drop for PooledBatch<H> {
    fn drop(&mut self) {
        return_all(std::mem::take(&mut self.handles));
        panics::resume();
    }
}

/// Slots of one store on their way home, of which none is lost when a handle's preparation panics.
struct Run {
    slots: Loot,
    lane: Lane,
}

impl Drop for Run {
    fn drop(&mut self) {
        // SAFETY: the handles held these slots, of one store, and are gone.
        cache::with(|cache| unsafe { store::put_many(cache, self.lane, self.slots.as_slice()) });
    }
}

/// Returns what these handles hold with one exchange for each magazine full of one store's.
fn return_all<H: Return>(handles: Vec<H>) {
    let Some(first) = handles.first() else { return };
    let home = first.home();
    // Mostly all are of one store, and then nothing need be sorted.
    let mut handles = handles.into_iter().peekable();
    return_runs_of(home, &mut handles);
    let mut others: Vec<H> = handles.collect();
    others.sort_unstable_by_key(H::home);
    let mut others = others.into_iter().peekable();
    while let Some(home) = others.peek().map(H::home) {
        return_runs_of(home, &mut others);
    }
}

/// Returns the handles that come first and have this home.
fn return_runs_of<H: Return>(home: usize, handles: &mut Peekable<IntoIter<H>>) {
    while handles.peek().is_some_and(|next| next.home() == home) {
        let mut run = Run { slots: Loot::new(), lane: Lane::NONE };
        while run.slots.len() < DEPTH {
            let Some(next) = handles.next_if(|next| next.home() == home) else { break };
            if let Some((slot, lane)) = next.into_idle() {
                run.slots.add(slot);
                run.lane = lane;
            }
        }
    }
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
        std::mem::take(&mut self.handles).into_iter()
    }
}

impl<H: Return + fmt::Debug> fmt::Debug for PooledBatch<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.handles).finish()
    }
}
