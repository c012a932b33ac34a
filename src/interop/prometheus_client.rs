//! `prometheus-client` 0.25: a collector that looks at pools when it is scraped.

use std::fmt;

use prometheus_client_025::collector::Collector;
use prometheus_client_025::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet};
use prometheus_client_025::metrics::MetricType;
use prometheus_client_025::registry;

use super::numbers::{FAMILIES, Family, Kind, Point, Unit, Value};
use super::watched::{Observe, Pools, Sample};

/// What pools have done and hold, as of each scrape.
///
/// | family | labels besides `pool` |
/// |---|---|
/// | `millpond_memory_bytes`, of pools of values `millpond_values` | `state`: `outstanding`, `cached`, `depot`; the sum is what the pool holds |
/// | `millpond_overhead_bytes` | |
/// | `millpond_gets_total` | `source`: `cache`, `depot`, `stolen`, `handed_over`, `fresh`, `oversize`, `unpooled`; the sum is all gets |
/// | `millpond_depot_retries_total` | |
/// | `millpond_node_returns_total` | `node`: `local`, `remote` |
/// | `millpond_waiters` | |
/// | `millpond_waits_total`, `millpond_wait_seconds_total`, `millpond_longest_wait_seconds` | |
/// | `millpond_memory_options_total` | `option`, and `outcome`: `honoured`, `refused` |
///
/// `pool` is the pool's [name](crate::BufferPoolBuilder::name), or `unnamed`; a second one of a name is `name-2`, and so on.
/// The collector does not keep a pool open: one whose last handle has gone is shown until its last buffer is home.
///
/// # Cost
/// Nothing between scrapes. A scrape costs [`stats`](crate::BufferPool::stats) for each pool, and the text.
///
/// # Examples
///
/// ```
/// use std::sync::Arc;
///
/// use millpond::BufferPool;
/// use millpond::prometheus_client_025::PoolCollector;
/// use prometheus_client_025::encoding::text::encode;
/// use prometheus_client_025::registry::Registry;
///
/// let pool = BufferPool::builder().name("frames").build()?;
/// let pools = Arc::new(PoolCollector::new());
/// pools.register(&pool);
/// let mut registry = Registry::default();
/// registry.register_collector(Box::new(pools.clone()));
///
/// let frame = pool.get(4096);
/// let mut text = String::new();
/// encode(&mut text, &registry)?;
/// assert!(text.contains(r#"millpond_memory_bytes{pool="frames",state="outstanding"} 4096"#));
/// # drop(frame);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Default)]
pub struct PoolCollector {
    pools: Pools,
}

impl PoolCollector {
    /// A collector of no pools.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Has a pool's numbers collected from now on. More pools can be registered at any time.
    pub fn register(&self, pool: &impl Observe) {
        self.pools.add(pool);
    }
}

impl Collector for PoolCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let samples = self.pools.sample();
        FAMILIES.iter().try_for_each(|family| write_family(&mut encoder, family, &samples))
    }
}

fn write_family(encoder: &mut DescriptorEncoder<'_>, family: &Family, samples: &[Sample]) -> fmt::Result {
    let of_pool = |sample| (family.points)(sample).into_iter();
    let points =
        Vec::from_iter(samples.iter().flat_map(|sample| of_pool(&sample.now).map(|point| (&*sample.label, point))));
    if points.is_empty() {
        return Ok(());
    }
    let unit = family.unit.map(|unit| match unit {
        Unit::Bytes => registry::Unit::Bytes,
        Unit::Seconds => registry::Unit::Seconds,
    });
    let kind = match family.kind {
        Kind::Gauge => MetricType::Gauge,
        Kind::Counter => MetricType::Counter,
    };
    let mut metric = encoder.encode_descriptor(family.name, family.help, unit.as_ref(), kind)?;
    points.iter().try_for_each(|(pool, point)| write_point(&mut metric, family.kind, pool, point))
}

fn write_point(metric: &mut MetricEncoder<'_>, kind: Kind, pool: &str, point: &Point) -> fmt::Result {
    let others = point.labels.iter().map(|(label, value)| (*label, &**value));
    let labels = Vec::from_iter([("pool", pool)].into_iter().chain(others));
    let mut member = metric.encode_family(&labels)?;
    match (kind, point.value) {
        (Kind::Gauge, Value::Whole(value)) => member.encode_gauge(&value),
        (Kind::Gauge, Value::Seconds(value)) => member.encode_gauge(&value),
        (Kind::Counter, Value::Whole(value)) => member.encode_counter::<NoLabelSet, _, u64>(&value, None),
        (Kind::Counter, Value::Seconds(value)) => member.encode_counter::<NoLabelSet, _, u64>(&value, None),
    }
}
