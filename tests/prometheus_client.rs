//! What a registry of `prometheus-client` writes of pools.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread;

use millpond::prometheus_client_025::PoolCollector;
use millpond::{BufferPool, Pool};
use prometheus_client_025::encoding::text::encode;
use prometheus_client_025::registry::Registry;

const SIZE: usize = 4096;

struct Rig {
    pools: Arc<PoolCollector>,
    registry: Registry,
}

impl Rig {
    fn new() -> Self {
        Self::with_prefix(Registry::default())
    }

    fn with_prefix(mut registry: Registry) -> Self {
        let pools = Arc::new(PoolCollector::new());
        registry.register_collector(Box::new(pools.clone()));
        Rig { pools, registry }
    }

    fn scrape(&self) -> String {
        let mut text = String::new();
        encode(&mut text, &self.registry).unwrap();
        text
    }

    /// The samples by name and labels, each of which must be there once.
    fn samples(&self) -> BTreeMap<String, f64> {
        let mut samples = BTreeMap::new();
        for line in self.scrape().lines().filter(|line| !line.starts_with('#')) {
            let (key, value) = line.rsplit_once(' ').unwrap();
            let twice = samples.insert(key.to_owned(), value.parse().unwrap());
            assert_eq!(twice, None, "{key} is there twice");
        }
        samples
    }
}

fn sum(samples: &BTreeMap<String, f64>, prefix: &str) -> u64 {
    samples.iter().filter(|(key, _)| key.starts_with(prefix)).map(|(_, value)| *value as u64).sum()
}

fn named(name: &str) -> BufferPool {
    BufferPool::builder().name(name).size_classes([SIZE]).build().unwrap()
}

#[test]
fn families_have_units_types_and_help_and_each_is_there_once() {
    let rig = Rig::new();
    let pools = [named("one"), named("two")];
    pools.iter().for_each(|pool| rig.pools.register(pool));
    drop(pools[0].get(SIZE));
    let text = rig.scrape();
    for expected in [
        "# HELP millpond_memory_bytes Memory of buffers, by where it is",
        "# TYPE millpond_memory_bytes gauge",
        "# UNIT millpond_memory_bytes bytes",
        "millpond_memory_bytes{pool=\"one\",state=\"cached\"} 4096",
        "# TYPE millpond_gets counter",
        "millpond_gets_total{pool=\"one\",source=\"fresh\"} 1",
        "millpond_gets_total{pool=\"two\",source=\"fresh\"} 0",
        "# UNIT millpond_wait_seconds seconds",
        "millpond_wait_seconds_total{pool=\"one\"} 0",
        "millpond_longest_wait_seconds{pool=\"one\"} 0",
        "# EOF",
    ] {
        assert!(text.contains(expected), "{expected} is not in\n{text}");
    }
    for family in ["millpond_memory_bytes", "millpond_gets", "millpond_waits"] {
        assert_eq!(text.matches(&format!("# TYPE {family} ")).count(), 1, "{family}");
    }
    assert!(!text.contains("millpond_values"), "a family of nobody is left out");
}

#[test]
fn the_states_add_up_to_what_the_pool_holds() {
    let rig = Rig::new();
    let pool = named("frames");
    rig.pools.register(&pool);
    let kept = pool.get_many([SIZE; 5]);
    drop(pool.get_many([SIZE; 100]));
    let oversize = pool.get(10 * SIZE);
    let (samples, stats) = (rig.samples(), pool.stats());
    let memory = |state: &str| samples[&format!("millpond_memory_bytes{{pool=\"frames\",state=\"{state}\"}}")] as u64;
    assert_eq!(
        [memory("outstanding"), memory("cached"), memory("depot")],
        [stats.outstanding, stats.idle_in_caches, stats.idle_in_depot]
    );
    assert_eq!(sum(&samples, "millpond_memory_bytes"), stats.footprint);
    assert_eq!(memory("outstanding"), 15 * SIZE as u64);
    assert_eq!(sum(&samples, "millpond_gets_total"), stats.gets);
    assert_eq!(samples["millpond_gets_total{pool=\"frames\",source=\"oversize\"}"], 1.0);
    drop((kept, oversize));
}

#[test]
fn pools_of_values_and_pools_without_a_name_have_their_own_labels() {
    let rig = Rig::new();
    let (first, second) = (BufferPool::new(), BufferPool::new());
    let values = Pool::<Vec<u8>>::builder().name("with \"quotes\" and \\").build().unwrap();
    rig.pools.register(&first);
    rig.pools.register(&second);
    rig.pools.register(&values);
    let out = (first.get(SIZE), second.get_many([SIZE; 2]), values.get_many(4));
    let samples = rig.samples();
    assert_eq!(sum(&samples, "millpond_memory_bytes{pool=\"unnamed\","), SIZE as u64);
    assert_eq!(sum(&samples, "millpond_memory_bytes{pool=\"unnamed-2\","), 2 * SIZE as u64);
    assert_eq!(samples[r#"millpond_values{pool="with \"quotes\" and \\",state="outstanding"}"#], 4.0);
    assert_eq!(sum(&samples, "millpond_values"), 4);
    drop(out);
}

#[test]
fn a_collector_keeps_no_pool_open_and_sees_it_off() {
    let rig = Rig::new();
    let pool = named("frames");
    rig.pools.register(&pool);
    let kept = pool.get(SIZE);
    drop(pool.get_many([SIZE; 10]));
    drop(pool);
    assert_eq!(sum(&rig.samples(), "millpond_memory_bytes"), SIZE as u64);
    drop(kept);
    assert_eq!(rig.samples()["millpond_memory_bytes{pool=\"frames\",state=\"outstanding\"}"], 0.0);
    assert_eq!(rig.scrape(), "# EOF\n");
    let again = named("frames");
    rig.pools.register(&again);
    assert!(rig.samples().contains_key("millpond_waits_total{pool=\"frames\"}"));
}

#[test]
fn closed_pools_are_shown_as_long_as_there_are_handles() {
    let rig = Rig::new();
    let pool = named("frames");
    rig.pools.register(&pool);
    pool.close();
    for _ in 0..3 {
        assert_eq!(sum(&rig.samples(), "millpond_memory_bytes{pool=\"frames\""), 0);
    }
}

/// While others work, what is shown may be late but never adds up to more or less than it says.
#[test]
fn scrapes_go_on_while_pools_are_used_and_come_and_go() {
    const TIMES: usize = if cfg!(miri) { 5 } else { 200 };
    let rig = Rig::with_prefix(Registry::with_prefix("app"));
    let lasting = named("lasting");
    rig.pools.register(&lasting);
    thread::scope(|scope| {
        let users = [0, 1].map(|_| {
            scope.spawn(|| {
                for _ in 0..TIMES {
                    let passing = named("passing");
                    rig.pools.register(&passing);
                    drop((lasting.get_many([SIZE; 20]), passing.get(SIZE)));
                }
            })
        });
        while users.iter().any(|user| !user.is_finished()) {
            let samples = rig.samples();
            assert!(samples.contains_key("app_millpond_waits_total{pool=\"lasting\"}"));
        }
        users.into_iter().for_each(|user| user.join().unwrap());
    });
    // Each is shown once more; then those that passed are gone.
    rig.samples();
    let samples = rig.samples();
    assert!(!samples.keys().any(|key| key.contains("passing")));
    assert_eq!(sum(&samples, "app_millpond_memory_bytes"), lasting.stats().footprint);
    assert_eq!(sum(&samples, "app_millpond_gets_total"), 2 * TIMES as u64 * 20);
}
