//! `metrics` 0.24: pools' numbers for whatever recorder the program has.

use metrics_024::{Key, Label, Level, Metadata, Recorder, with_recorder};

use super::numbers::{FAMILIES, Family, Kind, Point, Unit, Value};
use super::watched::{Observe, Pools, Sample};

const METADATA: Metadata<'static> = Metadata::new("millpond", Level::INFO, None);

/// Hands what pools have done and hold to the recorder, each time it is told to.
///
/// | metric | labels besides `pool` |
/// |---|---|
/// | gauge `millpond_memory_bytes`, of pools of values `millpond_values` | `state`: `outstanding`, `cached`, `depot`; the sum is what the pool holds |
/// | gauge `millpond_overhead_bytes` | |
/// | counter `millpond_gets_total` | `source`: `cache`, `depot`, `stolen`, `handed_over`, `fresh`, `oversize`, `unpooled`; the sum is all gets |
/// | counter `millpond_depot_retries_total` | |
/// | counter `millpond_node_returns_total` | `node`: `local`, `remote` |
/// | gauge `millpond_waiters`, counter `millpond_waits_total` | |
/// | gauges `millpond_wait_seconds`, which only grows, and `millpond_longest_wait_seconds` | |
/// | counter `millpond_memory_options_total` | `option`, and `outcome`: `honoured`, `refused` |
///
/// `pool` is the pool's [name](crate::BufferPoolBuilder::name), or `unnamed`; a second one of a name is `name-2`, and so on.
/// The exporter does not keep a pool open: one whose last handle has gone is recorded until its last buffer is home.
///
/// # Cost
/// Nothing between the calls of [`record`](Self::record).
///
/// # Examples
///
/// ```
/// use millpond::BufferPool;
/// use millpond::metrics_024::PoolExporter;
///
/// let pool = BufferPool::builder().name("frames").build()?;
/// let exporter = PoolExporter::new();
/// exporter.register(&pool);
/// // Every ten seconds or so, on whichever thread:
/// exporter.record();
/// # Ok::<(), millpond::BuildError>(())
/// ```
#[derive(Debug, Default)]
pub struct PoolExporter {
    pools: Pools,
}

impl PoolExporter {
    /// An exporter of no pools.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Has a pool's numbers recorded from the next [`record`](Self::record) on. More pools can be registered at any time.
    pub fn register(&self, pool: &impl Observe) {
        self.pools.add(pool);
    }

    /// Hands the numbers of all pools to the recorder: gauges as they are, counters by what they have grown since the last
    /// call.
    ///
    /// # Cost
    /// [`stats`](crate::BufferPool::stats) for each pool, and about twenty calls of the recorder for each.
    pub fn record(&self) {
        let samples = self.pools.sample();
        with_recorder(|recorder| FAMILIES.iter().for_each(|family| record_family(recorder, family, &samples)));
    }
}

/// The recorder counts in whole numbers alone, so seconds are a gauge whatever they are.
fn is_counter(family: &Family) -> bool {
    family.kind == Kind::Counter && family.unit != Some(Unit::Seconds)
}

fn record_family(recorder: &dyn Recorder, family: &Family, samples: &[Sample]) {
    let (suffix, unit) = match family.unit {
        Some(Unit::Bytes) => ("_bytes", metrics_024::Unit::Bytes),
        Some(Unit::Seconds) => ("_seconds", metrics_024::Unit::Seconds),
        None => ("", metrics_024::Unit::Count),
    };
    let total = if is_counter(family) { "_total" } else { "" };
    let name = [family.name, suffix, total].concat();
    if is_counter(family) {
        recorder.describe_counter(name.clone().into(), Some(unit), family.help.into());
    } else {
        recorder.describe_gauge(name.clone().into(), Some(unit), family.help.into());
    }
    for sample in samples {
        let before = (family.points)(&sample.before);
        for point in (family.points)(&sample.now) {
            // The options of memory are not there before the first look.
            let before = before.iter().find(|before| before.labels == point.labels).map(|before| before.value);
            record_point(recorder, family, key(&name, &sample.label, &point), point.value, before);
        }
    }
}

fn key(name: &str, pool: &str, point: &Point) -> Key {
    let others = point.labels.iter().map(|(label, value)| Label::new(*label, value.clone().into_owned()));
    let labels = Vec::from_iter([Label::new("pool", pool.to_owned())].into_iter().chain(others));
    Key::from_parts(name.to_owned(), labels)
}

fn record_point(recorder: &dyn Recorder, family: &Family, key: Key, value: Value, before: Option<Value>) {
    match value {
        Value::Whole(value) if is_counter(family) => {
            let before = if let Some(Value::Whole(before)) = before { before } else { 0 };
            recorder.register_counter(&key, &METADATA).increment(value.saturating_sub(before));
        }
        Value::Whole(value) => recorder.register_gauge(&key, &METADATA).set(value as f64),
        Value::Seconds(value) => recorder.register_gauge(&key, &METADATA).set(value),
    }
}
