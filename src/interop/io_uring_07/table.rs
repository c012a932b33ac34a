//! Which regions of a pool are in a ring's table of fixed buffers.
//!
//! A region's place is its index. The *watcher* notes, on whichever thread memory comes or goes, that something has
//! changed, and that a region in the table is none any more. The table itself is changed by the owner of the ring, in
//! [`update`](Table::update), for many rings may be told of buffers by their own thread alone. So between a change and
//! the update the table lags: a region that came is not used, and one that went is not used although the kernel has it
//! still.
//!
//! The kernel holds the OS pages of what is in the table, and reaches them without our addresses. A region that goes
//! back to the system leaves it with pages that nobody else has, until the next update.
#![allow(unsafe_code)] // Tells the kernel of memory.

use std::fmt;
use std::io;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::*};

use io_uring::Submitter;

use crate::bytes::buf::PooledBuf;
use crate::bytes::pool::BufferPool;
use crate::bytes::regions::RegionWatch;
use crate::memory::options::OsReason;
use crate::memory::regions::{Region, RegionWatcher};

/// The kernel has no larger tables.
const MAX_CAPACITY: u32 = 1 << 14;

#[derive(Debug)]
pub(super) struct Table {
    pool: BufferPool,
    notes: Arc<Notes>,
    /// By index, what the kernel has been told of last. No places: it has no table.
    told: Box<[Option<Region>]>,
    registration: Registration,
    /// None where there is no table.
    _watch: Option<RegionWatch>,
}

/// What changes on any thread.
#[derive(Debug)]
struct Notes {
    is_changed: AtomicBool,
    /// By index, whether the region that the kernel has is the one that the pool has there now.
    is_good: Box<[AtomicBool]>,
}

impl RegionWatcher for Notes {
    fn added(&self, _: &Region) {
        // Release pairs with the Acquire in `update`, which finds the region listed.
        self.is_changed.store(true, Release);
    }

    fn removed(&self, region: &Region) {
        if let Some(is_good) = self.is_good.get(region.index() as usize) {
            // Relaxed: who has a buffer of the next region of this index has it from somebody who took that index under
            // the registry's lock, after it was given back under it, after this.
            is_good.store(false, Relaxed);
        }
        // Release: as above.
        self.is_changed.store(true, Release);
    }
}

/// How much of a pool is in the table of a ring; see [`FixedBuffers::report`](super::FixedBuffers::report).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct Registration {
    /// Regions that the pool had when it was last looked at.
    pub regions: usize,
    /// Those of them that are in the table.
    pub registered: usize,
    /// How many the table has room for; 0 where the system gave none.
    pub capacity: usize,
    /// Why the system refused the table, or a region when it was last asked: `ENOMEM` where `RLIMIT_MEMLOCK` is
    /// reached, `EFAULT` above 1 GiB, `EINVAL` from kernels that have no such tables (before 5.13).
    pub reason: Option<OsReason>,
}

impl fmt::Display for Registration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Registration { regions, registered, capacity, reason } = self;
        write!(f, "{registered} of {regions} regions are registered, of {capacity} that could be")?;
        reason.map_or(Ok(()), |reason| write!(f, "; the system says: {reason}"))
    }
}

impl Table {
    /// A table of the ring's, with the regions that there are; or none, and the reason for that.
    pub(super) fn new(submitter: &Submitter<'_>, pool: &BufferPool, capacity: u32) -> Self {
        let capacity = capacity.min(MAX_CAPACITY);
        let made = submitter.register_buffers_sparse(capacity);
        let capacity = if made.is_ok() { capacity as usize } else { 0 };
        let is_good = (0..capacity).map(|_| AtomicBool::new(false)).collect();
        let notes = Arc::new(Notes { is_changed: AtomicBool::new(true), is_good });
        let watch = made.is_ok().then(|| pool.watch_regions(notes.clone()));
        let reason = made.err().as_ref().map(reason_of);
        let registration = Registration { capacity, reason, ..Registration::default() };
        let told = (0..capacity).map(|_| None).collect();
        let mut table = Self { pool: pool.clone(), notes, told, registration, _watch: watch };
        table.update(submitter);
        table
    }

    pub(super) fn registration(&self) -> Registration {
        self.registration
    }

    pub(super) fn is_there(&self) -> bool {
        self.registration.capacity > 0
    }

    /// The place of the region in which this buffer is, if it is in the table.
    pub(super) fn place_of(&self, buf: &PooledBuf) -> Option<u16> {
        let (index, offset) = buf.region()?;
        let told = self.told.get(index as usize)?.as_ref()?;
        // A buffer of another pool may have the index, and then another address.
        let is_here = told.as_ptr().addr() + offset == buf.as_ptr().addr();
        // Relaxed: see `removed`. The buffer is in its region, which so cannot go meanwhile.
        let is_good = self.notes.is_good[index as usize].load(Relaxed);
        (is_here && is_good).then_some(index as u16)
    }

    /// Tells the kernel of what has changed.
    #[inline]
    pub(super) fn update(&mut self, submitter: &Submitter<'_>) {
        // Acquire pairs with the Release of the notes: what they tell of is in the list, or gone from it. What comes to
        // the list later raises the flag later.
        if self.notes.is_changed.load(Acquire) {
            self.notes.is_changed.swap(false, Acquire);
            self.update_now(submitter);
        }
    }

    #[cold]
    fn update_now(&mut self, submitter: &Submitter<'_>) {
        // So that all that is listed stays until we are done.
        let pin = self.pool.pin_regions();
        let regions = self.pool.regions();
        self.registration = Registration { regions: regions.len(), registered: 0, ..self.registration };
        if self.is_there() {
            self.registration.reason = None;
            self.forget_what_went(submitter, &regions);
            regions.iter().for_each(|region| self.tell_of(submitter, region));
        }
        drop(pin);
        if self.registration.registered < self.registration.regions {
            self.tell_of_refusal();
        }
    }

    #[cfg(feature = "tracing-01")]
    #[cold]
    fn tell_of_refusal(&self) {
        let Registration { regions, registered, capacity, reason } = self.registration;
        let (pool, reason) = (self.pool.name().get(), reason.map(tracing_01::field::display));
        crate::tell::tell(|| {
            tracing_01::warn!(target: "millpond", pool, regions, registered, capacity, reason, "regions not registered");
        });
    }

    #[cfg(not(feature = "tracing-01"))]
    fn tell_of_refusal(&self) {}

    /// Empties the places of regions that are there no more, so that the kernel lets their pages go and the limit has
    /// room.
    fn forget_what_went(&mut self, submitter: &Submitter<'_>, regions: &[Region]) {
        let mut listed = regions.iter().peekable();
        for index in 0..self.told.len() {
            let here = listed.next_if(|region| region.index() as usize == index);
            let Some(told) = self.told[index] else { continue };
            // Relaxed: see `removed`; what is listed was listed after that.
            if here == Some(&told) && self.notes.is_good[index].load(Relaxed) {
                continue;
            }
            self.told[index] = None;
            // Relaxed: only for who looks from this thread.
            self.notes.is_good[index].store(false, Relaxed);
            if let Err(error) = register(submitter, index, ptr::null_mut(), 0) {
                self.registration.reason = Some(reason_of(&error));
            }
        }
    }

    fn tell_of(&mut self, submitter: &Submitter<'_>, region: &Region) {
        let index = region.index() as usize;
        let Some(told) = self.told.get_mut(index) else { return };
        if told.is_none() {
            match register(submitter, index, region.as_ptr(), region.len()) {
                Ok(()) => *told = Some(*region),
                Err(error) => return self.registration.reason = Some(reason_of(&error)),
            }
            // Relaxed: a removal of the last region of this index came before the listing of this one, and one of this
            // region comes after the pin.
            self.notes.is_good[index].store(true, Relaxed);
        }
        self.registration.registered += 1;
    }
}

/// Puts this memory into a place of the ring's table, and takes out what was there; null for nothing.
fn register(submitter: &Submitter<'_>, index: usize, start: *mut u8, len: usize) -> io::Result<()> {
    let memory = libc::iovec { iov_base: start.cast(), iov_len: len };
    // SAFETY: a region that is pinned for the length of this call, in which the kernel takes hold of its OS pages. It
    // keeps these, and uses the address for nothing but comparisons, so that it may go before it is taken out.
    unsafe { submitter.register_buffers_update(index as u32, &[memory], None) }
}

fn reason_of(error: &io::Error) -> OsReason {
    error.raw_os_error().map_or(OsReason::UNKNOWN, OsReason::from_code)
}
