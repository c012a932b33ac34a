//! The valid part of a pooled vector.

use std::fmt;
use std::ops::{Deref, DerefMut};

use crate::object::pooled::Pooled;

/// The first elements of a pooled vector, how many is told apart from the vector's own length.
///
/// Made by [`into_slice`](Pooled::into_slice). For stages that fill less than they were given room for: the storage keeps
/// its length, and goes home whole.
///
/// # Examples
///
/// ```
/// let pool = millpond::Pool::<Vec<f32>>::new();
/// let mut block = pool.get_with(|block| block.resize(512, 0.0));
/// block[..2].copy_from_slice(&[0.25, -0.25]);     // the decoder had two samples left
/// let decoded = block.into_slice(2);
/// assert_eq!(decoded.as_slice(), [0.25, -0.25]);
/// ```
pub struct PooledSlice<T: Send + 'static> {
    storage: Pooled<Vec<T>>,
    len: usize,
}

impl<T: Send + 'static> Pooled<Vec<T>> {
    /// The first `len` elements. Costs nothing.
    ///
    /// # Panics
    /// If the vector has fewer.
    #[track_caller]
    #[must_use]
    pub fn into_slice(self, len: usize) -> PooledSlice<T> {
        match self.try_into_slice(len) {
            Ok(slice) => slice,
            Err(storage) => panic!("slice of {len} elements of a vector of {}", storage.len()),
        }
    }

    /// The first `len` elements, or the vector as it was if it has fewer. Costs nothing.
    ///
    /// # Errors
    /// The vector.
    pub fn try_into_slice(self, len: usize) -> Result<PooledSlice<T>, Self> {
        if len <= self.len() { Ok(PooledSlice { storage: self, len }) } else { Err(self) }
    }
}

impl<T: Send + 'static> PooledSlice<T> {
    /// The elements.
    #[must_use]
    pub fn as_slice(&self) -> &[T] {
        &self.storage[..self.len]
    }

    /// The elements, writable.
    pub fn as_mut_slice(&mut self) -> &mut [T] {
        &mut self.storage[..self.len]
    }

    /// The vector, all of it.
    #[must_use = "dropping the vector returns it to the pool"]
    pub fn into_storage(self) -> Pooled<Vec<T>> {
        self.storage
    }
}

impl<T: Send + 'static> Deref for PooledSlice<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        self.as_slice()
    }
}

impl<T: Send + 'static> DerefMut for PooledSlice<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        self.as_mut_slice()
    }
}

impl<T: Send + 'static> AsRef<[T]> for PooledSlice<T> {
    fn as_ref(&self) -> &[T] {
        self
    }
}

impl<T: Send + 'static> AsMut<[T]> for PooledSlice<T> {
    fn as_mut(&mut self) -> &mut [T] {
        self
    }
}

impl<T: Send + fmt::Debug + 'static> fmt::Debug for PooledSlice<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.as_slice()).finish()
    }
}

impl<T: Send + PartialEq + 'static, U: AsRef<[T]> + ?Sized> PartialEq<U> for PooledSlice<T> {
    fn eq(&self, other: &U) -> bool {
        self.as_slice() == other.as_ref()
    }
}

impl<T: Send + Eq + 'static> Eq for PooledSlice<T> {}
