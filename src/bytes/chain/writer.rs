//! A writer that makes a chain.

use std::io;
use std::mem;

use crate::bytes::buf::PooledBuf;
use crate::bytes::chain::PooledChain;
use crate::bytes::pool::BufferPool;
use crate::bytes::request::Capacity;
use crate::engine::track::Checkout;

/// Writes into buffers of one size, each frozen when it is full, and makes a [`PooledChain`] of them.
///
/// For messages whose length is not known beforehand, and for input that shall lie in many small buffers. Nothing is moved
/// as the message grows.
///
/// # Cost
/// A get for each buffer, and the copying.
///
/// # Examples
///
/// ```
/// use std::io::Write;
/// use millpond::{BufferPool, ChainWriter};
///
/// let mut writer = ChainWriter::new(BufferPool::shared(), 1024);
/// for number in 0..1000 {
///     writeln!(writer, "{number}")?;
/// }
/// let message = writer.finish();
/// assert_eq!((message.len(), message.pieces().len()), (3890, 4));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct ChainWriter {
    pool: BufferPool,
    /// What is asked for.
    piece: usize,
    checkout: Checkout,
    full: PooledChain,
    open: Option<PooledBuf>,
}

impl ChainWriter {
    /// A writer into buffers of this pool with room for `piece` bytes at least. Each is filled to its
    /// [capacity](PooledBuf::capacity), which is the size class that `piece` is rounded up to. Costs nothing yet.
    ///
    /// # Panics
    /// If `piece` is 0.
    #[must_use]
    #[track_caller]
    pub fn new(pool: &BufferPool, piece: usize) -> Self {
        assert!(piece > 0, "a piece of a chain needs room for a byte");
        let checkout = pool.core.core().checkout();
        ChainWriter { pool: pool.clone(), piece, checkout, full: PooledChain::new(), open: None }
    }

    /// The number of bytes written so far, and not taken.
    #[must_use]
    pub fn len(&self) -> usize {
        self.full.len() + self.open.as_ref().map_or(0, PooledBuf::len)
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What has been written.
    #[must_use]
    pub fn finish(mut self) -> PooledChain {
        self.seal();
        self.full
    }

    /// Takes the buffers that are full, to be sent while the rest is being written.
    pub fn take_full(&mut self) -> PooledChain {
        mem::take(&mut self.full)
    }

    /// Reads once, into the buffer that is being filled; how many bytes came. 0 at the reader's end.
    ///
    /// # Errors
    /// The reader's; and when the pool refuses a buffer, one that holds its [`Error`](crate::Error).
    ///
    /// # Panics
    /// If the reader claims to have read more bytes than it was offered.
    pub fn read_from(&mut self, reader: &mut (impl io::Read + ?Sized)) -> io::Result<usize> {
        let count = self.open()?.read_from(reader)?;
        self.seal_if_full();
        Ok(count)
    }

    /// The buffer that is being filled. It has room.
    fn open(&mut self) -> io::Result<&mut PooledBuf> {
        let open = match self.open.take() {
            Some(open) => open,
            None => self.pool.try_get_for(Capacity(self.piece), self.checkout)?,
        };
        Ok(self.open.insert(open))
    }

    fn seal_if_full(&mut self) {
        if self.open.as_ref().is_some_and(|open| open.len() == open.capacity()) {
            self.seal();
        }
    }

    fn seal(&mut self) {
        self.full.extend(self.open.take());
    }
}

impl io::Write for ChainWriter {
    /// # Errors
    /// When the pool refuses a buffer, one that holds its [`Error`](crate::Error): of the kinds that
    /// [`PooledBuf`] has. What was written before is kept.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.is_empty() {
            return Ok(0);
        }
        let open = self.open()?;
        let count = bytes.len().min(open.capacity() - open.len());
        open.extend_from_slice(&bytes[..count]);
        self.seal_if_full();
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
