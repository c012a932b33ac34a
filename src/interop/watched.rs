//! Pools whose statistics somebody exports, by label.
//!
//! They are held so that they go as they would otherwise: an exporter keeps neither a pool open nor its idle memory.

use std::fmt;
use std::mem;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::bytes::pool::{self, BufferPool, ByteKeeper};
use crate::engine::core::{Keeper, WholeRef};
use crate::object::pool::{self as values, ObjectKeeper, Pool};
use crate::object::reuse::Reuse;
use crate::panics;
use crate::policy::stats::Stats;

/// Pools whose numbers can be exported: [`BufferPool`] and [`Pool`]. Sealed.
pub trait Observe: sealed::Observe {}

impl<P: sealed::Observe> Observe for P {}

pub(crate) mod sealed {
    use super::Probe;

    pub trait Observe {
        /// What the pool is called.
        fn name(&self) -> Option<&str>;

        fn probe(&self) -> Box<dyn Probe>;
    }
}

/// Looks at a pool, also when no handle of it is left.
pub trait Probe: Send + Sync {
    fn stats(&self) -> Stats;

    /// Whether nobody can get anything any more.
    fn is_abandoned(&self) -> bool;
}

impl sealed::Observe for BufferPool {
    fn name(&self) -> Option<&str> {
        self.handle().keeper().name().get()
    }

    fn probe(&self) -> Box<dyn Probe> {
        Box::new(self.handle().hold_whole())
    }
}

impl<T: Reuse + Send + 'static> sealed::Observe for Pool<T> {
    fn name(&self) -> Option<&str> {
        self.handle().keeper().name().get()
    }

    fn probe(&self) -> Box<dyn Probe> {
        Box::new(self.handle().hold_whole())
    }
}

impl Probe for WholeRef<ByteKeeper> {
    fn stats(&self) -> Stats {
        pool::stats(self)
    }

    fn is_abandoned(&self) -> bool {
        is_abandoned(self)
    }
}

impl<T: Reuse + Send + 'static> Probe for WholeRef<ObjectKeeper<T>> {
    fn stats(&self) -> Stats {
        values::stats(self)
    }

    fn is_abandoned(&self) -> bool {
        is_abandoned(self)
    }
}

fn is_abandoned<K: Keeper>(core: &WholeRef<K>) -> bool {
    core.core().is_abandoned()
}

/// The pools of one exporter.
#[derive(Default)]
pub(super) struct Pools(Mutex<Vec<Watched>>);

struct Watched {
    label: String,
    probe: Box<dyn Probe>,
    /// What was said of it last.
    last: Stats,
}

/// What a pool has done and holds, now and when it was asked before.
pub(super) struct Sample {
    pub(super) label: String,
    pub(super) now: Stats,
    #[cfg_attr(not(feature = "metrics-024"), allow(dead_code, reason = "for counters that are told of increments"))]
    pub(super) before: Stats,
}

impl Pools {
    pub(super) fn add(&self, pool: &impl Observe) {
        let name = pool.name().unwrap_or("unnamed");
        let mut pools = self.lock();
        let is_free = |label: &String| pools.iter().all(|watched| watched.label != *label);
        let numbered = (2..).map(|number| format!("{name}-{number}"));
        let label =
            std::iter::once(name.to_owned()).chain(numbered).find(is_free).expect("there are more numbers than pools");
        pools.push(Watched { label, probe: pool.probe(), last: Stats::default() });
    }

    /// What there is to be said of each, in the order in which they were added. Pools of which nothing is left are
    /// told of for the last time.
    pub(super) fn sample(&self) -> Vec<Sample> {
        let (mut samples, mut gone) = (Vec::new(), Vec::new());
        let mut pools = self.lock();
        for mut watched in mem::take(&mut *pools) {
            // Before the statistics, which then are the last.
            let is_abandoned = watched.probe.is_abandoned();
            let now = watched.probe.stats();
            let is_left = !is_abandoned || now.footprint > 0;
            let before = mem::replace(&mut watched.last, now.clone());
            samples.push(Sample { label: watched.label.clone(), now, before });
            if is_left { &mut *pools } else { &mut gone }.push(watched);
        }
        // Without the lock: the last hold of a pool drops what it makes values with, which is user code.
        drop(pools);
        drop(gone);
        panics::resume();
        samples
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Watched>> {
        // No user code runs under this lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Pools {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.lock().iter().map(|watched| &watched.label)).finish()
    }
}
