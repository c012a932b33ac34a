//! What is out of a byte pool.

use crate::bytes::pool::BufferPool;
#[cfg(feature = "track")]
use crate::policy::outstanding::Outstanding;
use crate::policy::quiescent;

impl BufferPool {
    /// What is out, by where in the program it was taken, of a pool that [tracks](crate::BufferPoolBuilder::track). With the
    /// feature `track`.
    ///
    /// Exact when nobody uses the pool. Costs a look at each slot that the pool ever had, and an allocation for each place.
    ///
    /// # Examples
    ///
    /// ```
    /// let pool = millpond::BufferPool::builder().track(true).build()?;
    /// let held: Vec<_> = (0..3).map(|_| pool.get(1000)).collect();
    /// let outstanding = pool.outstanding();
    /// assert_eq!((outstanding.sites[0].count, outstanding.sites[0].bytes), (3, 3 * 1024));
    /// # drop(held);
    /// # Ok::<(), millpond::BuildError>(())
    /// ```
    #[cfg(feature = "track")]
    #[must_use]
    pub fn outstanding(&self) -> Outstanding {
        Outstanding::of(self.core.core())
    }

    /// For tests: no buffer is out.
    ///
    /// Exact when nobody uses the pool; threads that dropped buffers have come to that before. Costs as
    /// [`stats`](Self::stats).
    ///
    /// # Panics
    /// If buffers are out, with their number; and with the feature `track`, where they were taken.
    ///
    /// # Examples
    ///
    /// ```
    /// let pool = millpond::BufferPool::new();
    /// drop(pool.get(4096));
    /// pool.assert_quiescent();
    /// ```
    #[track_caller]
    pub fn assert_quiescent(&self) {
        quiescent::assert(self.core.core(), self.keeper().name());
    }
}
