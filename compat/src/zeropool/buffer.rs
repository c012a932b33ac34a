//! The buffer.

use std::fmt;
use std::ops::{Deref, DerefMut};

use millpond::PooledBuf;

/// A buffer that goes home to its pool when it is dropped.
///
/// Dereferences to [`PooledBuf`], and through it to the bytes.
///
/// ```
/// let pool = millpond_compat::zeropool::BufferPool::new();
/// let mut buffer = pool.get(4);
/// buffer.copy_from_slice(b"mill");
/// buffer.extend_from_slice(b"pond");
/// assert_eq!(&buffer[..], b"millpond");
/// ```
pub struct PooledBuffer(PooledBuf);

impl PooledBuffer {
    #[inline]
    pub(super) fn new(buf: PooledBuf) -> Self {
        PooledBuffer(buf)
    }

    /// The number of bytes.
    #[inline]
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The number of bytes that there is room for.
    #[inline]
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.0.capacity()
    }

    /// Whether there are no bytes.
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The bytes, for good, in a vector of their own. Costs an allocation and a copy: the memory stays the pool's.
    ///
    /// ```
    /// let pool = millpond_compat::zeropool::BufferPool::new();
    /// let vec: Vec<u8> = pool.get(1024).into_inner();
    /// assert_eq!(vec.len(), 1024);
    /// ```
    #[must_use]
    pub fn into_inner(self) -> Vec<u8> {
        self.0.into_vec()
    }

    /// As [`into_inner`](Self::into_inner).
    #[must_use]
    pub fn into_vec(self) -> Vec<u8> {
        self.into_inner()
    }
}

/// For what a pooled buffer of `millpond` can do besides: frozen, it is shared and sliced.
impl From<PooledBuffer> for PooledBuf {
    fn from(buffer: PooledBuffer) -> Self {
        buffer.0
    }
}

impl Deref for PooledBuffer {
    type Target = PooledBuf;

    #[inline]
    fn deref(&self) -> &PooledBuf {
        &self.0
    }
}

impl DerefMut for PooledBuffer {
    #[inline]
    fn deref_mut(&mut self) -> &mut PooledBuf {
        &mut self.0
    }
}

impl AsRef<[u8]> for PooledBuffer {
    #[inline]
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl AsMut<[u8]> for PooledBuffer {
    #[inline]
    fn as_mut(&mut self) -> &mut [u8] {
        &mut self.0
    }
}

/// Shows length and capacity, never the content.
impl fmt::Debug for PooledBuffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PooledBuffer").field("len", &self.len()).field("capacity", &self.capacity()).finish()
    }
}
