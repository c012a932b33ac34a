//! Messages of many pieces: frozen bytes in order, that are written together and go home one by one.
//!
//! A deque of pieces and the sum of their lengths. Pieces without bytes are left out when they come in, so whoever walks
//! the chain meets none.

#[cfg(feature = "bytes")]
mod buf;
mod writer;

use std::collections::{VecDeque, vec_deque};
use std::fmt;
use std::io::{self, ErrorKind, IoSlice};

use crate::bytes::frozen::PooledBytes;
use crate::bytes::pool::BufferPool;
use crate::bytes::request::Capacity;

pub use writer::ChainWriter;

/// Pieces that one call of `write_vectored` is offered. Linux takes 1024 at most; these fit the stack, and with buffers of
/// 64 KiB are more than a socket takes at once.
const OFFERED: usize = 64;

/// A message of many pieces: [`PooledBytes`] in order, written together, each of which goes home as soon as it is done.
///
/// So a large message needs no large buffer: one of 16 MiB lies in 256 buffers of 64 KiB, of the one size class that all
/// messages share, and its memory serves others while the rest of it is still being written. A header is put
/// [before](Self::push_front) a message, and a message is [cut](Self::split_to), without a copy.
///
/// # Cost
/// The list of pieces allocates as it grows, 32 bytes for each. Bytes are never copied, except by methods whose names say
/// so.
///
/// # Examples
///
/// ```
/// use millpond::{BufferPool, PooledChain};
///
/// let pool = BufferPool::new();
/// let mut message = PooledChain::copy_from(&pool, &[7; 200_000], 64 << 10);
/// message.push_front(pool.copy_from(b"200000\n").freeze());
/// assert_eq!((message.len(), message.pieces().len()), (200_007, 5));
///
/// let mut wire = Vec::new();
/// message.write_all_to(&mut wire)?;
/// assert_eq!((wire.len(), pool.stats().outstanding), (200_007, 0));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Default)]
pub struct PooledChain {
    /// None is empty.
    pieces: VecDeque<PooledBytes>,
    /// The sum of their lengths.
    len: usize,
}

impl PooledChain {
    /// No pieces. Costs nothing.
    #[must_use]
    pub const fn new() -> Self {
        PooledChain { pieces: VecDeque::new(), len: 0 }
    }

    /// A copy of these bytes, in buffers of `piece` bytes of the pool. The last takes what is left.
    ///
    /// # Cost
    /// One [`get_many`](BufferPool::get_many), and the copying.
    ///
    /// # Panics
    /// If `piece` is 0, and as [`get`](BufferPool::get). [`ChainWriter`] has errors instead.
    ///
    /// # Examples
    ///
    /// ```
    /// # use millpond::{BufferPool, PooledChain};
    /// let chain = PooledChain::copy_from(BufferPool::shared(), b"a longer story", 4);
    /// assert_eq!(chain.pieces().map(|piece| piece.len()).collect::<Vec<_>>(), [4, 4, 4, 2]);
    /// ```
    #[track_caller]
    #[must_use]
    pub fn copy_from(pool: &BufferPool, bytes: &[u8], piece: usize) -> Self {
        let parts = bytes.chunks(piece);
        let mut bufs = pool.get_many(parts.clone().map(|part| Capacity(part.len())));
        for (buf, part) in bufs.iter_mut().zip(parts) {
            buf.extend_from_slice(part);
        }
        bufs.into_iter().collect()
    }

    /// The number of bytes in all pieces.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Puts a piece behind the last. One without bytes is dropped.
    ///
    /// # Panics
    /// If there were more than `usize::MAX` bytes then.
    pub fn push(&mut self, piece: impl Into<PooledBytes>) {
        let piece = piece.into();
        if !piece.is_empty() {
            self.grow(piece.len());
            self.pieces.push_back(piece);
        }
    }

    /// Puts a piece before the first: a header whose content is known last. One without bytes is dropped.
    ///
    /// # Panics
    /// As [`push`](Self::push).
    pub fn push_front(&mut self, piece: impl Into<PooledBytes>) {
        let piece = piece.into();
        if !piece.is_empty() {
            self.grow(piece.len());
            self.pieces.push_front(piece);
        }
    }

    /// Clones share their bytes, so that the sum may be more than there is memory.
    fn grow(&mut self, by: usize) {
        self.len = self.len.checked_add(by).expect("a chain has at most usize::MAX bytes");
    }

    /// The pieces, in order. None is empty.
    pub fn pieces(&self) -> impl ExactSizeIterator<Item = &PooledBytes> + DoubleEndedIterator {
        self.pieces.iter()
    }

    /// Fills `slices` with the first pieces, for a vectored write; how many there are.
    ///
    /// # Examples
    ///
    /// ```
    /// # use millpond::{BufferPool, PooledChain};
    /// use std::io::{IoSlice, Write};
    ///
    /// let mut chain = PooledChain::copy_from(BufferPool::shared(), b"some words", 5);
    /// let mut slices = [IoSlice::new(&[]); 8];
    /// let count = chain.as_io_slices(&mut slices);
    /// let written = Vec::new().write_vectored(&slices[..count])?;
    /// chain.advance(written);
    /// assert_eq!((count, chain.len()), (2, 0));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn as_io_slices<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let places = slices.iter_mut().zip(&self.pieces);
        places.map(|(place, piece)| *place = IoSlice::new(piece)).count()
    }

    /// Takes the first piece off. Costs nothing.
    pub fn pop_front(&mut self) -> Option<PooledBytes> {
        let piece = self.pieces.pop_front()?;
        self.len -= piece.len();
        Some(piece)
    }

    /// Drops the first `count` bytes. Pieces that end with them go home now.
    ///
    /// # Panics
    /// If there are fewer bytes.
    #[track_caller]
    pub fn advance(&mut self, count: usize) {
        assert!(count <= self.len, "advanced by {count} of {} bytes", self.len);
        self.len -= count;
        let mut left = count;
        while let Some(first) = self.pieces.front_mut().filter(|_| left > 0) {
            if left < first.len() {
                first.skip(left);
                return;
            }
            left -= first.len();
            self.pieces.pop_front();
        }
    }

    /// Splits off and returns the first `count` bytes; the rest stays. A piece that is cut is shared by both.
    ///
    /// # Cost
    /// A move of 32 bytes for each whole piece, an atomic addition for one that is cut.
    ///
    /// # Panics
    /// If there are fewer bytes.
    ///
    /// # Examples
    ///
    /// ```
    /// # use millpond::{BufferPool, PooledChain};
    /// let mut rest = PooledChain::copy_from(BufferPool::shared(), b"head and body", 8);
    /// let head = rest.split_to(4);
    /// assert_eq!((head.to_vec(), rest.to_vec()), (b"head".to_vec(), b" and body".to_vec()));
    /// ```
    #[must_use = "use `advance` to drop the first bytes"]
    #[track_caller]
    pub fn split_to(&mut self, count: usize) -> Self {
        assert!(count <= self.len, "split at {count} of {} bytes", self.len);
        let mut head = PooledChain::new();
        while head.len < count {
            let left = count - head.len;
            let first = self.pieces.front_mut().expect("there are more bytes");
            let piece = if left < first.len() { Some(first.split_to(left)) } else { self.pieces.pop_front() };
            head.push(piece.expect("there is a first"));
        }
        self.len -= count;
        head
    }

    /// Writes once, as many bytes as the writer takes of the first 64 pieces, and drops them; how many they were. 0 when
    /// there are none, or the writer takes none.
    ///
    /// # Errors
    /// The writer's; the chain is as it was.
    ///
    /// # Panics
    /// If the writer claims to have taken more bytes than it was offered.
    pub fn write_to(&mut self, writer: &mut (impl io::Write + ?Sized)) -> io::Result<usize> {
        let mut slices = [IoSlice::new(&[]); OFFERED];
        let count = self.as_io_slices(&mut slices);
        let offered: usize = slices.iter().map(|slice| slice.len()).sum();
        let written = writer.write_vectored(&slices[..count])?;
        assert!(written <= offered, "the writer claims {written} bytes and was offered {offered}");
        self.advance(written);
        Ok(written)
    }

    /// Writes all bytes, however few the writer takes at once. Each piece goes home as soon as it is written.
    ///
    /// A write that was interrupted by a signal is done again.
    ///
    /// # Errors
    /// The writer's, and [`WriteZero`](ErrorKind::WriteZero) when it takes nothing. What was not written is in the chain
    /// still, so that one may go on: with a writer that does not block, as soon as it is ready again.
    ///
    /// # Panics
    /// If the writer claims to have taken more bytes than it was offered.
    pub fn write_all_to(&mut self, writer: &mut (impl io::Write + ?Sized)) -> io::Result<()> {
        while !self.is_empty() {
            match self.write_to(writer) {
                Ok(0) => return Err(io::Error::new(ErrorKind::WriteZero, "the writer took nothing of a chain")),
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// A copy of all bytes in one vector. The chain stays.
    ///
    /// # Cost
    /// An allocation and a copy.
    #[must_use]
    pub fn to_vec(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.len);
        self.pieces.iter().for_each(|piece| bytes.extend_from_slice(piece));
        bytes
    }
}

impl<P: Into<PooledBytes>> From<P> for PooledChain {
    fn from(piece: P) -> Self {
        let mut chain = PooledChain::new();
        chain.push(piece);
        chain
    }
}

impl<P: Into<PooledBytes>> Extend<P> for PooledChain {
    fn extend<I: IntoIterator<Item = P>>(&mut self, pieces: I) {
        pieces.into_iter().for_each(|piece| self.push(piece));
    }
}

impl<P: Into<PooledBytes>> FromIterator<P> for PooledChain {
    fn from_iter<I: IntoIterator<Item = P>>(pieces: I) -> Self {
        let mut chain = PooledChain::new();
        chain.extend(pieces);
        chain
    }
}

/// The pieces, in order; for writers that take a list of buffers.
impl IntoIterator for PooledChain {
    type Item = PooledBytes;
    type IntoIter = vec_deque::IntoIter<PooledBytes>;

    fn into_iter(self) -> Self::IntoIter {
        self.pieces.into_iter()
    }
}

/// Whether the bytes are the same, wherever they are cut.
impl<T: AsRef<[u8]> + ?Sized> PartialEq<T> for PooledChain {
    fn eq(&self, other: &T) -> bool {
        let mut rest = other.as_ref();
        self.len == rest.len()
            && self.pieces.iter().all(|piece| {
                let (start, others) = rest.split_at(piece.len());
                rest = others;
                *piece == *start
            })
    }
}

/// Shows how much there is, never the content.
impl fmt::Debug for PooledChain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PooledChain").field("len", &self.len).field("pieces", &self.pieces.len()).finish()
    }
}
