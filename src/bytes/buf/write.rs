//! What grows a buffer: the `Vec`-like methods and the writing traits.

use std::fmt;
use std::io;

use crate::bytes::buf::PooledBuf;
use crate::policy::error::Error;
use crate::policy::told;

/// Bytes a reader is offered at once where it gives no better hint.
const READ_STEP: usize = 8 << 10;

impl PooledBuf {
    /// Makes room for `additional` bytes behind the last.
    ///
    /// Free when they fit the capacity. Otherwise the bytes move to a larger size class of the same pool, which costs a
    /// get, a copy and a return; growing step by step costs a constant number of copies per byte.
    ///
    /// # Panics
    /// With the error's text when [`try_reserve`](Self::try_reserve) would fail.
    #[inline]
    #[track_caller]
    pub fn reserve(&mut self, additional: usize) {
        if let Err(error) = self.try_reserve(additional) {
            error.panic()
        }
    }

    /// Makes room for `additional` bytes behind the last, or says why it cannot. Costs as [`reserve`](Self::reserve).
    ///
    /// # Errors
    /// As [`BufferPool::try_get`](crate::BufferPool::try_get). The buffer is as it was.
    ///
    /// # Examples
    ///
    /// ```
    /// # use millpond::{BufferPool, Capacity, Error};
    /// let mut buf = BufferPool::shared().get(Capacity(10));
    /// buf.try_reserve(100_000)?;
    /// assert!(buf.capacity() >= 100_000);
    /// assert!(buf.try_reserve(usize::MAX).is_err());
    /// # Ok::<(), Error>(())
    /// ```
    #[inline]
    pub fn try_reserve(&mut self, additional: usize) -> Result<(), Error> {
        if additional <= self.capacity() - self.len() {
            return Ok(());
        }
        self.grow(additional)
    }

    #[cold]
    fn grow(&mut self, additional: usize) -> Result<(), Error> {
        self.move_for(additional).inspect_err(|error| told::refused(self.core().keeper().name(), error))
    }

    fn move_for(&mut self, additional: usize) -> Result<(), Error> {
        let limit = self.core().keeper().max_request();
        let needed = self.len().saturating_add(additional);
        if needed > limit {
            return Err(Error::TooLarge { requested: needed, limit });
        }
        // Half as much again at least, so that a byte is copied a constant number of times even above the largest
        // class.
        let amortised = self.capacity().saturating_add(self.capacity() / 2).min(limit);
        self.move_to(needed.max(amortised))
            .or_else(|error| if amortised > needed { self.move_to(needed) } else { Err(error) })
    }

    /// Appends these bytes. Costs a copy, and at times what [`reserve`](Self::reserve) costs.
    ///
    /// # Panics
    /// As [`reserve`](Self::reserve).
    #[inline]
    #[track_caller]
    pub fn extend_from_slice(&mut self, bytes: &[u8]) {
        self.reserve(bytes.len());
        self.append(bytes);
    }

    /// Appends these bytes, or none of them.
    ///
    /// # Errors
    /// As [`try_reserve`](Self::try_reserve).
    #[inline]
    pub fn try_extend_from_slice(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.try_reserve(bytes.len())?;
        self.append(bytes);
        Ok(())
    }

    /// Appends bytes there is room for.
    #[inline]
    pub(super) fn append(&mut self, bytes: &[u8]) {
        let len = self.len();
        debug_assert!(bytes.len() <= self.capacity() - len);
        // SAFETY: `len` is within the block.
        let end = unsafe { self.ptr.add(len) };
        // SAFETY: the block has room for them, and `bytes` cannot borrow from what we borrow exclusively.
        unsafe { end.as_ptr().copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) };
        self.advance(bytes.len());
    }

    /// The next `count` bytes have been written.
    #[inline]
    pub(super) fn advance(&mut self, count: usize) {
        self.held().written(self.len + count);
        self.len += count;
    }

    /// Sets the length to `len`: shortens, or appends bytes of this value. Costs as [`reserve`](Self::reserve), and the
    /// writing.
    ///
    /// # Panics
    /// As [`reserve`](Self::reserve).
    ///
    /// # Examples
    ///
    /// ```
    /// let mut buf = millpond::BufferPool::shared().copy_from(b"ab");
    /// buf.resize(4, b'-');
    /// assert_eq!(buf[..], *b"ab--");
    /// buf.resize(1, 0);
    /// assert_eq!(buf[..], *b"a");
    /// ```
    #[track_caller]
    pub fn resize(&mut self, len: usize, value: u8) {
        let Some(additional) = len.checked_sub(self.len()) else { return self.truncate(len) };
        self.reserve(additional);
        // SAFETY: the old length is within the block.
        let end = unsafe { self.ptr.add(self.len) };
        // SAFETY: the block has room for them.
        unsafe { end.write_bytes(value, additional) };
        self.advance(additional);
    }

    /// Reads once, into the room behind the last byte; how many bytes came. 0 at the reader's end.
    ///
    /// Makes room for 8 KiB when there is none, before it is known whether more will come: who knows how much there is
    /// takes a [`Recycled`](crate::Recycled) buffer of that length and [`read_exact`](io::Read::read_exact), which costs
    /// nothing besides.
    ///
    /// The reader sees nobody else's bytes in the room, whatever it does: at the first read, what earlier users wrote there is
    /// wiped, as a request for zero bytes would; further reads wipe nothing.
    ///
    /// # Errors
    /// The reader's; and when the buffer cannot grow, one that holds the pool's [`Error`]. The buffer is as it was.
    ///
    /// # Panics
    /// If the reader claims to have read more bytes than it was offered.
    ///
    /// # Examples
    ///
    /// ```
    /// # use millpond::{BufferPool, Capacity};
    /// let mut input = &b"some input"[..];
    /// let mut buf = BufferPool::shared().get(Capacity(4096));
    /// while buf.read_from(&mut input)? > 0 {}
    /// assert_eq!(buf[..], *b"some input");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn read_from(&mut self, reader: &mut (impl io::Read + ?Sized)) -> io::Result<usize> {
        self.reserve_to_read()?;
        self.read_with(|room| reader.read(room))
    }

    /// Makes room to read into, if there is none.
    pub(crate) fn reserve_to_read(&mut self) -> Result<(), Error> {
        if self.len() == self.capacity() {
            // Less than a whole step where the pool's largest request is near.
            self.try_reserve(READ_STEP).or_else(|_| self.try_reserve(1))?;
        }
        Ok(())
    }

    /// Has somebody read into the room behind the last byte, initialised; how many bytes came.
    ///
    /// # Panics
    /// If they are said to be more than were offered.
    pub(crate) fn read_with<E>(&mut self, read: impl FnOnce(&mut [u8]) -> Result<usize, E>) -> Result<usize, E> {
        let (len, capacity) = (self.len(), self.capacity());
        self.own_room();
        // SAFETY: `len` is within the block.
        let end = unsafe { self.ptr.add(len) };
        // SAFETY: the rest of the block, initialised above, lent exclusively.
        let room = unsafe { std::slice::from_raw_parts_mut(end.as_ptr(), capacity - len) };
        // A reader may write more than it reports, and may unwind: all that it saw counts as written.
        self.held().expose(capacity);
        let count = read(room)?;
        assert!(count <= capacity - len, "the reader claims {count} bytes and was offered {}", capacity - len);
        self.len += count;
        Ok(count)
    }

    /// A copy of the bytes in a vector of its own. The buffer goes home: its memory is the pool's and cannot leave it.
    ///
    /// Costs an allocation and a copy.
    #[must_use]
    pub fn into_vec(self) -> Vec<u8> {
        self.to_vec()
    }
}

/// Appends, and grows like [`reserve`](PooledBuf::reserve).
impl io::Write for PooledBuf {
    /// # Errors
    /// When the buffer cannot grow, one that holds the pool's [`Error`]: of kind `OutOfMemory`, `InvalidInput` above
    /// the pool's largest request, `Other` after the pool was closed. Nothing was appended.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.try_extend_from_slice(bytes)?;
        Ok(bytes.len())
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.write(bytes).map(drop)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Appends text; an error when the buffer cannot grow.
impl fmt::Write for PooledBuf {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.try_extend_from_slice(text.as_bytes()).map_err(|_| fmt::Error)
    }
}

impl Extend<u8> for PooledBuf {
    #[track_caller]
    fn extend<I: IntoIterator<Item = u8>>(&mut self, bytes: I) {
        let bytes = bytes.into_iter();
        self.reserve(bytes.size_hint().0);
        for byte in bytes {
            self.extend_from_slice(&[byte]);
        }
    }
}

impl<'a> Extend<&'a u8> for PooledBuf {
    #[track_caller]
    fn extend<I: IntoIterator<Item = &'a u8>>(&mut self, bytes: I) {
        self.extend(bytes.into_iter().copied());
    }
}
