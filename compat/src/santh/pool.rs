//! The pool: which of its classes serves a checkout.

use std::fmt;
use std::sync::{Arc, OnceLock};

use millpond::{Budget, BufferPoolBuilder, Memory, Need, Node, Overflow, Zeroing};

use super::buffer::PoolBuffer;
use super::config::PoolConfig;
use super::error::{Error, MAX_REQUEST_BYTES, Result};
use super::stats::PoolStats;
use super::tally::{Book, Tally};
use crate::processors;

const CLASSES: [usize; 4] = [4 << 10, 64 << 10, 256 << 10, 1 << 20];
/// Above this, buffers are as large as requested, and not pooled.
pub(super) const LARGEST: usize = CLASSES[3];
/// Buffers of a class that a thread caches.
const CACHED: usize = 4;
/// The alignment that all buffers have, in bytes.
const ALIGNMENT: usize = 64;
/// The largest that a pool of `millpond` gives its buffers.
const LARGEST_ALIGNMENT: usize = 2 << 20;
/// Powers of two above the one and up to the other.
const ALIGNED: usize = (LARGEST_ALIGNMENT / ALIGNMENT).ilog2() as usize;

/// A pool of zeroed buffers in four size classes.
///
/// Never blocks and never runs out: when a class has no idle buffer, a checkout takes fresh memory. While a thread works
/// within what it caches, four buffers of each class, a checkout and a return cost one atomic addition each, for the
/// statistics, and the wiping of what was written.
///
/// A class keeps as many idle buffers as it has ready from the start, and four for each processor. What is beyond them is
/// freed when it comes home; what is beyond the former, when it was not needed for ten seconds.
///
/// ```
/// use millpond_compat::santh::{BufferPool, PoolConfig};
///
/// let pool = BufferPool::new(PoolConfig { four_kib_count: 1, ..PoolConfig::default() });
/// let buffer = pool.checkout(32)?;
/// assert_eq!(buffer[..], [0; 32]);
/// # Ok::<(), millpond_compat::santh::Error>(())
/// ```
pub struct BufferPool {
    shared: Arc<Shared>,
    stats: PoolStats,
}

/// What statistics look at, too.
pub(super) struct Shared {
    /// One for each class, because each has a limit of its own.
    classes: [millpond::BufferPool; CLASSES.len()],
    /// One for each alignment above the usual, with all classes, made when it is first asked for.
    aligned: [OnceLock<millpond::BufferPool>; ALIGNED],
    config: PoolConfig,
    book: Book,
}

impl BufferPool {
    /// A pool with these many buffers of each class ready, their memory touched.
    ///
    /// # Panics
    /// If the system has no memory for them.
    #[must_use]
    pub fn new(config: PoolConfig) -> Self {
        let counts =
            [config.four_kib_count, config.sixty_four_kib_count, config.two_fifty_six_kib_count, config.one_mib_count];
        let class = |class: usize| {
            let (size, count) = (CLASSES[class], counts[class]);
            let builder = options(config).size_classes([size]).thread_cache(CACHED * size);
            build(builder.prefill(size, count).max_idle_per_class(count.saturating_add(CACHED * processors())))
        };
        let shared = Arc::new(Shared {
            classes: std::array::from_fn(class),
            aligned: [const { OnceLock::new() }; ALIGNED],
            config,
            book: Book::open(),
        });
        BufferPool { stats: PoolStats::of(shared.clone()), shared }
    }

    /// What the pool has done and has out.
    #[must_use]
    pub fn stats(&self) -> &PoolStats {
        &self.stats
    }

    /// A buffer of `min_bytes` zero bytes.
    ///
    /// # Errors
    /// [`Error::RequestedLengthTooLarge`] above [`MAX_REQUEST_BYTES`].
    ///
    /// # Panics
    /// If the system has no memory, as `Vec` does.
    ///
    /// ```
    /// use millpond_compat::santh::{BufferPool, PoolConfig};
    ///
    /// let pool = BufferPool::new(PoolConfig::default());
    /// assert_eq!(pool.checkout(5000)?.capacity(), 65_536);
    /// assert!(pool.checkout(usize::MAX).is_err());
    /// # Ok::<(), millpond_compat::santh::Error>(())
    /// ```
    #[inline]
    pub fn checkout(&self, min_bytes: usize) -> Result<PoolBuffer> {
        if min_bytes > MAX_REQUEST_BYTES {
            return Err(Error::RequestedLengthTooLarge { requested: min_bytes });
        }
        let buf = self.shared.classes[class_of(min_bytes)].get(min_bytes);
        Ok(PoolBuffer::new(buf, 0, min_bytes, self.shared.tally()))
    }

    /// The same: every buffer's bytes are zero.
    ///
    /// # Errors
    /// As [`checkout`](Self::checkout).
    ///
    /// # Panics
    /// As [`checkout`](Self::checkout).
    #[inline]
    pub fn checkout_zeroed(&self, min_bytes: usize) -> Result<PoolBuffer> {
        self.checkout(min_bytes)
    }

    /// A buffer of `min_bytes` zero bytes, the first at an address that is a multiple of `alignment`.
    ///
    /// Up to 64, all buffers are aligned so. Up to 2 MiB, each alignment has a pool of its own, made on first use, whose
    /// classes are rounded up to the alignment. Above that, buffers are not pooled, and take the alignment besides.
    ///
    /// # Errors
    /// [`Error::InvalidAlignment`] if it is not a power of two, [`Error::RequestedLengthTooLarge`] if there is no room for
    /// both in [`MAX_REQUEST_BYTES`].
    ///
    /// # Panics
    /// As [`checkout`](Self::checkout).
    ///
    /// ```
    /// use millpond_compat::santh::{BufferPool, PoolConfig};
    ///
    /// let pool = BufferPool::new(PoolConfig::default());
    /// let sector = pool.checkout_aligned(512, 4096)?;
    /// assert_eq!(sector.as_ptr().addr() % 4096, 0);
    /// assert!(pool.checkout_aligned(512, 3).is_err());
    /// # Ok::<(), millpond_compat::santh::Error>(())
    /// ```
    pub fn checkout_aligned(&self, min_bytes: usize, alignment: usize) -> Result<PoolBuffer> {
        if !alignment.is_power_of_two() {
            return Err(Error::InvalidAlignment { alignment });
        }
        if alignment <= ALIGNMENT {
            return self.checkout(min_bytes);
        }
        let whole = min_bytes.saturating_add(alignment);
        if whole > MAX_REQUEST_BYTES {
            return Err(Error::RequestedLengthTooLarge { requested: whole });
        }
        let tally = self.shared.tally();
        if alignment <= LARGEST_ALIGNMENT {
            let buf = self.shared.aligned(alignment).get(min_bytes);
            return Ok(PoolBuffer::new(buf, 0, min_bytes, tally));
        }
        let buf = self.shared.classes[CLASSES.len() - 1].get(whole);
        let start = buf.as_ptr().addr().wrapping_neg() & (alignment - 1);
        Ok(PoolBuffer::new(buf, start, min_bytes, tally))
    }
}

impl Shared {
    #[inline]
    pub(super) fn tally(&self) -> &'static Tally {
        self.book.tally()
    }

    fn aligned(&self, alignment: usize) -> &millpond::BufferPool {
        let builder = || options(self.config).size_classes(CLASSES).alignment(alignment);
        let make = || build(builder().max_idle_per_class(CACHED * processors()).thread_cache(CACHED * LARGEST));
        self.aligned[(alignment / ALIGNMENT).ilog2() as usize - 1].get_or_init(make)
    }

    /// Of all checkouts, those that found an idle buffer, and those that did not.
    pub(super) fn hits_and_misses(&self) -> (usize, usize) {
        let pools = self.classes.iter().chain(self.aligned.iter().filter_map(OnceLock::get));
        let of = |stats: millpond::Stats| {
            let misses = stats.fresh + stats.oversize + stats.unpooled;
            (stats.gets.saturating_sub(misses) as usize, misses as usize)
        };
        pools.map(|pool| of(pool.stats())).fold((0, 0), |all, one| (all.0 + one.0, all.1 + one.1))
    }
}

/// What all pools have in common.
fn options(config: PoolConfig) -> BufferPoolBuilder {
    let memory = match config.numa_node {
        Some(node) => Memory::mapped().numa(Node::Preferred(node), Need::Prefer),
        None => Memory::mapped(),
    };
    let builder = millpond::BufferPool::builder().alignment(ALIGNMENT).zeroing(Zeroing::OnReturn).memory(memory);
    builder.max_idle(usize::MAX).budget(&Budget::new(usize::MAX)).overflow(Overflow::Unpooled)
}

fn build(builder: BufferPoolBuilder) -> millpond::BufferPool {
    builder.build().unwrap_or_else(|error| panic!("{error}"))
}

/// The smallest class that holds so many bytes; the largest, if none does, serves what is not pooled.
#[inline]
fn class_of(bytes: usize) -> usize {
    CLASSES[..CLASSES.len() - 1].iter().filter(|&&size| bytes > size).count()
}

impl fmt::Debug for BufferPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BufferPool").field("config", &self.shared.config).field("stats", &self.stats).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// That wiping on return leaves nothing, the tests of `millpond` show.
    #[test]
    fn every_pool_wipes_on_return_and_takes_memory_of_the_node() {
        let pool = BufferPool::new(PoolConfig { numa_node: Some(3), ..PoolConfig::default() });
        let pools = pool.shared.classes.iter().chain([pool.shared.aligned(4096)]);
        for pool in pools {
            let options = format!("{pool:?}");
            assert!(options.contains("zeroing: OnReturn"), "{options}");
            assert!(options.contains("node: Preferred(3)"), "{options}");
        }
    }

    #[test]
    fn the_class_is_the_smallest_that_holds_the_bytes() {
        let classes = [0, 4096, 4097, 65_536, 65_537, 262_144, 262_145, 1_048_576, 1_048_577].map(class_of);
        assert_eq!(classes, [0, 0, 1, 1, 2, 2, 3, 3, 3]);
    }
}
