//! Provided buffers: which of them are with the kernel, and how they come and go.
#![allow(unsafe_code)] // Frees memory that the kernel had.

use std::fmt;
use std::io;
use std::mem;

use io_uring::{Submitter, cqueue};

use super::builder::ProvidedBuffersBuilder;
use super::kept::StillRegistered;
use super::received::{Copied, Received};
use super::ring::Ring;
use crate::bytes::buf::PooledBuf;
use crate::bytes::pool::BufferPool;
use crate::bytes::request::Wish;

/// A group of buffers of a pool from which the kernel takes one whenever something was received
/// (`IORING_REGISTER_PBUF_RING`, since Linux 5.19; multishot receiving since 6.0).
///
/// Operations name the [group](Self::group) and no buffer. [`take`](Self::take) gives the buffer of a completion, which
/// is a [`PooledBuf`] like any other from then on: kept, frozen, sent to other threads, dropped.
/// [`refill`](Self::refill) brings the group back to its number with others from the pool.
///
/// Where the pool refuses, because consumers keep as much as its budget allows, and the group falls below its
/// [low-water mark](ProvidedBuffersBuilder::low_water), `take` copies what was received to the heap, and the buffer
/// goes back to the kernel at once. Nothing is lost, and receiving never waits for consumers; who wants it to wait does
/// not arm the operation again.
///
/// Dropped without being [unregistered](Self::unregister), it loses the buffers that are with the kernel, which count
/// as out of the pool for good.
///
/// # Examples
///
/// See the [module](super).
pub struct ProvidedBuffers {
    group: Group,
    ring: Ring,
    /// By id, those that are with the kernel.
    lent: Box<[Option<PooledBuf>]>,
    /// The other ids. Has room for all.
    free: Vec<u16>,
    /// Whether the pool has refused since the user last asked for a refill: asking again for each completion would cost
    /// all that a refusal costs, and another answer is not to be expected so soon.
    is_refused: bool,
    stats: ProvidedStats,
}

/// What the buffers of a group are, and where they come from.
pub(super) struct Group {
    pub(super) number: u16,
    pub(super) request: Wish,
    pub(super) low_water: u16,
    pub(super) pool: BufferPool,
}

/// What a group of [`ProvidedBuffers`] has done.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub struct ProvidedStats {
    /// Completions whose buffers were handed out.
    pub pooled: u64,
    /// Completions whose bytes were copied to the heap.
    pub copied: u64,
    /// Times that buffers were given to the kernel: each is one advance of the ring's tail.
    pub refills: u64,
    /// Times that the pool refused some or all of the buffers that were missing.
    pub refused: u64,
    /// Operations that found the group empty (`ENOBUFS`). They have ended, and go on when they are armed again.
    pub empty: u64,
}

impl ProvidedBuffers {
    /// A builder for a group of this number in its ring, with so many buffers, a power of two.
    pub fn builder(group: u16, entries: u16) -> ProvidedBuffersBuilder {
        ProvidedBuffersBuilder::new(group, entries)
    }

    /// A group that the kernel knows, with its first buffers.
    pub(super) fn new(group: Group, ring: Ring, bufs: impl IntoIterator<Item = PooledBuf>) -> Self {
        let lent = (0..ring.count()).map(|_| None).collect();
        let free = (0..ring.count()).rev().collect();
        let mut provided = Self { group, ring, lent, free, is_refused: false, stats: ProvidedStats::default() };
        bufs.into_iter().for_each(|buf| provided.write(buf));
        provided.ring.publish();
        provided
    }

    /// The group's number, for operations.
    #[must_use]
    pub fn group(&self) -> u16 {
        self.group.number
    }

    /// How many buffers are with the kernel, or in completions that were not [taken](Self::take) yet.
    #[must_use]
    pub fn with_kernel(&self) -> usize {
        self.lent.len() - self.free.len()
    }

    /// What was done so far.
    #[must_use]
    pub fn stats(&self) -> ProvidedStats {
        self.stats
    }

    /// Whether the operation of this completion goes on, and brings more completions (`IORING_CQE_F_MORE`).
    ///
    /// A multishot operation ends at an error, at the end of a stream, when its group is [empty](Self::is_empty_group),
    /// and when the completion queue is full. Who wants more pushes it again, after a [`refill`](Self::refill).
    #[must_use]
    pub fn is_armed(entry: &cqueue::Entry) -> bool {
        cqueue::more(entry.flags())
    }

    /// Whether an operation failed with this because its group had no buffer left (`ENOBUFS`). Nothing is lost by it.
    #[must_use]
    pub fn is_empty_group(error: &io::Error) -> bool {
        error.raw_os_error() == Some(libc::ENOBUFS)
    }

    /// What an operation received, which selected its buffer from this group; none if there was nothing to receive, as
    /// at the end of a stream.
    ///
    /// Who pushes operations of other kinds, too, tells their completions apart by their user data.
    ///
    /// # Errors
    /// The operation's; a buffer that it had is with the kernel again. Of kind `InvalidInput` for a completion that
    /// cannot be of this group, or comes twice; nothing has changed then.
    ///
    /// # Cost
    /// A few loads and stores. Below the low-water mark a refill; and where that is refused, a copy and an allocation.
    pub fn take(&mut self, entry: &cqueue::Entry) -> io::Result<Option<Received>> {
        let id = cqueue::buffer_select(entry.flags());
        let Ok(len) = usize::try_from(entry.result()) else {
            return Err(self.failed(id, io::Error::from_raw_os_error(-entry.result())));
        };
        let Some(id) = id else { return Ok(None) };
        let buf = self.reclaim(id, len)?;
        Ok(Some(self.deliver(buf, len)))
    }

    /// Gives the kernel a buffer for each that was taken, as far as the pool has them; how many.
    ///
    /// Call it when the completions that are there have been taken: buffers come in one batch, and the kernel is told
    /// once.
    ///
    /// # Cost
    /// As [`try_get_many`](BufferPool::try_get_many), and one store that the kernel sees. No system call.
    pub fn refill(&mut self) -> usize {
        self.is_refused = false;
        let missing = self.free.len();
        if missing == 0 {
            return 0;
        }
        let Group { pool, request, .. } = &self.group;
        match pool.try_get_many(std::iter::repeat_n(*request, missing)) {
            Ok(bufs) => bufs.into_iter().for_each(|buf| self.write(buf)),
            Err(_) => self.write_what_there_is(),
        }
        self.is_refused = !self.free.is_empty();
        self.stats.refused += u64::from(self.is_refused);
        let given = missing - self.free.len();
        if given > 0 {
            self.publish();
        }
        given
    }

    /// Ends the group. Its buffers go home, wiped if the pool wipes.
    ///
    /// # Errors
    /// The group, and the kernel's reason: `NotFound` if this is another ring than that it was registered with.
    ///
    /// # Cost
    /// A system call, and the returns.
    pub fn unregister(mut self, submitter: &Submitter<'_>) -> Result<(), StillRegistered<Self>> {
        if let Err(error) = submitter.unregister_buf_ring(self.group.number) {
            return Err(StillRegistered::new(self, error));
        }
        // Whole as they were provided, so all of it counts as written. Who pushed operations promised that they have
        // ended.
        self.lent.iter_mut().for_each(|buf| drop(buf.take()));
        // SAFETY: the kernel has just forgotten it, and it goes with `self`.
        unsafe { self.ring.free() };
        Ok(())
    }

    /// An operation's error. A buffer that was selected comes back.
    fn failed(&mut self, id: Option<u16>, error: io::Error) -> io::Error {
        self.stats.empty += u64::from(Self::is_empty_group(&error));
        let reclaimed = id.map(|id| self.reclaim(id, 0));
        match reclaimed {
            Some(Ok(buf)) => {
                self.give_back(buf);
                error
            }
            Some(Err(foreign)) => foreign,
            None => error,
        }
    }

    /// The buffer of this id, which the kernel has done with, if it may have been given so many bytes.
    fn reclaim(&mut self, id: u16, len: usize) -> io::Result<PooledBuf> {
        let invalid = |why| io::Error::new(io::ErrorKind::InvalidInput, why);
        let slot = self.lent.get_mut(usize::from(id));
        let Some(buf) = slot.as_ref().and_then(|slot| slot.as_ref()) else {
            return Err(invalid(format!("buffer {id} of group {} is not with the kernel", self.group.number)));
        };
        if len > buf.len() {
            let why = format!("{len} bytes cannot be in buffer {id} of group {}, of {}", self.group.number, buf.len());
            return Err(invalid(why));
        }
        self.free.push(id);
        Ok(slot.and_then(Option::take).expect("seen above"))
    }

    fn deliver(&mut self, mut buf: PooledBuf, len: usize) -> Received {
        if self.is_low() && !self.is_refused {
            self.refill();
        }
        let copy = if self.is_low() { Copied::of(&buf[..len], self.group.pool.wipes()) } else { None };
        if let Some(copy) = copy {
            self.give_back(buf);
            self.stats.copied += 1;
            return Received::Copied(copy);
        }
        // What is cut off counts as written, as it was lent for writing.
        buf.truncate(len);
        self.stats.pooled += 1;
        Received::Pooled(buf)
    }

    fn is_low(&self) -> bool {
        self.with_kernel() < self.group.low_water.into()
    }

    /// Gives this buffer to the kernel again, at once.
    fn give_back(&mut self, mut buf: PooledBuf) {
        if let Wish::Zeroed(_) = self.group.request {
            buf.fill(0);
        }
        self.write(buf);
        self.publish();
    }

    fn write_what_there_is(&mut self) {
        while !self.free.is_empty() {
            match self.group.pool.try_get(self.group.request) {
                Ok(buf) => self.write(buf),
                Err(_) => return,
            }
        }
    }

    /// Puts a buffer under a free id, for the kernel to see when that is published.
    fn write(&mut self, mut buf: PooledBuf) {
        let id = self.free.pop().expect("no more buffers than ids");
        // Lent for writing to its whole length, which raises its marks, whatever becomes of it.
        let start = buf.as_mut_ptr();
        self.ring.write(start, buf.len() as u32, id);
        self.lent[usize::from(id)] = Some(buf);
    }

    fn publish(&mut self) {
        self.ring.publish();
        self.stats.refills += 1;
    }
}

impl Drop for ProvidedBuffers {
    fn drop(&mut self) {
        // The kernel may write to them as long as the ring lives, and nobody knows how long that is.
        self.lent.iter_mut().filter_map(Option::take).for_each(mem::forget);
    }
}

impl fmt::Debug for ProvidedBuffers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Group { number, request, low_water, .. } = &self.group;
        let mut debug = f.debug_struct("ProvidedBuffers");
        debug.field("group", number).field("request", request).field("low_water", low_water);
        debug.field("with_kernel", &self.with_kernel()).field("stats", &self.stats).finish_non_exhaustive()
    }
}
