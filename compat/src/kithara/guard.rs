//! The guards: what goes home when it is dropped.

use std::fmt;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};

use super::pool::Pool;
use super::reuse::{Kept, Reuse};

/// A value of a [`Pool`], to which it goes home when it is dropped.
pub struct Pooled<'a, const SHARDS: usize, T: Reuse> {
    value: millpond::Pooled<Kept<T>>,
    pool: PhantomData<&'a Pool<SHARDS, T>>,
}

/// A value of a [`SharedPool`](super::SharedPool), to which it goes home when it is dropped. It needs no borrow: it may
/// outlive all handles of the pool.
pub struct PooledOwned<const SHARDS: usize, T: Reuse> {
    value: millpond::Pooled<Kept<T>>,
}

impl<const SHARDS: usize, T: Reuse> Pooled<'_, SHARDS, T> {
    #[inline]
    pub(super) fn new(value: millpond::Pooled<Kept<T>>) -> Self {
        Pooled { value, pool: PhantomData }
    }
}

impl<const SHARDS: usize, T: Reuse> PooledOwned<SHARDS, T> {
    #[inline]
    pub(super) fn new(value: millpond::Pooled<Kept<T>>) -> Self {
        PooledOwned { value }
    }
}

macro_rules! guard {
    ($([$($lifetime:tt)*] $guard:ident;)*) => {$(
        impl<const SHARDS: usize, T: Reuse> $guard<$($lifetime)* SHARDS, T> {
            /// The value, for good: it leaves the pool. Costs nothing.
            ///
            /// ```
            /// use millpond_compat::kithara::SharedPool;
            ///
            /// let pool = SharedPool::<32, Vec<u8>>::new(1024, 128 * 1024);
            /// let vec: Vec<u8> = pool.get_with(|buf| buf.extend_from_slice(b"hello")).into_inner();
            /// assert_eq!(vec, b"hello");
            /// ```
            #[must_use = "dropping the guard returns the value to the pool"]
            pub fn into_inner(self) -> T {
                self.value.detach().0
            }
        }

        impl<const SHARDS: usize, T: Reuse> Deref for $guard<$($lifetime)* SHARDS, T> {
            type Target = T;

            #[inline]
            fn deref(&self) -> &T {
                &self.value.0
            }
        }

        impl<const SHARDS: usize, T: Reuse> DerefMut for $guard<$($lifetime)* SHARDS, T> {
            #[inline]
            fn deref_mut(&mut self) -> &mut T {
                &mut self.value.0
            }
        }

        impl<const SHARDS: usize, T: Reuse + fmt::Debug> fmt::Debug for $guard<$($lifetime)* SHARDS, T> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&**self, f)
            }
        }
    )*};
}

guard! {
    ['_,] Pooled;
    [] PooledOwned;
}
