//! The pools, borrowed and shared.

use std::fmt;
use std::time::Duration;

use millpond::Budget;

use super::guard::{Pooled, PooledOwned};
use super::reuse::{Kept, Reuse};

/// A pool of values, whose guards borrow it.
///
/// While a thread works within what it caches, a get and its return take no lock and allocate nothing. Idle values stay
/// until the pool is dropped.
///
/// ```
/// use millpond_compat::kithara::Pool;
///
/// let pool = Pool::<4, Vec<f32>>::new(16, 1024);
/// let mut samples = pool.get();
/// samples.resize(512, 0.0);
/// drop(samples);                                  // home, emptied
/// let again = pool.get();
/// assert!(again.is_empty() && again.capacity() >= 512);
/// ```
pub struct Pool<const SHARDS: usize, T: Reuse> {
    pool: millpond::Pool<Kept<T>>,
}

impl<const SHARDS: usize, T: Reuse + Default> Pool<SHARDS, T> {
    /// A pool that keeps `max_buffers / SHARDS` idle values for each of `SHARDS`, with room for `trim_capacity` elements
    /// each.
    ///
    /// # Panics
    /// If there are no shards.
    #[must_use]
    pub fn new(max_buffers: usize, trim_capacity: usize) -> Self {
        assert!(SHARDS > 0, "Pool must have at least 1 shard");
        let builder = millpond::Pool::builder().max_idle(max_buffers / SHARDS * SHARDS).trim_capacity(trim_capacity);
        let builder = builder.decay(Duration::MAX).budget(&Budget::new(usize::MAX));
        Pool { pool: builder.build().unwrap_or_else(|error| panic!("{error}")) }
    }

    /// A value that was used before, or a new one.
    ///
    /// # Panics
    /// If `T::default` does, or the system has no memory.
    #[inline]
    #[must_use]
    pub fn get(&self) -> Pooled<'_, SHARDS, T> {
        Pooled::new(self.pool.get())
    }

    /// A value that `init` has worked on.
    ///
    /// # Panics
    /// As [`get`](Self::get), and if `init` does.
    ///
    /// ```
    /// use millpond_compat::kithara::Pool;
    ///
    /// let pool = Pool::<32, Vec<u8>>::new(1024, 128 * 1024);
    /// assert_eq!(pool.get_with(|buf| buf.resize(1024, 0)).len(), 1024);
    /// ```
    #[inline]
    #[must_use]
    pub fn get_with<F: FnOnce(&mut T)>(&self, init: F) -> Pooled<'_, SHARDS, T> {
        let mut pooled = self.get();
        init(&mut pooled);
        pooled
    }
}

/// A pool whose clones share it, and whose guards are `'static`.
///
/// ```
/// use millpond_compat::kithara::SharedPool;
///
/// let pool = SharedPool::<32, Vec<u8>>::new(1024, 128 * 1024);
/// let other = pool.clone();
/// let thread = std::thread::spawn(move || other.get_with(|buf| buf.push(1)));
/// assert_eq!(thread.join().unwrap()[..], [1]);
/// ```
///
/// What may not be sent to another thread is not pooled:
///
/// ```compile_fail,E0277
/// use millpond_compat::kithara::SharedPool;
///
/// let pool = SharedPool::<4, Vec<std::rc::Rc<u8>>>::new(16, 1024);
/// ```
pub struct SharedPool<const SHARDS: usize, T: Reuse>(millpond::Pool<Kept<T>>);

impl<const SHARDS: usize, T: Reuse + Default> SharedPool<SHARDS, T> {
    /// As [`Pool::new`].
    ///
    /// # Panics
    /// If there are no shards.
    #[must_use]
    pub fn new(max_buffers: usize, trim_capacity: usize) -> Self {
        SharedPool(Pool::<SHARDS, T>::new(max_buffers, trim_capacity).pool)
    }

    /// A value that was used before, or a new one.
    ///
    /// # Panics
    /// As [`Pool::get`].
    #[inline]
    #[must_use]
    pub fn get(&self) -> PooledOwned<SHARDS, T> {
        PooledOwned::new(self.0.get())
    }

    /// A value that `init` has worked on.
    ///
    /// # Panics
    /// As [`Pool::get_with`].
    #[inline]
    #[must_use]
    pub fn get_with<F: FnOnce(&mut T)>(&self, init: F) -> PooledOwned<SHARDS, T> {
        let mut pooled = self.get();
        init(&mut pooled);
        pooled
    }
}

impl<const SHARDS: usize, T: Reuse> Clone for SharedPool<SHARDS, T> {
    fn clone(&self) -> Self {
        SharedPool(self.0.clone())
    }
}

impl<const SHARDS: usize, T: Reuse> fmt::Debug for Pool<SHARDS, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("shards", &SHARDS).field("pool", &self.pool).finish()
    }
}

impl<const SHARDS: usize, T: Reuse> fmt::Debug for SharedPool<SHARDS, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedPool").field("shards", &SHARDS).field("pool", &self.0).finish()
    }
}
