//! The options of a group of provided buffers.
#![allow(unsafe_code)] // Tells the kernel of memory.

use std::io;

use io_uring::Submitter;

use super::provided::{Group, ProvidedBuffers};
use super::ring::Ring;
use crate::bytes::pool::BufferPool;
use crate::bytes::request::{Capacity, Request, Wish};

/// The kernel has no larger rings.
const MAX_ENTRIES: u16 = 1 << 15;

/// How a group of [`ProvidedBuffers`] is to be; made by [`ProvidedBuffers::builder`].
#[derive(Clone, Copy, Debug)]
#[must_use]
pub struct ProvidedBuffersBuilder {
    group: u16,
    entries: u16,
    low_water: u16,
}

impl ProvidedBuffersBuilder {
    pub(super) fn new(group: u16, entries: u16) -> Self {
        Self { group, entries, low_water: (entries / 8).max(1) }
    }

    /// With fewer buffers than this with the kernel, and none to be had from the pool, what is received is copied to
    /// the heap, and its buffer goes back to the kernel at once [default: an eighth of the group's entries, at least
    /// 1].
    ///
    /// So receiving goes on when slow consumers keep all that the pool may have. 0: nothing is copied, and the group
    /// runs empty.
    pub fn low_water(mut self, buffers: u16) -> Self {
        self.low_water = buffers;
        self
    }

    /// Takes the buffers from the pool, and tells the kernel of them.
    ///
    /// The request says how long each is, in bytes, and what it holds where an operation leaves bytes unwritten, as
    /// `RecvMsgMulti` does behind short addresses: with a `usize` or [`Capacity`] zero, which costs the zeroing of each
    /// buffer that is provided; with [`Recycled`](crate::Recycled) anything. The operations that fill buffers from
    /// their start without gaps are as well served with `Recycled`.
    ///
    /// # Errors
    /// Of kind `InvalidInput` if the entries are no power of two up to 32,768, if the low-water mark is above them, if
    /// a buffer is of no or of more than 2³¹ - 1 bytes, or if the kernel does not know such groups (before 5.19); the
    /// pool's error, if it refuses buffers; or the kernel's, as `AlreadyExists` where the ring has a group of this
    /// number.
    ///
    /// # Cost
    /// The buffers, 16 bytes for each, and a system call.
    pub fn register<R: Request>(
        self,
        submitter: &Submitter<'_>,
        pool: &BufferPool,
        request: R,
    ) -> io::Result<ProvidedBuffers> {
        self.check(request.capacity())?;
        let request = match request.wish() {
            // Empty as it is, nobody must see what was in it before.
            Wish::Capacity(Capacity(len)) => Wish::Zeroed(len),
            wish => wish,
        };
        let bufs = pool.try_get_many(std::iter::repeat_n(request, self.entries.into()))?;
        let group = Group { number: self.group, request, low_water: self.low_water, pool: pool.clone() };
        let mut ring = Ring::new(self.entries).ok_or(io::ErrorKind::OutOfMemory)?;
        // SAFETY: as long as the ring is not freed, which is when this group was unregistered, or if it never was.
        let told = unsafe { submitter.register_buf_ring_with_flags(ring.addr(), ring.count(), self.group, 0) };
        if let Err(error) = told {
            // SAFETY: the kernel has refused it.
            unsafe { ring.free() };
            return Err(error);
        }
        Ok(ProvidedBuffers::new(group, ring, bufs))
    }

    fn check(self, len: usize) -> io::Result<()> {
        let Self { entries, low_water, .. } = self;
        let why = if !entries.is_power_of_two() || entries > MAX_ENTRIES {
            format!("a group has {entries} entries, must have a power of two, at most {MAX_ENTRIES}")
        } else if low_water > entries {
            format!("the low-water mark is {low_water}, must be at most {entries}, as many as the group has entries")
        } else if i32::try_from(len).is_ok_and(|len| len > 0) {
            return Ok(());
        } else {
            format!("provided buffers have {len} bytes, must have at least 1 and at most {}", i32::MAX)
        };
        Err(io::Error::new(io::ErrorKind::InvalidInput, why))
    }
}
