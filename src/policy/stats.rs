//! What a pool has done and holds, in terms that add up.

use std::fmt;
use std::time::Duration;

use crate::engine::store::StoreStats;
use crate::memory::options::{MemoryOption, Need};
use crate::memory::plan::{Plan, Report};
use crate::policy::acquire::Waits;

/// What a pool has done and holds.
///
/// Bytes are counted in blocks, as the classes round them. When nobody uses the pool:
/// `gets = cache_hits + depot_hits + stolen + handed_over + fresh + oversize + unpooled`, and
/// `footprint = outstanding + idle_in_caches + idle_in_depot`. Requests that failed are not gets.
///
/// # Examples
///
/// ```
/// let pool = millpond::BufferPool::new();
/// let kept = pool.get(4096);
/// drop(pool.get(4096));
/// let stats = pool.stats();
/// assert_eq!((stats.outstanding, stats.idle_in_caches), (4096, 4096));
/// println!("{stats}");
/// # drop(kept);
/// ```
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Stats {
    /// Buffers handed out.
    pub gets: u64,
    /// Gets served by the thread's own cache.
    pub cache_hits: u64,
    /// Gets served by the depot.
    pub depot_hits: u64,
    /// Gets served out of other threads' caches, when the system had no memory.
    pub stolen: u64,
    /// Gets served with what another user returned while they waited in line.
    pub handed_over: u64,
    /// Gets served with fresh memory, of a size class.
    pub fresh: u64,
    /// Gets above the largest size class, served with memory of their own.
    pub oversize: u64,
    /// Gets served with memory outside the budget, by [`Overflow::Unpooled`](crate::Overflow::Unpooled).
    pub unpooled: u64,
    /// Bytes the pool holds, idle or out.
    pub footprint: u64,
    /// Bytes out with users.
    pub outstanding: u64,
    /// Idle bytes in threads' caches.
    pub idle_in_caches: u64,
    /// Idle bytes in the depot.
    pub idle_in_depot: u64,
    /// Bytes of headers and tables, and of memory taken from the system beyond the blocks: as reserved, of which less may be
    /// resident. No budget is charged with them.
    pub overhead: u64,
    /// Exchanges with the depot that another thread's exchange made to be tried again.
    pub depot_retries: u64,
    /// Buffers that went from a thread's cache, or in a batch, to the depot of the node on which that thread ran; see
    /// [`Node::Local`](crate::Node::Local). 0 where there is one node.
    pub local_returns: u64,
    /// The same to the depot of another node, which the buffers' memory is on.
    pub remote_returns: u64,
    /// Requests that wait in line now, or were granted and have not been fetched.
    pub waiters: u64,
    /// Requests that had to wait.
    pub waits: u64,
    /// How long all of them waited that wait no more.
    pub waited: Duration,
    /// How long the longest of them waited.
    pub longest_wait: Duration,
    /// What was asked of the memory besides, and how often it was given.
    pub memory: Vec<MemoryStats>,
    /// The same by size class, ascending.
    pub classes: Vec<ClassStats>,
    unit: Unit,
}

/// How it went with an option of a pool's [`Memory`](crate::Memory); see [`Stats::memory`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct MemoryStats {
    /// The option.
    pub option: MemoryOption,
    /// What becomes of requests where the system refuses it.
    pub need: Need,
    /// How often the system was asked: once for each mapping, of which some hold many buffers, and for
    /// [`Memory::prefault`](crate::Memory::prefault) once for each buffer that the pool had not ready.
    pub asked: u64,
    /// How often it did as it was asked.
    pub got: u64,
}

/// What a pool's holdings are counted in.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum Unit {
    #[default]
    Bytes,
    Values,
}

impl Unit {
    fn write(self, amount: u64) -> String {
        match self {
            Unit::Bytes => bytes(amount),
            Unit::Values => amount.to_string(),
        }
    }
}

/// What one size class of a pool has done and holds; see [`Stats`].
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct ClassStats {
    /// The largest request that the class serves, in bytes.
    pub size: u64,
    /// Buffers handed out.
    pub gets: u64,
    /// Gets served by the thread's own cache.
    pub cache_hits: u64,
    /// Gets served by the depot.
    pub depot_hits: u64,
    /// Gets served out of other threads' caches.
    pub stolen: u64,
    /// Gets served with what another user returned while they waited in line.
    pub handed_over: u64,
    /// Gets served with fresh memory.
    pub fresh: u64,
    /// Bytes the class holds, idle or out.
    pub footprint: u64,
    /// Bytes out with users.
    pub outstanding: u64,
    /// Idle bytes in threads' caches.
    pub idle_in_caches: u64,
    /// Idle bytes in the depot.
    pub idle_in_depot: u64,
    /// Exchanges with the depot that had to be tried again.
    pub depot_retries: u64,
    /// Buffers that went to the depot of the node on which the thread ran that brought them.
    pub local_returns: u64,
    /// Buffers that went to the depot of another node.
    pub remote_returns: u64,
}

/// What belongs to no class.
pub(crate) struct Besides<'a> {
    pub(crate) oversize: StoreStats,
    pub(crate) unpooled: StoreStats,
    pub(crate) waits: &'a Waits,
    pub(crate) waiters: u64,
    pub(crate) overhead: usize,
    pub(crate) plan: Option<&'a Plan>,
}

fn hit_rate(gets: u64, misses: u64) -> f64 {
    if gets == 0 { 0.0 } else { (gets - misses.min(gets)) as f64 / gets as f64 }
}

impl Stats {
    /// Of a pool of bytes.
    pub(crate) fn of_bytes(classes: Vec<ClassStats>, besides: &Besides<'_>) -> Self {
        Self::sum(classes, besides, Unit::Bytes)
    }

    /// Of a pool with one class, counted in values.
    pub(crate) fn of_objects(class: ClassStats, besides: &Besides<'_>) -> Self {
        Self::sum(vec![class], besides, Unit::Values)
    }

    fn sum(classes: Vec<ClassStats>, besides: &Besides<'_>, unit: Unit) -> Self {
        let of = |field: fn(&ClassStats) -> u64| classes.iter().map(field).sum::<u64>();
        let Besides { oversize, unpooled, waits, waiters, overhead, plan } = besides;
        let out = match unit {
            Unit::Bytes => oversize.resident_bytes + unpooled.resident_bytes,
            Unit::Values => oversize.resident + unpooled.resident,
        } as u64;
        Stats {
            gets: of(|c| c.gets) + oversize.fresh + unpooled.fresh,
            cache_hits: of(|c| c.cache_hits),
            depot_hits: of(|c| c.depot_hits),
            stolen: of(|c| c.stolen),
            handed_over: of(|c| c.handed_over),
            fresh: of(|c| c.fresh),
            oversize: oversize.fresh,
            unpooled: unpooled.fresh,
            footprint: of(|c| c.footprint) + out,
            outstanding: of(|c| c.outstanding) + out,
            idle_in_caches: of(|c| c.idle_in_caches),
            idle_in_depot: of(|c| c.idle_in_depot),
            overhead: *overhead as u64,
            depot_retries: of(|c| c.depot_retries),
            local_returns: of(|c| c.local_returns),
            remote_returns: of(|c| c.remote_returns),
            waiters: *waiters,
            waits: waits.count(),
            waited: waits.total(),
            longest_wait: waits.longest(),
            memory: plan.iter().flat_map(|plan| plan.reports()).map(MemoryStats::new).collect(),
            classes,
            unit,
        }
    }

    /// Whether its holdings are counted in bytes, and not in values.
    #[cfg(any(feature = "metrics-024", feature = "prometheus-client-025"))]
    pub(crate) fn counts_bytes(&self) -> bool {
        self.unit == Unit::Bytes
    }

    /// The share of gets that found an idle buffer, from 0 to 1; 0 when there were none.
    #[must_use]
    pub fn hit_rate(&self) -> f64 {
        hit_rate(self.gets, self.fresh + self.oversize + self.unpooled)
    }
}

impl MemoryStats {
    fn new(report: Report) -> Self {
        let Report { option, need, asked, got } = report;
        MemoryStats { option, need, asked, got }
    }
}

impl ClassStats {
    pub(crate) fn new(size: usize, block: usize, store: &StoreStats) -> Self {
        let idle = store.in_caches + store.in_depot;
        let bytes = |slots: usize| (slots * block) as u64;
        ClassStats {
            size: size as u64,
            gets: store.cache_hits + store.depot_hits + store.stolen + store.handed_over + store.fresh,
            cache_hits: store.cache_hits,
            depot_hits: store.depot_hits,
            stolen: store.stolen,
            handed_over: store.handed_over,
            fresh: store.fresh,
            footprint: bytes(store.resident.max(idle)),
            outstanding: bytes(store.resident.saturating_sub(idle)),
            idle_in_caches: bytes(store.in_caches),
            idle_in_depot: bytes(store.in_depot),
            depot_retries: store.depot_retries,
            local_returns: store.local_returns,
            remote_returns: store.remote_returns,
        }
    }

    /// The share of gets that found an idle buffer, from 0 to 1; 0 when there were none.
    #[must_use]
    pub fn hit_rate(&self) -> f64 {
        hit_rate(self.gets, self.fresh)
    }
}

const COLUMNS: [&str; 11] =
    ["class", "gets", "hits", "cache", "depot", "stolen", "handed over", "fresh", "out", "in caches", "in depot"];

/// A table: the classes in use, a line for all, and what belongs to no class.
impl fmt::Display for Stats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let used = self.classes.iter().filter(|class| class.gets > 0 || class.footprint > 0);
        let mut rows = vec![COLUMNS.map(String::from)];
        rows.extend(used.map(|class| class.row(self.unit)));
        let all = ClassStats {
            gets: self.gets,
            cache_hits: self.cache_hits,
            depot_hits: self.depot_hits,
            stolen: self.stolen,
            handed_over: self.handed_over,
            fresh: self.fresh,
            outstanding: self.outstanding,
            idle_in_caches: self.idle_in_caches,
            idle_in_depot: self.idle_in_depot,
            ..ClassStats::default()
        };
        let mut last = all.row(self.unit);
        last[0] = "all".into();
        last[2] = format!("{:.1} %", 100.0 * self.hit_rate());
        rows.push(last);
        write_aligned(f, &rows)?;
        let (footprint, overhead) = (self.unit.write(self.footprint), bytes(self.overhead));
        write!(
            f,
            "footprint {footprint}, overhead {overhead}, oversize gets {}, unpooled {}, depot retries {}",
            self.oversize, self.unpooled, self.depot_retries
        )?;
        if self.local_returns + self.remote_returns > 0 {
            write!(f, "\n{} returns to the thread's own node, {} to others", self.local_returns, self.remote_returns)?;
        }
        if self.waits > 0 {
            let (waited, longest) = (self.waited, self.longest_wait);
            write!(f, "\n{} wait, {} have waited, {waited:?} in all, {longest:?} at most", self.waiters, self.waits)?;
        }
        self.memory.iter().try_for_each(|asked| write!(f, "\n{asked}"))
    }
}

impl fmt::Display for MemoryStats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let need = match self.need {
            Need::Require => "required",
            Need::Prefer => "preferred",
        };
        write!(f, "{} {need}: {} of {} times", self.option, self.got, self.asked)
    }
}

impl ClassStats {
    fn row(&self, unit: Unit) -> [String; COLUMNS.len()] {
        [
            bytes(self.size),
            self.gets.to_string(),
            format!("{:.1} %", 100.0 * self.hit_rate()),
            self.cache_hits.to_string(),
            self.depot_hits.to_string(),
            self.stolen.to_string(),
            self.handed_over.to_string(),
            self.fresh.to_string(),
            unit.write(self.outstanding),
            unit.write(self.idle_in_caches),
            unit.write(self.idle_in_depot),
        ]
    }
}

fn write_aligned<const N: usize>(f: &mut fmt::Formatter<'_>, rows: &[[String; N]]) -> fmt::Result {
    let widths: [usize; N] = std::array::from_fn(|i| rows.iter().map(|row| row[i].len()).max().unwrap_or(0));
    for row in rows {
        for (i, (cell, width)) in row.iter().zip(widths).enumerate() {
            let gap = if i == 0 { "" } else { "  " };
            write!(f, "{gap}{cell:>width$}")?;
        }
        writeln!(f)?;
    }
    Ok(())
}

/// A size in the largest unit that leaves it 1 or more: exact when whole, else with one decimal.
pub(crate) fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let unit = (bytes.max(1).ilog2() / 10).min(4);
    let (whole, rest) = (bytes >> (10 * unit), bytes & ((1 << (10 * unit)) - 1));
    match rest {
        0 => format!("{whole} {}", UNITS[unit as usize]),
        _ => format!("{:.1} {}", bytes as f64 / (1u64 << (10 * unit)) as f64, UNITS[unit as usize]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_written_in_the_largest_unit() {
        let written: Vec<_> = [0, 1, 1023, 1024, 1536, 5 << 20, (1 << 30) + 1].map(bytes).into();
        assert_eq!(written, ["0 B", "1 B", "1023 B", "1 KiB", "1.5 KiB", "5 MiB", "1.0 GiB"]);
    }

    #[test]
    fn the_table_is_aligned() {
        let class = ClassStats { size: 4096, gets: 1_000_000, cache_hits: 999_999, fresh: 1, ..ClassStats::default() };
        let waits = Waits::new();
        let (oversize, unpooled) = (StoreStats::default(), StoreStats::default());
        let besides = Besides { oversize, unpooled, waits: &waits, waiters: 0, overhead: 0, plan: None };
        let stats = Stats::of_bytes(vec![class], &besides);
        let table = stats.to_string();
        let lines: Vec<_> = table.lines().collect();
        assert_eq!(lines.len(), 4);
        assert_eq!(lines[0].len(), lines[1].len());
        assert_eq!(lines[0].len(), lines[2].len());
        assert!(lines[3].starts_with("footprint 0 B"));
    }
}
