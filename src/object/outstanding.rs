//! What is out of an object pool.

use crate::object::pool::Pool;
use crate::object::reuse::Reuse;
#[cfg(feature = "track")]
use crate::policy::outstanding::Outstanding;
use crate::policy::quiescent;

impl<T: Reuse + Send + 'static> Pool<T> {
    /// What is out, by where in the program it was taken, of a pool that [tracks](crate::PoolBuilder::track). As
    /// [`BufferPool::outstanding`](crate::BufferPool::outstanding); bytes are what values [weigh](crate::PoolBuilder::weigh).
    #[cfg(feature = "track")]
    #[must_use]
    pub fn outstanding(&self) -> Outstanding {
        Outstanding::of(self.core())
    }

    /// For tests: no value is out. As [`BufferPool::assert_quiescent`](crate::BufferPool::assert_quiescent).
    ///
    /// # Panics
    /// If values are out, with their number; and with the feature `track`, where they were taken.
    #[track_caller]
    pub fn assert_quiescent(&self) {
        quiescent::assert(self.core(), self.name());
    }
}
