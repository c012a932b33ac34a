//! The pool: one of `millpond` for each size class that is used, because limits are numbers of buffers.

use std::fmt;
use std::iter;
use std::panic;
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

use millpond::{Budget, BufferPoolBuilder, ClassStats, Eviction, Memory, Need, Recycled};

use super::buffer::PooledBuffer;
use super::builder::{Builder, EvictionPolicy};
use super::classes::{CLASSES, class_of, growth_of, size_of};
use crate::processors;

/// A pool of byte buffers whose content is not zeroed.
///
/// Clones share it. While a thread works within what it caches, a get and its return take no lock, allocate nothing and
/// enter no kernel, whatever the size. The first get of a size class makes its pool, which costs some kilobytes.
///
/// Buffers that are [large enough](Builder::min_buffer_size) stay until [`clear`](Self::clear), or until the last clone is
/// dropped.
///
/// ```
/// use millpond_compat::zeropool::BufferPool;
///
/// let pool = BufferPool::new();
/// let mut buffer = pool.get(1 << 20);
/// buffer[0] = 42;
/// ```
#[derive(Clone)]
pub struct BufferPool {
    shared: Arc<Shared>,
}

struct Shared {
    pools: [OnceLock<millpond::BufferPool>; CLASSES],
    options: Options,
    budget: Budget,
}

/// What a builder decided.
#[derive(Debug)]
pub(super) struct Options {
    pub(super) tls_cache_size: usize,
    pub(super) shards: usize,
    pub(super) max_buffers: usize,
    pub(super) min_buffer_size: usize,
    pub(super) pinned_memory: bool,
    pub(super) eviction_policy: EvictionPolicy,
}

impl BufferPool {
    /// A pool with defaults for this number of processors.
    #[must_use]
    pub fn new() -> Self {
        Builder::default().build()
    }

    /// Options for another pool.
    pub fn builder() -> Builder {
        Builder::default()
    }

    pub(super) fn with(options: Options) -> Self {
        let pools = [const { OnceLock::new() }; CLASSES];
        BufferPool { shared: Arc::new(Shared { pools, options, budget: Budget::new(usize::MAX) }) }
    }

    /// A buffer of `size` bytes of unspecified value.
    ///
    /// # Panics
    /// If the system has no memory, as `Vec` does.
    ///
    /// ```
    /// let buffer = millpond_compat::zeropool::BufferPool::new().get(1000);
    /// assert_eq!(buffer.len(), 1000);
    /// ```
    #[inline]
    #[must_use]
    pub fn get(&self, size: usize) -> PooledBuffer {
        PooledBuffer::new(self.shared.pool(class_of(size)).get(Recycled(size)))
    }

    /// Adds `count` idle buffers of `size` bytes, or of the [smallest that is kept](Builder::min_buffer_size) if that is
    /// more, as far as the pool may keep so many. The count is rounded up to a multiple of the number of shards.
    ///
    /// Costs a thread that lives as long as this takes, so that none of them gets stuck in the caller's cache.
    ///
    /// # Panics
    /// If the system has no memory.
    ///
    /// ```
    /// let pool = millpond_compat::zeropool::BufferPool::builder().num_shards(4).build();
    /// pool.preallocate(10, 1 << 20);
    /// assert_eq!(pool.len(), 12);
    /// ```
    pub fn preallocate(&self, count: usize, size: usize) {
        let options = &self.shared.options;
        let size = size.max(options.min_buffer_size);
        let class = class_of(size);
        let pool = self.shared.pool(class);
        let added = count.div_ceil(options.shards).saturating_mul(options.shards);
        let idle = self.shared.kept_in(class);
        let all = idle.saturating_add(added).min(options.max_buffers);
        let add = || drop(pool.get_many(iter::repeat_n(Recycled(size), all)));
        thread::scope(|scope| {
            // Joined by hand: a scope does not wait for what the thread's end returns.
            match thread::Builder::new().spawn_scoped(scope, add).map(thread::ScopedJoinHandle::join) {
                Ok(Ok(())) => {}
                Ok(Err(panicked)) => panic::resume_unwind(panicked),
                // The caller's cache has some of them then.
                Err(_) => add(),
            }
        });
    }

    /// The number of idle buffers that are kept, not counting those in threads' caches. Costs a visit to these.
    #[must_use]
    pub fn len(&self) -> usize {
        (0..CLASSES).map(|class| self.shared.kept_in(class)).sum()
    }

    /// Whether no idle buffer is kept outside of threads' caches. Costs as [`len`](Self::len).
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Gives the memory of idle buffers back to the system, but for those in threads' caches.
    ///
    /// ```
    /// let pool = millpond_compat::zeropool::BufferPool::new();
    /// pool.preallocate(4, 1 << 20);
    /// pool.clear();
    /// assert!(pool.is_empty());
    /// ```
    pub fn clear(&self) {
        for pool in self.shared.made() {
            // The depot gives way first.
            pool.trim(pool.stats().idle_in_caches as usize);
        }
    }

    /// Gives memory back that the pool took for its own lists; buffers stay.
    pub fn shrink_to_fit(&self) {
        for pool in self.shared.made() {
            pool.trim(usize::MAX);
        }
    }
}

impl Shared {
    #[inline]
    fn pool(&self, class: usize) -> &millpond::BufferPool {
        match self.pools[class].get() {
            Some(pool) => pool,
            None => self.make(class),
        }
    }

    #[cold]
    fn make(&self, class: usize) -> &millpond::BufferPool {
        let make = || self.builder(class).build().unwrap_or_else(|error| panic!("{error}"));
        self.pools[class].get_or_init(make)
    }

    fn builder(&self, class: usize) -> BufferPoolBuilder {
        let options = &self.options;
        let memory = Memory::mapped();
        let memory = if options.pinned_memory { memory.locked(Need::Prefer) } else { memory };
        let eviction = match options.eviction_policy {
            EvictionPolicy::Lifo => Eviction::Lifo,
            EvictionPolicy::ClockPro => Eviction::ClockPro,
        };
        let size = size_of(class);
        let builder = millpond::BufferPool::builder().size_classes(growth_of(class)).memory(memory).eviction(eviction);
        let builder = builder.thread_cache(options.tls_cache_size.saturating_mul(size)).budget(&self.budget);
        let builder = builder.max_idle(usize::MAX);
        if size < options.min_buffer_size {
            // Half of them may lie in caches.
            return builder.max_idle_per_class(options.tls_cache_size.saturating_mul(2 * processors()));
        }
        builder.max_idle_per_class(options.max_buffers).decay(Duration::MAX)
    }

    fn made(&self) -> impl Iterator<Item = &millpond::BufferPool> {
        self.pools.iter().filter_map(OnceLock::get)
    }

    /// How many idle buffers that are large enough the pool of a class keeps, grown ones included.
    fn kept_in(&self, class: usize) -> usize {
        let Some(pool) = self.pools[class].get() else { return 0 };
        let is_kept = |class: &&ClassStats| class.size >= self.options.min_buffer_size as u64;
        pool.stats().classes.iter().filter(is_kept).map(|class| (class.idle_in_depot / class.size) as usize).sum()
    }
}

impl Default for BufferPool {
    /// As [`BufferPool::new`].
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for BufferPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BufferPool").field("options", &self.shared.options).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_that_are_kept_do_not_decay() {
        let pool = BufferPool::builder().min_buffer_size(1 << 20).build();
        let is_off =
            |size| format!("{:?}", pool.shared.builder(class_of(size))).contains("decay: 18446744073709551615.9");
        assert_eq!([512 << 10, 1 << 20, 3 << 20].map(is_off), [false, true, true]);
    }

    #[test]
    fn eviction_policy_is_passed_on() {
        for (policy, eviction) in [(EvictionPolicy::Lifo, "Lifo"), (EvictionPolicy::ClockPro, "ClockPro")] {
            let pool = BufferPool::builder().eviction_policy(policy).build();
            let builder = format!("{:?}", pool.shared.builder(0));
            assert!(builder.contains(&format!("eviction: {eviction}")), "{builder}");
        }
    }
}
