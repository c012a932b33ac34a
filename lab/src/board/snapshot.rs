//! How a command is doing at one moment, as a line of JSON.

use millpond::Stats;
use serde::{Deserialize, Serialize};

/// Bytes, but for counts and times.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    pub process: u32,
    /// The command line.
    pub command: String,
    /// Seconds since it began.
    pub at: f64,
    /// How far it is, from 0 to 1.
    pub progress: f64,
    /// What it is doing.
    pub phase: String,
    /// Since the beginning, or since somebody looked for the first time.
    pub origins: Origins,
    pub memory: Memory,
    /// Of the whole process.
    pub resident: Option<u64>,
    pub waiters: u64,
    pub budgets: Vec<BudgetState>,
    pub pools: Vec<PoolState>,
}

/// Where gets were served from: `Stats` says what each means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Origins {
    pub cache: u64,
    pub depot: u64,
    pub stolen: u64,
    pub handed_over: u64,
    pub fresh: u64,
    pub oversize: u64,
    pub unpooled: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Memory {
    pub outstanding: u64,
    pub in_caches: u64,
    pub in_depot: u64,
    pub overhead: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct BudgetState {
    pub name: String,
    pub used: u64,
    pub limit: u64,
    pub peak: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PoolState {
    pub name: String,
    pub origins: Origins,
    pub memory: Memory,
    pub waiters: u64,
}

impl Origins {
    pub const NAMES: [&str; 7] = ["cache", "depot", "stolen", "handed over", "fresh", "oversize", "unpooled"];

    pub fn of(stats: &Stats) -> Self {
        Self {
            cache: stats.cache_hits,
            depot: stats.depot_hits,
            stolen: stats.stolen,
            handed_over: stats.handed_over,
            fresh: stats.fresh,
            oversize: stats.oversize,
            unpooled: stats.unpooled,
        }
    }

    /// In the order of the names.
    pub fn counts(&self) -> [u64; 7] {
        let Self { cache, depot, stolen, handed_over, fresh, oversize, unpooled } = *self;
        [cache, depot, stolen, handed_over, fresh, oversize, unpooled]
    }

    fn from_counts([cache, depot, stolen, handed_over, fresh, oversize, unpooled]: [u64; 7]) -> Self {
        Self { cache, depot, stolen, handed_over, fresh, oversize, unpooled }
    }

    pub fn gets(&self) -> u64 {
        self.counts().iter().sum()
    }

    /// Gets that found an idle buffer.
    pub fn hits(&self) -> u64 {
        self.cache + self.depot + self.stolen + self.handed_over
    }

    pub fn plus(self, other: Self) -> Self {
        let (one, other) = (self.counts(), other.counts());
        Self::from_counts(std::array::from_fn(|at| one[at] + other[at]))
    }

    /// What came since; nothing where less is there than before.
    pub fn since(self, before: Self) -> Self {
        let (now, before) = (self.counts(), before.counts());
        Self::from_counts(std::array::from_fn(|at| now[at].saturating_sub(before[at])))
    }
}

impl Memory {
    pub fn footprint(&self) -> u64 {
        self.outstanding + self.in_caches + self.in_depot
    }

    pub fn plus(self, other: Self) -> Self {
        Self {
            outstanding: self.outstanding + other.outstanding,
            in_caches: self.in_caches + other.in_caches,
            in_depot: self.in_depot + other.in_depot,
            overhead: self.overhead + other.overhead,
        }
    }
}

impl Snapshot {
    /// Adds up what the pools have.
    pub fn sum_of_pools(mut self) -> Self {
        self.origins = self.pools.iter().fold(self.origins, |sum, pool| sum.plus(pool.origins));
        self.memory = self.pools.iter().fold(self.memory, |sum, pool| sum.plus(pool.memory));
        self.waiters += self.pools.iter().map(|pool| pool.waiters).sum::<u64>();
        self
    }
}

impl BudgetState {
    pub fn of(name: &str, budget: &millpond::Budget) -> Self {
        let [used, limit, peak] = [budget.used(), budget.limit(), budget.peak()].map(|bytes| bytes as u64);
        Self { name: name.to_owned(), used, limit, peak }
    }
}

impl PoolState {
    /// Of a pool of bytes.
    pub fn of(name: &str, stats: &Stats) -> Self {
        let Stats { outstanding, idle_in_caches, idle_in_depot, overhead, waiters, .. } = *stats;
        let memory = Memory { outstanding, in_caches: idle_in_caches, in_depot: idle_in_depot, overhead };
        Self { name: name.to_owned(), origins: Origins::of(stats), memory, waiters }
    }
}
