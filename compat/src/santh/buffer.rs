//! The buffer, unique and frozen.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use millpond::PooledBuf;

use super::pool::LARGEST;
use super::tally::Tally;

/// A buffer that goes home to its pool when it is dropped, wiped.
///
/// ```
/// use millpond_compat::santh::{BufferPool, PoolConfig};
///
/// let pool = BufferPool::new(PoolConfig::default());
/// let mut buffer = pool.checkout(4)?;
/// buffer.copy_from_slice(&[1, 2, 3, 4]);
/// assert_eq!(&*buffer, &[1, 2, 3, 4]);
/// # Ok::<(), millpond_compat::santh::Error>(())
/// ```
pub struct PoolBuffer {
    /// At least `start + len` bytes.
    buf: PooledBuf,
    start: usize,
    len: usize,
    tally: &'static Tally,
}

impl PoolBuffer {
    /// A buffer of the bytes `start..start + len`.
    #[inline]
    pub(super) fn new(buf: PooledBuf, start: usize, len: usize, tally: &'static Tally) -> Self {
        tally.lend(len);
        PoolBuffer { buf, start, len, tally }
    }

    /// Makes the buffer immutable and shareable; it goes home when the last clone is dropped. Costs one small allocation.
    ///
    /// ```
    /// use millpond_compat::santh::{BufferPool, PoolConfig};
    ///
    /// let frozen = BufferPool::new(PoolConfig::default()).checkout(4)?.freeze();
    /// let other = frozen.clone();
    /// std::thread::spawn(move || assert_eq!(other.len(), 4)).join().unwrap();
    /// # Ok::<(), millpond_compat::santh::Error>(())
    /// ```
    #[must_use]
    pub fn freeze(self) -> FrozenBuffer {
        FrozenBuffer(Arc::new(self))
    }

    /// The number of bytes, as requested.
    #[inline]
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether none was requested.
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The bytes there are: those of the size class, or as many as were requested if that is more than a MiB.
    #[must_use]
    pub fn capacity(&self) -> usize {
        if self.len > LARGEST { self.len } else { self.buf.capacity() - self.start }
    }

    /// The first byte.
    #[must_use]
    pub fn as_ptr(&self) -> *const u8 {
        self.buf[self.start..].as_ptr()
    }

    /// The first byte, to write [`capacity`](Self::capacity) bytes at.
    ///
    /// Costs the zeroing of what lies behind the length, once, and the return wipes all of the capacity.
    #[must_use]
    pub fn as_mut_ptr(&mut self) -> *mut u8 {
        // Who has a pointer may write up to the capacity. The pool wipes below the length of its handle.
        let end = self.start + self.capacity();
        if self.buf.len() < end {
            self.buf.resize(end, 0);
        }
        self.buf[self.start..].as_mut_ptr()
    }
}

impl Drop for PoolBuffer {
    #[inline]
    fn drop(&mut self) {
        self.tally.receive(self.len);
    }
}

impl Deref for PoolBuffer {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        &self.buf[self.start..self.start + self.len]
    }
}

impl DerefMut for PoolBuffer {
    #[inline]
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.buf[self.start..self.start + self.len]
    }
}

impl AsRef<[u8]> for PoolBuffer {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl AsMut<[u8]> for PoolBuffer {
    fn as_mut(&mut self) -> &mut [u8] {
        self
    }
}

/// Shows length and capacity, never the content.
impl fmt::Debug for PoolBuffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("PoolBuffer");
        debug.field("len", &self.len).field("capacity", &self.capacity()).finish_non_exhaustive()
    }
}

/// An immutable buffer that any number of handles share. It goes home, wiped, when the last of them is dropped.
///
/// ```
/// use millpond_compat::santh::{BufferPool, PoolConfig};
///
/// let pool = BufferPool::new(PoolConfig::default());
/// assert_eq!(pool.checkout(8)?.freeze()[..], [0; 8]);
/// # Ok::<(), millpond_compat::santh::Error>(())
/// ```
#[derive(Clone)]
pub struct FrozenBuffer(Arc<PoolBuffer>);

impl Deref for FrozenBuffer {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl AsRef<[u8]> for FrozenBuffer {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

/// Shows length and capacity, never the content.
impl fmt::Debug for FrozenBuffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("FrozenBuffer");
        debug.field("len", &self.0.len).field("capacity", &self.0.capacity()).finish_non_exhaustive()
    }
}
