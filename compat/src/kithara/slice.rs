//! The valid part of a pooled vector.

use std::fmt;

use super::guard::{Pooled, PooledOwned};

/// The first elements of a pooled vector, whose length is told apart from the vector's own.
///
/// ```
/// use millpond_compat::kithara::{Pool, PooledSlice};
///
/// let pool = Pool::<32, Vec<u8>>::new(1024, 128 * 1024);
/// let buf = pool.get_with(|buf| buf.resize(4096, 0));
/// let slice = PooledSlice::new(buf, 100);         // as many as were read
/// assert_eq!(slice.as_slice().len(), 100);
/// ```
pub struct PooledSlice<'a, const SHARDS: usize, T: Send + 'static> {
    buf: Pooled<'a, SHARDS, Vec<T>>,
    len: usize,
}

/// The same over the guard of a [`SharedPool`](super::SharedPool).
pub struct PooledSliceOwned<const SHARDS: usize, T: Send + 'static> {
    buf: PooledOwned<SHARDS, Vec<T>>,
    len: usize,
}

macro_rules! slice {
    ($([$($lifetime:lifetime)?] $slice:ident of $guard:ident;)*) => {$(
        impl<$($lifetime,)? const SHARDS: usize, T: Send + 'static> $slice<$($lifetime,)? SHARDS, T> {
            /// The first `len` elements.
            ///
            /// # Panics
            /// If the vector has fewer.
            #[must_use]
            pub fn new(buf: $guard<$($lifetime,)? SHARDS, Vec<T>>, len: usize) -> Self {
                assert!(len <= buf.len(), "a slice of {len} elements exceeds buffer length {}", buf.len());
                $slice { buf, len }
            }

            /// The elements.
            #[must_use]
            pub fn as_slice(&self) -> &[T] {
                &self.buf[..self.len]
            }

            /// The elements, writable.
            pub fn as_mut_slice(&mut self) -> &mut [T] {
                &mut self.buf[..self.len]
            }

            /// The number of elements.
            #[must_use]
            pub fn len(&self) -> usize {
                self.len
            }

            /// Whether there are none.
            #[must_use]
            pub fn is_empty(&self) -> bool {
                self.len == 0
            }

            /// The guard of the vector, all of it.
            #[must_use = "dropping the guard returns the vector to the pool"]
            pub fn into_inner(self) -> $guard<$($lifetime,)? SHARDS, Vec<T>> {
                self.buf
            }
        }

        impl<$($lifetime,)? const SHARDS: usize, T: Send + 'static> AsRef<[T]> for $slice<$($lifetime,)? SHARDS, T> {
            fn as_ref(&self) -> &[T] {
                self.as_slice()
            }
        }

        impl<$($lifetime,)? const SHARDS: usize, T: Send + 'static> AsMut<[T]> for $slice<$($lifetime,)? SHARDS, T> {
            fn as_mut(&mut self) -> &mut [T] {
                self.as_mut_slice()
            }
        }

        impl<$($lifetime,)? const SHARDS: usize, T> fmt::Debug for $slice<$($lifetime,)? SHARDS, T>
        where
            T: Send + fmt::Debug + 'static,
        {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(self.as_slice(), f)
            }
        }
    )*};
}

slice! {
    ['a] PooledSlice of Pooled;
    [] PooledSliceOwned of PooledOwned;
}
