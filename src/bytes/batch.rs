//! Many handles got at once, and returned at once.

use std::fmt;
use std::ops::{Deref, DerefMut};

use crate::bytes::buf::{PooledBuf, taken};
use crate::policy::error::Error;

/// Buffers that were got together.
///
/// Dereferences to a slice of them. Dropped, it returns them a magazine full at a time, in one exchange with the depot
/// each, instead of one by one.
///
/// # Examples
///
/// ```
/// let pool = millpond::BufferPool::new();
/// let mut batch = pool.get_many([512, 512, 2048]);
/// batch[2][0] = 1;
/// for buf in batch {
///     assert!(buf.len() >= 512);
/// }
/// ```
pub struct PooledBatch<H: Return> {
    handles: Vec<H>,
}

/// Handles that can be returned in bulk. Sealed.
pub trait Return: sealed::ReturnMany {}

impl Return for PooledBuf {}

pub(crate) mod sealed {
    pub trait ReturnMany: Sized {
        /// Returns all of these.
        fn return_many(handles: Vec<Self>);
    }
}

impl sealed::ReturnMany for PooledBuf {
    fn return_many(handles: Vec<Self>) {
        taken::return_all(handles);
    }
}

impl<H: Return> PooledBatch<H> {
    pub(crate) fn new() -> Self {
        PooledBatch { handles: Vec::new() }
    }

    pub(crate) fn reserve(&mut self, additional: usize) -> Result<(), Error> {
        let requested = additional.saturating_mul(size_of::<H>());
        self.handles.try_reserve(additional).map_err(|_| Error::OutOfMemory { requested })
    }

    /// Adds a handle for which room was [reserved](Self::reserve).
    pub(crate) fn push(&mut self, handle: H) {
        self.handles.push(handle);
    }
}

impl<H: Return> Drop for PooledBatch<H> {
    fn drop(&mut self) {
        H::return_many(std::mem::take(&mut self.handles));
    }
}

impl<H: Return> Deref for PooledBatch<H> {
    type Target = [H];

    fn deref(&self) -> &[H] {
        &self.handles
    }
}

impl<H: Return> DerefMut for PooledBatch<H> {
    fn deref_mut(&mut self) -> &mut [H] {
        &mut self.handles
    }
}

impl<H: Return> IntoIterator for PooledBatch<H> {
    type Item = H;
    type IntoIter = std::vec::IntoIter<H>;

    /// The handles one by one, each of which then goes home by itself.
    fn into_iter(mut self) -> Self::IntoIter {
        std::mem::take(&mut self.handles).into_iter()
    }
}

impl<H: Return + fmt::Debug> fmt::Debug for PooledBatch<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.handles).finish()
    }
}
