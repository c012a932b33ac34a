//! Reads and writes of files with buffers of a pool whose memory the ring knows.

use std::fmt;
use std::io;
use std::mem;

use io_uring::{Submitter, cqueue, opcode, squeue};

use super::file::File;
use super::flights::{Flights, Kind};
use super::kept::StillRegistered;
use super::table::{Registration, Table};
use crate::bytes::buf::PooledBuf;
use crate::bytes::pool::BufferPool;

/// Reads and writes with buffers of a pool, whose memory is in the ring's table of fixed buffers as far as the system
/// lets it.
///
/// The pool's [regions](crate::Region) are registered, a few large ones, and buffers inside of them are used with
/// `ReadFixed` and `WriteFixed`: the kernel need not look up and pin their OS pages for each operation. Regions come
/// and go; [`update`](Self::update) follows them, and is cheap when nothing has changed.
///
/// *It never fails for want of registration.* What is not in the table is used with ordinary operations: memory beyond
/// `RLIMIT_MEMLOCK`, regions above 1 GiB or beyond the table's end, buffers of the heap, between guard pages or of
/// other pools, and everything where the kernel has no such table. [`report`](Self::report) says how much is
/// registered, and why no more.
///
/// A buffer moves into its operation, and comes back with the completion. Dropped without being
/// [unregistered](Self::unregister), it loses the buffers that are in flight; the table stays as long as the ring. It
/// keeps a handle of the pool. A ring has one table, so its fixed buffers are of one pool.
///
/// # Examples
///
/// ```
/// # use std::os::fd::AsRawFd;
/// use io_uring::{IoUring, types::Fd};
/// use millpond::io_uring_07::FixedBuffers;
/// use millpond::{BufferPool, Recycled};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let Ok(mut ring) = IoUring::new(8) else { return Ok(()) };
/// let file = std::fs::File::open("/proc/self/exe")?;
/// // Aligned to OS pages, as O_DIRECT wants it.
/// let pool = BufferPool::builder().alignment(4096).build()?;
/// let buf = pool.get(Recycled(4096));
/// let mut fixed = FixedBuffers::register(&ring.submitter(), &pool, 64);
/// println!("{}", fixed.report());                 // 1 of 1 regions are registered, of 64 that could be
///
/// let read = fixed.read(Fd(file.as_raw_fd()), buf, 0);
/// // SAFETY: the file stays open, and `fixed` gets the completions of this ring.
/// unsafe { ring.submission().push(&read) }?;
/// ring.submit_and_wait(1)?;
/// for entry in ring.completion() {
///     let Some((buf, read)) = fixed.complete(&entry) else { continue };
///     assert_eq!(read?, 4096);
///     assert_eq!(buf[1..4], *b"ELF");
/// }
/// fixed.unregister(&ring.submitter())?;
/// # Ok(())
/// # }
/// ```
pub struct FixedBuffers {
    table: Table,
    flights: Flights,
}

impl FixedBuffers {
    /// Has the ring make a table for so many regions, at most 16,384, and registers those that the pool has.
    ///
    /// Where the ring gives no table, because the kernel does not know them, forbids them, or because the ring has one
    /// already, everything works with ordinary operations, and the [report](Self::report) has the reason.
    ///
    /// # Cost
    /// Some system calls. The kernel takes hold of the OS pages of all regions, those included that were never used,
    /// which so become resident.
    pub fn register(submitter: &Submitter<'_>, pool: &BufferPool, capacity: u32) -> Self {
        FixedBuffers { table: Table::new(submitter, pool, capacity), flights: Flights::new() }
    }

    /// Registers the regions that have come since, and takes those out that have gone. On the thread that the ring
    /// wants such calls from.
    ///
    /// Until then buffers of new regions are used with ordinary operations, and the kernel keeps the OS pages of those
    /// that have gone. What the system refused is asked for again when something has changed.
    ///
    /// # Cost
    /// An atomic load, if nothing has changed. Otherwise a system call for each region that came or went, and a
    /// [pin](BufferPool::pin_regions).
    pub fn update(&mut self, submitter: &Submitter<'_>) {
        self.table.update(submitter);
    }

    /// How much of the pool is registered, as of the last [update](Self::update).
    #[must_use]
    pub fn report(&self) -> Registration {
        self.table.registration()
    }

    /// Whether an operation with this buffer would be one on registered memory.
    #[must_use]
    pub fn is_registered(&self, buf: &PooledBuf) -> bool {
        self.table.place_of(buf).is_some()
    }

    /// How many operations were made that have not been [completed](Self::complete).
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.flights.count()
    }

    /// An operation that reads into the buffer, from this place of the file on, as many bytes as the buffer is long.
    /// (From a pool that is asked for [`Recycled`](crate::Recycled) bytes it comes long and unzeroed.)
    ///
    /// The entry is pushed once, with the user data that it has; all of these have the highest bit set, so that numbers
    /// below 2⁶³ are free for other operations. To cancel it, that user data names it.
    ///
    /// # Panics
    /// With 2²⁴ operations in flight.
    ///
    /// # Cost
    /// A few stores, and memory for the most operations that were ever in flight at once.
    #[must_use = "the buffer is in flight until the operation is completed or withdrawn"]
    pub fn read(&mut self, file: impl Into<File>, mut buf: PooledBuf, offset: u64) -> squeue::Entry {
        let place = self.table.place_of(&buf);
        // Lent for writing to its whole length, which raises its marks.
        let (start, len) = (buf.as_mut_ptr(), operation_len(&buf));
        let _exposed = start.expose_provenance();
        let entry = match (place, file.into()) {
            (Some(place), File::Fd(fd)) => opcode::ReadFixed::new(fd, start, len, place).offset(offset).build(),
            (Some(place), File::Fixed(file)) => opcode::ReadFixed::new(file, start, len, place).offset(offset).build(),
            (None, File::Fd(fd)) => opcode::Read::new(fd, start, len).offset(offset).build(),
            (None, File::Fixed(file)) => opcode::Read::new(file, start, len).offset(offset).build(),
        };
        entry.user_data(self.flights.start(buf, Kind::Read))
    }

    /// An operation that writes the buffer's bytes to this place of the file. As [`read`](Self::read) otherwise.
    ///
    /// # Panics
    /// With 2²⁴ operations in flight.
    #[must_use = "the buffer is in flight until the operation is completed or withdrawn"]
    pub fn write(&mut self, file: impl Into<File>, buf: PooledBuf, offset: u64) -> squeue::Entry {
        let place = self.table.place_of(&buf);
        let (start, len) = (buf.as_ptr(), operation_len(&buf));
        let _exposed = start.expose_provenance();
        let entry = match (place, file.into()) {
            (Some(place), File::Fd(fd)) => opcode::WriteFixed::new(fd, start, len, place).offset(offset).build(),
            (Some(place), File::Fixed(file)) => opcode::WriteFixed::new(file, start, len, place).offset(offset).build(),
            (None, File::Fd(fd)) => opcode::Write::new(fd, start, len).offset(offset).build(),
            (None, File::Fixed(file)) => opcode::Write::new(file, start, len).offset(offset).build(),
        };
        entry.user_data(self.flights.start(buf, Kind::Write))
    }

    /// The buffer of an operation that has ended, and how many bytes were read or written; none if it is no operation
    /// of this instance, or was completed before.
    ///
    /// After a read the buffer is as long as what was read, and empty if that failed; after a write it is as it was.
    pub fn complete(&mut self, entry: &cqueue::Entry) -> Option<(PooledBuf, io::Result<usize>)> {
        let (mut buf, kind) = self.flights.end(entry.user_data())?;
        let done = usize::try_from(entry.result()).map_err(|_| io::Error::from_raw_os_error(-entry.result()));
        if let Kind::Read = kind {
            buf.truncate(*done.as_ref().unwrap_or(&0));
        }
        Some((buf, done))
    }

    /// Whether this is the user data of an operation of this instance that has not been completed.
    #[must_use]
    pub fn is_in_flight(&self, user_data: u64) -> bool {
        self.flights.has(user_data)
    }

    /// Takes the buffer back out of an operation that was not pushed, as it was; none if it is no operation of this
    /// instance.
    pub fn withdraw(&mut self, entry: &squeue::Entry) -> Option<PooledBuf> {
        self.flights.end(entry.get_user_data()).map(|(buf, _)| buf)
    }

    /// Takes the table away from the ring, if no operation is in flight.
    ///
    /// # Errors
    /// The instance as it was. A reason of kind [`ResourceBusy`](io::ErrorKind::ResourceBusy): operations are in
    /// flight, as many as its text says. Who wants to end them cancels them, and completes them.
    ///
    /// # Cost
    /// A system call. The kernel lets the OS pages go a little later.
    pub fn unregister(self, submitter: &Submitter<'_>) -> Result<(), StillRegistered<Self>> {
        let in_flight = self.in_flight();
        if in_flight > 0 {
            let busy = io::Error::new(io::ErrorKind::ResourceBusy, format!("{in_flight} operations are in flight"));
            return Err(StillRegistered::new(self, busy));
        }
        if self.table.is_there() {
            if let Err(error) = submitter.unregister_buffers() {
                return Err(StillRegistered::new(self, error));
            }
        }
        Ok(())
    }
}

/// How many bytes an operation is for. The kernel itself does fewer than 2³¹ at once.
fn operation_len(buf: &PooledBuf) -> u32 {
    u32::try_from(buf.len()).unwrap_or(u32::MAX)
}

impl Drop for FixedBuffers {
    fn drop(&mut self) {
        // The kernel may write to them.
        self.flights.drain().for_each(mem::forget);
    }
}

impl fmt::Debug for FixedBuffers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("FixedBuffers");
        debug.field("in_flight", &self.in_flight()).field("registration", &self.report()).finish_non_exhaustive()
    }
}
