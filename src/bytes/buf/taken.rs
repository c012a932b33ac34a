//! How a byte pool comes by a slot: from this thread's cache, from the depot, from fresh memory, or from other threads' caches.

use std::alloc::Layout;

use crate::bytes::SizeClass;
use crate::bytes::buf::{Held, PooledBuf};
use crate::bytes::pool::ByteCore;
use crate::engine::cache;
use crate::engine::lanes::Lane;
use crate::engine::slot::SlotPtr;
use crate::engine::store;
use crate::memory::{MemorySource, Source, Want, os};
use crate::policy::error::Error;
use crate::sync::DEPTH;

/// A slot on its way from a pool into a handle, held by whoever has this.
#[derive(Debug)]
pub(crate) struct Taken {
    pub(super) slot: SlotPtr,
    pub(super) lane: Lane,
    /// The pool wipes what comes home.
    pub(super) wipes: bool,
}

impl Taken {
    /// # Safety
    /// The caller holds the slot, one of a byte pool, and hands it over. `lane` is its store's or NONE, `wipes` its pool's.
    #[inline(always)]
    pub(in crate::bytes) unsafe fn new(slot: SlotPtr, lane: Lane, wipes: bool) -> Self {
        Taken { slot, lane, wipes }
    }

    #[inline(always)]
    fn of(core: &ByteCore, slot: SlotPtr, lane: Lane) -> Self {
        // SAFETY: private, and called with slots that this core has just handed out.
        unsafe { Taken::new(slot, lane, core.keeper().wipes()) }
    }

    pub(in crate::bytes) fn slot(&self) -> SlotPtr {
        self.slot
    }

    pub(in crate::bytes) fn lane(&self) -> Lane {
        self.lane
    }

    pub(in crate::bytes) fn wipes(&self) -> bool {
        self.wipes
    }
}

/// The hit path: the newest slot of this thread's magazine for this class.
#[inline(always)]
pub(in crate::bytes) fn hit(core: &ByteCore, class: SizeClass) -> Option<Taken> {
    let lane = core.core().lane(class.0);
    let slot = cache::with(|cache| core.core().take_cached(cache, lane))?;
    Some(Taken::of(core, slot, lane))
}

/// A slot for a buffer of at least `size` bytes: idle if there is one, else with fresh memory, else out of other threads' caches.
#[cold]
#[inline(never)]
pub(in crate::bytes) fn obtain(core: &ByteCore, size: usize, want: Want) -> Result<Taken, Error> {
    let keeper = core.keeper();
    if keeper.is_closed() {
        return Err(Error::Closed);
    }
    if size > keeper.max_request() {
        return Err(Error::TooLarge { requested: size, limit: keeper.max_request() });
    }
    let out_of_memory = Error::OutOfMemory { requested: size };
    let (store, layout) = keeper.block_for(size).ok_or(out_of_memory)?;
    let slot = cache::with(|cache| core.core().take_idle(cache, store))
        .or_else(|| birth(core, store, layout, want))
        .or_else(|| core.core().steal(store))
        .ok_or(out_of_memory)?;
    Ok(Taken::of(core, slot, core.core().lane(store)))
}

/// Up to `count` slots of a class, from the depot in bulk.
pub(in crate::bytes) fn obtain_idle(core: &ByteCore, class: SizeClass, count: usize, mut each: impl FnMut(Taken)) {
    core.core().take_many(class.0, count, |slot| each(Taken::of(core, slot, core.core().lane(class.0))));
}

/// A slot with fresh memory.
fn birth(core: &ByteCore, store: usize, layout: Layout, want: Want) -> Option<SlotPtr> {
    let source = core.keeper().source(store);
    let block = source.allocate(layout, want)?;
    match core.birth(store, layout.size(), Held::new(block, layout.size())) {
        Ok(slot) => Some(slot),
        Err(held) => {
            release(source, &held, layout);
            None
        }
    }
}

/// Puts `count` new slots, their memory touched, into the depot. False when the system has no more memory; those before stay.
pub(in crate::bytes) fn stock(core: &ByteCore, store: usize, layout: Layout, count: usize) -> bool {
    let mut left = count;
    while left > 0 {
        let mut slots = Vec::with_capacity(DEPTH);
        let born = std::iter::from_fn(|| birth(core, store, layout, Want::Zeroed)).inspect(|&slot| touch(slot));
        slots.extend(born.take(left.min(DEPTH)));
        // SAFETY: just born, so ours; the caller's handle keeps the core.
        unsafe { core.core().stock(store, &slots) };
        if slots.len() < left.min(DEPTH) {
            return false;
        }
        left -= slots.len();
    }
    true
}

/// Makes the system give the memory now: zeroes one byte of each OS page of a new, zeroed block.
fn touch(slot: SlotPtr) {
    // SAFETY: the caller holds the slot, one of a byte pool.
    let held = unsafe { slot.cast::<Held>().as_ref() }.content();
    for offset in (0..held.capacity()).step_by(os::page_size()) {
        // SAFETY: within the block.
        let byte = unsafe { held.ptr().add(offset) };
        // SAFETY: ours alone, and zero already.
        unsafe { byte.write_volatile(0) };
    }
    // SAFETY: we hold the slot, and nobody borrows its bytes.
    unsafe { held.rest() };
}

/// Gives a block back to its source.
pub(in crate::bytes) fn release(source: &Source, held: &Held, layout: Layout) {
    debug_assert_eq!(layout.size(), held.capacity());
    // SAFETY: called once for each block, when its slot is given up: nobody uses the bytes.
    unsafe { held.wake() };
    // SAFETY: the block came from this source with this layout.
    unsafe { source.release(held.ptr(), layout) };
}

/// Returns buffers with one exchange for each magazine full of one store's.
pub(in crate::bytes) fn return_all(mut bufs: Vec<PooledBuf>) {
    bufs.sort_unstable_by_key(PooledBuf::home);
    let mut bufs = bufs.into_iter().peekable();
    while let Some(first) = bufs.next() {
        let home = first.home();
        let Taken { slot, lane, .. } = first.into_idle();
        let mut run = [slot; DEPTH];
        let mut len = 1;
        while len < DEPTH {
            let Some(next) = bufs.next_if(|next| next.home() == home) else { break };
            run[len] = next.into_idle().slot;
            len += 1;
        }
        // SAFETY: the handles held these slots, of one store, and are gone.
        cache::with(|cache| unsafe { store::put_many(cache, lane, &run[..len]) });
    }
}
