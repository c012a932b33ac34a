//! Statistics under the names of the original.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use super::pool::Shared;

/// What a pool has done and has out, up to date whenever it is looked at.
///
/// Dereferences to the [counters](PoolCounters); to look at one of them visits the magazines of all threads, so it is
/// for observers, not for hot paths. To write to them changes nothing.
///
/// ```
/// use std::sync::atomic::Ordering::Relaxed;
/// use millpond_compat::santh::{BufferPool, PoolConfig};
///
/// let pool = BufferPool::new(PoolConfig::default());
/// let buffer = pool.checkout(64)?;
/// assert_eq!(pool.stats().checked_out.load(Relaxed), 1);
/// assert_eq!(pool.stats().snapshot().bytes_checked_out, 64);
/// # drop(buffer);
/// # Ok::<(), millpond_compat::santh::Error>(())
/// ```
#[derive(Default)]
pub struct PoolStats {
    /// None: nobody's.
    shared: Option<Arc<Shared>>,
    shown: PoolCounters,
}

/// The counters of [`PoolStats`].
#[derive(Debug, Default)]
pub struct PoolCounters {
    /// Checkouts that found an idle buffer, wherever it lay.
    pub hits: AtomicUsize,
    /// Checkouts that took fresh memory.
    pub misses: AtomicUsize,
    /// Buffers out now.
    pub checked_out: AtomicUsize,
    /// The most buffers that were out at once.
    pub peak_checked_out: AtomicUsize,
    /// Bytes out now, as requested.
    pub bytes_checked_out: AtomicUsize,
    /// The most bytes that were out at once, as requested.
    pub peak_bytes_checked_out: AtomicUsize,
}

/// What [`PoolStats`] said at one moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct PoolStatsSnapshot {
    /// Checkouts that found an idle buffer, wherever it lay.
    pub hits: usize,
    /// Checkouts that took fresh memory.
    pub misses: usize,
    /// Buffers out.
    pub checked_out: usize,
    /// The most buffers that were out at once.
    pub peak_checked_out: usize,
    /// Bytes out, as requested.
    pub bytes_checked_out: usize,
    /// The most bytes that were out at once, as requested.
    pub peak_bytes_checked_out: usize,
}

impl PoolStats {
    pub(super) fn of(shared: Arc<Shared>) -> Self {
        PoolStats { shared: Some(shared), shown: PoolCounters::default() }
    }

    /// What they say now. Costs a visit to the magazines of all threads.
    ///
    /// Hits and misses are exact when nobody uses the pool; the others always are.
    ///
    /// ```
    /// use millpond_compat::santh::{BufferPool, PoolConfig};
    ///
    /// let pool = BufferPool::new(PoolConfig { four_kib_count: 1, ..PoolConfig::default() });
    /// drop(pool.checkout(100)?);
    /// assert_eq!((pool.stats().snapshot().hits, pool.stats().snapshot().misses), (1, 0));
    /// # Ok::<(), millpond_compat::santh::Error>(())
    /// ```
    #[must_use]
    pub fn snapshot(&self) -> PoolStatsSnapshot {
        let Some(shared) = &self.shared else { return PoolStatsSnapshot::default() };
        let (out, peak) = (shared.tally().out(), shared.tally().peak());
        let (hits, misses) = shared.hits_and_misses();
        PoolStatsSnapshot {
            hits,
            misses,
            checked_out: out.buffers,
            peak_checked_out: peak.buffers,
            bytes_checked_out: out.bytes,
            peak_bytes_checked_out: peak.bytes,
        }
    }
}

impl Deref for PoolStats {
    type Target = PoolCounters;

    fn deref(&self) -> &PoolCounters {
        let now = self.snapshot();
        self.shown.hits.store(now.hits, Relaxed);
        self.shown.misses.store(now.misses, Relaxed);
        self.shown.checked_out.store(now.checked_out, Relaxed);
        self.shown.peak_checked_out.store(now.peak_checked_out, Relaxed);
        self.shown.bytes_checked_out.store(now.bytes_checked_out, Relaxed);
        self.shown.peak_bytes_checked_out.store(now.peak_bytes_checked_out, Relaxed);
        &self.shown
    }
}

impl fmt::Debug for PoolStats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let now = self.snapshot();
        f.debug_struct("PoolStats")
            .field("hits", &now.hits)
            .field("misses", &now.misses)
            .field("checked_out", &now.checked_out)
            .field("peak_checked_out", &now.peak_checked_out)
            .field("bytes_checked_out", &now.bytes_checked_out)
            .field("peak_bytes_checked_out", &now.peak_bytes_checked_out)
            .finish()
    }
}
