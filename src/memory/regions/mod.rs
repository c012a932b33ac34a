//! Regions: the mappings of a pool, by number, for who tells the kernel or a device of them.
//!
//! A *region* is a mapping that blocks are cut from, or that is one block. The *registry* of a pool numbers those of
//! all its sources. A *pin* keeps everything where it is, a *watch* is told what comes and goes.
#![allow(unsafe_code)] // A region's address may be sent to other threads.

pub(super) mod passes;
mod registry;
pub(super) mod user_code;

use std::fmt;
use std::ptr::NonNull;

pub(crate) use passes::Hold;
pub(super) use registry::Departure;
pub(crate) use registry::{Registry, Watch};

/// Memory that a pool has from the system, or from its [`MemorySource`](crate::MemorySource), in one piece. Buffers are
/// cut from it.
///
/// Says where it is, and keeps nothing alive: it is there as long as the pool [lists](crate::BufferPool::regions) it,
/// which a [`RegionPin`](crate::RegionPin) or a buffer in it sees to.
///
/// # Examples
///
/// ```
/// let pool = millpond::BufferPool::new();
/// let buf = pool.get(4096);
/// let (index, offset) = buf.region().unwrap();
/// let region = pool.regions().into_iter().find(|region| region.index() == index).unwrap();
/// assert_eq!(region.as_ptr().addr() + offset, buf.as_ptr().addr());
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Region {
    start: NonNull<u8>,
    len: usize,
    index: u32,
}

// SAFETY: an address, which by itself gives access to nothing.
unsafe impl Send for Region {}
// SAFETY: as above.
unsafe impl Sync for Region {}
impl std::panic::UnwindSafe for Region {}
impl std::panic::RefUnwindSafe for Region {}

impl Region {
    /// Its first byte.
    ///
    /// Bytes of buffers that are out are their owners' alone; the others are the pool's, which may write to them at any
    /// time.
    #[must_use]
    pub fn as_ptr(&self) -> *mut u8 {
        self.start.as_ptr()
    }

    /// Its length in bytes, a multiple of the OS page.
    #[allow(clippy::len_without_is_empty)] // None is.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Its number, which stays the same as long as it is there. A new region has the lowest that is free.
    #[must_use]
    pub fn index(&self) -> u32 {
        self.index
    }
}

impl fmt::Debug for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Region { start, len, index } = self;
        f.debug_struct("Region").field("index", index).field("start", start).field("len", len).finish()
    }
}

/// Is told which [regions](Region) a pool has; see [`BufferPool::watch_regions`](crate::BufferPool::watch_regions).
///
/// Called on whichever thread takes memory or gives it back, several at once perhaps, and with no lock held: it may use
/// this pool and others. It must not wait for a thread that may be waiting for memory of the pool.
///
/// What a pool takes and gives back while a thread is in one of these methods, on that thread, watchers are told of
/// when the method has returned: buffers that it gets itself may be of regions that nobody was told of yet. (One that
/// makes regions come or go whenever it is told of some is told for ever.)
///
/// A panic ends where it happens: all that is left of it is what the panic hook printed.
pub trait RegionWatcher: Send + Sync {
    /// The region is there. Called before any buffer of it is handed out.
    fn added(&self, region: &Region);

    /// The region is about to go. Called when its last buffer has been given up, and before its memory goes back or its
    /// index is used for another. It is not in [`regions`](crate::BufferPool::regions) any more.
    fn removed(&self, region: &Region);
}

/// Where in its region a block starts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Place {
    /// `NONE` where there is no region.
    index: u32,
    /// Fits: only slabs have blocks behind the first, and [`Cut`](super::slab) makes none that is longer.
    offset: u32,
}

impl Place {
    const NO_INDEX: u32 = u32::MAX;

    /// Memory that belongs to no region.
    pub(crate) const NONE: Place = Place { index: Place::NO_INDEX, offset: 0 };

    pub(super) fn at(index: u32, offset: usize) -> Self {
        debug_assert!(u32::try_from(offset).is_ok(), "a block {offset} bytes into its region");
        Place { index, offset: offset as u32 }
    }

    /// The region's index.
    pub(super) fn index(self) -> Option<u32> {
        (self.index != Self::NO_INDEX).then_some(self.index)
    }

    /// The region's index, and how far behind its first byte the block starts.
    pub(crate) fn region(self) -> Option<(u32, usize)> {
        self.index().map(|index| (index, self.offset as usize))
    }
}
