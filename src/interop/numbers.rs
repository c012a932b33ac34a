//! The numbers of a pool as families of metrics, the same for all exporters.
//!
//! Within a family the labels are disjoint: its sum over them is a number that means something.

use std::borrow::Cow;

use crate::policy::stats::{MemoryStats, Stats};

pub(super) struct Family {
    /// Without the unit, and without `_total`.
    pub(super) name: &'static str,
    pub(super) help: &'static str,
    pub(super) kind: Kind,
    pub(super) unit: Option<Unit>,
    pub(super) points: fn(&Stats) -> Vec<Point>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Gauge,
    /// Only grows.
    Counter,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    Bytes,
    Seconds,
}

pub(super) struct Point {
    pub(super) labels: Vec<(&'static str, Cow<'static, str>)>,
    pub(super) value: Value,
}

#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) enum Value {
    Whole(u64),
    Seconds(f64),
}

pub(super) const FAMILIES: [Family; 11] = [
    Family {
        name: "millpond_memory",
        help: "Memory of buffers, by where it is: outstanding with users, cached by threads, or in the depot",
        kind: Kind::Gauge,
        unit: Some(Unit::Bytes),
        points: |stats| if stats.counts_bytes() { states(stats) } else { Vec::new() },
    },
    Family {
        name: "millpond_values",
        help: "Values of an object pool, by where they are: outstanding with users, cached by threads, or in the depot",
        kind: Kind::Gauge,
        unit: None,
        points: |stats| if stats.counts_bytes() { Vec::new() } else { states(stats) },
    },
    Family {
        name: "millpond_overhead",
        help: "Headers and tables, and memory taken from the system beyond the buffers",
        kind: Kind::Gauge,
        unit: Some(Unit::Bytes),
        points: |stats| one(stats.overhead),
    },
    Family {
        name: "millpond_gets",
        help: "Buffers or values handed out, by where they came from",
        kind: Kind::Counter,
        unit: None,
        points: gets,
    },
    Family {
        name: "millpond_depot_retries",
        help: "Exchanges with the depot that another thread's exchange made to be tried again",
        kind: Kind::Counter,
        unit: None,
        points: |stats| one(stats.depot_retries),
    },
    Family {
        name: "millpond_node_returns",
        help: "Buffers that went to the depot of the node on which the thread ran, or of another",
        kind: Kind::Counter,
        unit: None,
        points: |stats| by("node", [("local", stats.local_returns), ("remote", stats.remote_returns)]),
    },
    Family {
        name: "millpond_waiters",
        help: "Requests that wait in line",
        kind: Kind::Gauge,
        unit: None,
        points: |stats| one(stats.waiters),
    },
    Family {
        name: "millpond_waits",
        help: "Requests that had to wait",
        kind: Kind::Counter,
        unit: None,
        points: |stats| one(stats.waits),
    },
    Family {
        name: "millpond_wait",
        help: "How long all requests waited that wait no more",
        kind: Kind::Counter,
        unit: Some(Unit::Seconds),
        points: |stats| vec![Point { labels: Vec::new(), value: Value::Seconds(stats.waited.as_secs_f64()) }],
    },
    Family {
        name: "millpond_longest_wait",
        help: "How long the longest of the waits was",
        kind: Kind::Gauge,
        unit: Some(Unit::Seconds),
        points: |stats| vec![Point { labels: Vec::new(), value: Value::Seconds(stats.longest_wait.as_secs_f64()) }],
    },
    Family {
        name: "millpond_memory_options",
        help: "What was asked of the system for memory, by how it went",
        kind: Kind::Counter,
        unit: None,
        points: |stats| stats.memory.iter().flat_map(outcomes).collect(),
    },
];

/// All that the pool holds; the sum is its footprint.
fn states(stats: &Stats) -> Vec<Point> {
    by("state", [("outstanding", stats.outstanding), ("cached", stats.idle_in_caches), ("depot", stats.idle_in_depot)])
}

/// The sum is the number of all gets.
fn gets(stats: &Stats) -> Vec<Point> {
    let sources = [
        ("cache", stats.cache_hits),
        ("depot", stats.depot_hits),
        ("stolen", stats.stolen),
        ("handed_over", stats.handed_over),
        ("fresh", stats.fresh),
        ("oversize", stats.oversize),
        ("unpooled", stats.unpooled),
    ];
    by("source", sources)
}

fn outcomes(asked: &MemoryStats) -> [Point; 2] {
    [("honoured", asked.got), ("refused", asked.asked.saturating_sub(asked.got))].map(|(outcome, value)| Point {
        labels: vec![("option", asked.option.to_string().into()), ("outcome", outcome.into())],
        value: Value::Whole(value),
    })
}

fn by<const N: usize>(label: &'static str, parts: [(&'static str, u64); N]) -> Vec<Point> {
    let point =
        |(part, value): (&'static str, u64)| Point { labels: vec![(label, part.into())], value: Value::Whole(value) };
    parts.map(point).into()
}

fn one(value: u64) -> Vec<Point> {
    vec![Point { labels: Vec::new(), value: Value::Whole(value) }]
}
