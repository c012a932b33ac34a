//! What a recorder of `metrics` is told of pools.

use std::collections::BTreeMap;
use std::time::Duration;

use metrics_024::{SharedString, Unit, with_local_recorder};
use metrics_util::MetricKind;
use metrics_util::debugging::{DebugValue, DebuggingRecorder, Snapshotter};
use millpond::metrics_024::PoolExporter;
use millpond::{BufferPool, Memory, Need, Pool, PooledBuf};

const SIZE: usize = 4096;

/// What was recorded since the last look, by name and labels as Prometheus writes them.
fn recorded(snapshotter: &Snapshotter) -> BTreeMap<String, (MetricKind, Option<Unit>, Option<SharedString>, f64)> {
    let line = |(key, unit, help, value): (metrics_util::CompositeKey, _, _, _)| {
        let labels: Vec<_> = key.key().labels().map(|label| format!("{}={}", label.key(), label.value())).collect();
        let value = match value {
            DebugValue::Counter(value) => value as f64,
            DebugValue::Gauge(value) => value.into_inner(),
            DebugValue::Histogram(_) => panic!("there are none"),
        };
        (format!("{}{{{}}}", key.key().name(), labels.join(",")), (key.kind(), unit, help, value))
    };
    snapshotter.snapshot().into_vec().into_iter().map(line).collect()
}

struct Rig {
    recorder: DebuggingRecorder,
    exporter: PoolExporter,
}

impl Rig {
    fn new() -> Self {
        Rig { recorder: DebuggingRecorder::new(), exporter: PoolExporter::new() }
    }

    fn record(&self) {
        with_local_recorder(&self.recorder, || self.exporter.record());
    }

    /// Gauges as they are; counters as they have grown since the last call, since a snapshot takes them.
    fn values(&self) -> BTreeMap<String, f64> {
        self.record();
        recorded(&self.recorder.snapshotter()).into_iter().map(|(key, (.., value))| (key, value)).collect()
    }
}

fn sum(values: &BTreeMap<String, f64>, prefix: &str) -> f64 {
    values.iter().filter(|(key, _)| key.starts_with(prefix)).map(|(_, value)| value).sum()
}

fn named(name: &str) -> BufferPool {
    BufferPool::builder().name(name).size_classes([SIZE]).build().unwrap()
}

#[test]
fn the_states_add_up_to_what_the_pool_holds() {
    let rig = Rig::new();
    let pool = named("frames");
    rig.exporter.register(&pool);
    let kept: Vec<PooledBuf> = (0..3).map(|_| pool.get(SIZE)).collect();
    drop(pool.get_many([SIZE; 100]));
    let (values, stats) = (rig.values(), pool.stats());
    let memory = |state: &str| values[&format!("millpond_memory_bytes{{pool=frames,state={state}}}")] as u64;
    assert_eq!(
        [memory("outstanding"), memory("cached"), memory("depot")],
        [stats.outstanding, stats.idle_in_caches, stats.idle_in_depot]
    );
    assert_eq!(memory("outstanding"), 3 * SIZE as u64);
    assert!(memory("cached") > 0 && memory("depot") > 0);
    assert_eq!(sum(&values, "millpond_memory_bytes{pool=frames") as u64, stats.footprint);
    assert_eq!(sum(&values, "millpond_gets_total{pool=frames") as u64, stats.gets);
    assert_eq!(values["millpond_gets_total{pool=frames,source=fresh}"] as u64, stats.fresh);
    assert_eq!(values["millpond_overhead_bytes{pool=frames}"] as u64, stats.overhead);
    assert!(!values.keys().any(|key| key.starts_with("millpond_values")));
    drop(kept);
}

#[test]
fn counters_are_told_what_was_added_and_gauges_what_there_is() {
    let rig = Rig::new();
    let pool = named("frames");
    drop(pool.get(SIZE));
    rig.exporter.register(&pool);
    let hits = "millpond_gets_total{pool=frames,source=cache}";
    let fresh = "millpond_gets_total{pool=frames,source=fresh}";
    let values = rig.values();
    assert_eq!((values[fresh], values[hits]), (1.0, 0.0), "also what was before");
    (0..10).for_each(|_| drop(pool.get(SIZE)));
    let values = rig.values();
    assert_eq!((values[fresh], values[hits]), (0.0, 10.0));
    assert_eq!(sum(&values, "millpond_memory_bytes"), SIZE as f64);
    let values = rig.values();
    assert_eq!((values[fresh], values[hits]), (0.0, 0.0));
    assert_eq!(sum(&values, "millpond_memory_bytes"), SIZE as f64);
}

#[test]
fn waits_are_counted_and_timed() {
    let rig = Rig::new();
    let pool = BufferPool::builder().name("narrow").size_classes([SIZE]).max_memory(SIZE).build().unwrap();
    rig.exporter.register(&pool);
    let first = pool.get(SIZE);
    let waiter = std::thread::spawn({
        let pool = pool.clone();
        move || drop(pool.acquire(SIZE).wait().unwrap())
    });
    while pool.stats().waiters == 0 {
        std::thread::yield_now();
    }
    std::thread::sleep(Duration::from_millis(20));
    assert_eq!(rig.values()["millpond_waiters{pool=narrow}"], 1.0);
    drop(first);
    waiter.join().unwrap();
    let values = rig.values();
    assert_eq!(values["millpond_waiters{pool=narrow}"], 0.0);
    assert_eq!(pool.stats().waits, 1);
    let seconds = values["millpond_wait_seconds{pool=narrow}"];
    assert!((0.02..60.0).contains(&seconds), "{seconds}");
    assert_eq!(values["millpond_longest_wait_seconds{pool=narrow}"], seconds);
    assert_eq!(values["millpond_gets_total{pool=narrow,source=handed_over}"], 1.0);
}

#[test]
fn pools_of_values_and_pools_without_a_name_have_their_own_labels() {
    let rig = Rig::new();
    let (first, second, other) = (BufferPool::new(), BufferPool::new(), named("unnamed-2"));
    let values = Pool::<Vec<u8>>::builder().name("unnamed").build().unwrap();
    rig.exporter.register(&first);
    rig.exporter.register(&other);
    rig.exporter.register(&second);
    rig.exporter.register(&values);
    assert_eq!(format!("{:?}", rig.exporter).matches("unnamed").count(), 4);
    let out = (first.get(SIZE), second.get_many([SIZE; 2]), other.get_many([SIZE; 3]), values.get_many(4));
    let recorded = rig.values();
    let bytes = |label: &str| sum(&recorded, &format!("millpond_memory_bytes{{pool={label},")) / SIZE as f64;
    assert_eq!([bytes("unnamed"), bytes("unnamed-2"), bytes("unnamed-3")], [1.0, 3.0, 2.0]);
    assert_eq!(recorded["millpond_values{pool=unnamed-4,state=outstanding}"], 4.0);
    assert_eq!(sum(&recorded, "millpond_values"), 4.0);
    assert!(!recorded.contains_key("millpond_memory_bytes{pool=unnamed-4,state=outstanding}"));
    drop(out);
}

#[test]
fn an_exporter_keeps_no_pool_open_and_sees_it_off() {
    let rig = Rig::new();
    let pool = named("frames");
    rig.exporter.register(&pool);
    let kept = pool.get(SIZE);
    drop(pool.get_many([SIZE; 10]));
    rig.record();
    drop(pool);
    let values = rig.values();
    assert_eq!(values["millpond_memory_bytes{pool=frames,state=outstanding}"], SIZE as f64);
    assert_eq!(sum(&values, "millpond_memory_bytes"), SIZE as f64, "what was idle went with the last handle");
    drop(kept);
    assert_eq!(sum(&rig.values(), "millpond_memory_bytes"), 0.0);
    // Seen off: the name is free again, and its counters go on.
    let again = named("frames");
    rig.exporter.register(&again);
    drop(again.get(SIZE));
    let values = rig.values();
    assert_eq!(values["millpond_gets_total{pool=frames,source=fresh}"], 1.0);
    assert!(!values.keys().any(|key| key.contains("frames-2")));
}

#[test]
fn units_and_help_are_described() {
    let rig = Rig::new();
    let pool = BufferPool::builder().memory(Memory::mapped().guard_pages(Need::Prefer)).build().unwrap();
    rig.exporter.register(&pool);
    drop(pool.get(SIZE));
    rig.record();
    let recorded = recorded(&rig.recorder.snapshotter());
    for (key, (kind, unit, help, _)) in &recorded {
        let name = key.split('{').next().unwrap();
        let expected = match name {
            _ if name.ends_with("_bytes") => Unit::Bytes,
            _ if name.ends_with("_seconds") => Unit::Seconds,
            _ => Unit::Count,
        };
        assert_eq!(*unit, Some(expected), "{name}");
        assert_eq!(*kind == MetricKind::Counter, name.ends_with("_total"), "{name}");
        assert!(help.as_ref().is_some_and(|help| help.len() > 10), "{name}");
    }
    let honoured = recorded["millpond_memory_options_total{pool=unnamed,option=guard_pages,outcome=honoured}"].3;
    assert_eq!(honoured as u64, pool.stats().memory[0].got);
    assert!(
        honoured + recorded["millpond_memory_options_total{pool=unnamed,option=guard_pages,outcome=refused}"].3 >= 1.0
    );
}

#[test]
fn without_a_recorder_nothing_happens() {
    let exporter = PoolExporter::new();
    exporter.register(&BufferPool::new());
    exporter.record();
    exporter.record();
}
