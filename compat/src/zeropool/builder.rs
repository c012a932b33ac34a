//! Options, and what they mean for the pools behind.

use super::defaults;
use super::pool::{BufferPool, Options};
use crate::processors;

/// Which idle buffers give way when there are too many.
///
/// Sizes do not compete here, each class keeps its own, so neither lets a wave of one size push out what is used in
/// another. What the policies say beyond that is for a system that is short of memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum EvictionPolicy {
    /// Those that come last.
    Lifo,
    /// Those that are not needed again.
    #[default]
    ClockPro,
}

/// Options for a [`BufferPool`].
///
/// | option | default |
/// |---|---|
/// | [`min_buffer_size`](Self::min_buffer_size) | 1 MiB |
/// | [`tls_cache_size`](Self::tls_cache_size) | 2 to 8 buffers |
/// | [`max_buffers_per_shard`](Self::max_buffers_per_shard) | 16 to 64 buffers |
/// | [`num_shards`](Self::num_shards) | 4 to 128 |
/// | [`pinned_memory`](Self::pinned_memory) | no |
/// | [`eviction_policy`](Self::eviction_policy) | [`EvictionPolicy::ClockPro`] |
///
/// Where there is a range, it depends on the number of processors that the process may use.
///
/// ```
/// use millpond_compat::zeropool::{BufferPool, EvictionPolicy};
///
/// let pool = BufferPool::builder()
///     .tls_cache_size(8)
///     .min_buffer_size(512 * 1024)
///     .max_buffers_per_shard(32)
///     .num_shards(16)
///     .eviction_policy(EvictionPolicy::Lifo)
///     .build();
/// assert!(pool.is_empty());
/// ```
#[derive(Clone, Debug, Default)]
#[must_use = "nothing is built before `build`"]
pub struct Builder {
    num_shards: Option<usize>,
    tls_cache_size: Option<usize>,
    max_buffers_per_shard: Option<usize>,
    min_buffer_size: Option<usize>,
    pinned_memory: bool,
    eviction_policy: EvictionPolicy,
}

impl Builder {
    /// The bytes that a buffer must have room for to be kept. Smaller ones, and what grows from them, stay in threads' caches
    /// and, as many again, within reach of them, until nobody needs them for ten seconds.
    pub fn min_buffer_size(mut self, size: usize) -> Self {
        self.min_buffer_size = Some(size);
        self
    }

    /// There are no shards: the number, rounded up to a power of two from 4 to 128, is what
    /// [`max_buffers_per_shard`](Self::max_buffers_per_shard) is multiplied with.
    pub fn num_shards(mut self, count: usize) -> Self {
        self.num_shards = Some(count);
        self
    }

    /// The buffers of one size class that lie in the cache of each thread: not 0, at most 64.
    pub fn tls_cache_size(mut self, size: usize) -> Self {
        self.tls_cache_size = Some(size);
        self
    }

    /// The buffers of one size class that the pool keeps are so many times the [number of shards](Self::num_shards), those
    /// in threads' caches included, which are at most half of them. Not 0.
    pub fn max_buffers_per_shard(mut self, count: usize) -> Self {
        self.max_buffers_per_shard = Some(count);
        self
    }

    /// Whether memory is locked in RAM, so that it is never swapped out, as far as the system allows it to the process
    /// (`RLIMIT_MEMLOCK`).
    pub fn pinned_memory(mut self, enabled: bool) -> Self {
        self.pinned_memory = enabled;
        self
    }

    /// Which buffers give way when there are too many.
    pub fn eviction_policy(mut self, policy: EvictionPolicy) -> Self {
        self.eviction_policy = policy;
        self
    }

    /// Builds the pool.
    ///
    /// # Panics
    /// If `tls_cache_size` or `max_buffers_per_shard` is 0.
    #[must_use]
    pub fn build(self) -> BufferPool {
        let processors = processors();
        let tls_cache_size = self.tls_cache_size.unwrap_or_else(|| defaults::tls_cache_size(processors));
        let per_shard = self.max_buffers_per_shard.unwrap_or_else(|| defaults::max_buffers_per_shard(processors));
        assert!(tls_cache_size > 0, "tls_cache_size must be greater than 0");
        assert!(per_shard > 0, "max_buffers_per_shard must be greater than 0");
        let shards = self.num_shards.map_or_else(|| defaults::num_shards(processors), defaults::shards);
        BufferPool::with(Options {
            tls_cache_size,
            shards,
            max_buffers: per_shard.saturating_mul(shards),
            min_buffer_size: self.min_buffer_size.unwrap_or(defaults::MIN_BUFFER_SIZE),
            pinned_memory: self.pinned_memory,
            eviction_policy: self.eviction_policy,
        })
    }
}
