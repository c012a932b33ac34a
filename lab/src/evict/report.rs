//! What came of the traces: a table for people, and the figures for other programs.

use std::borrow::Cow;
use std::io;

use serde::{Deserialize, Serialize};

use super::replay::Room;
use super::trace::Trace;
use crate::provenance::Stamped;
use crate::size::Bytes;
use crate::table;

/// A trace, and how many of its gets found an idle buffer.
#[derive(Clone, Serialize, Deserialize)]
pub struct Outcome {
    pub trace: String,
    pub classes: usize,
    pub operations: usize,
    pub gets: u64,
    /// Bytes of all classes at their peaks.
    pub peaks: u64,
    pub max_idle: u64,
    pub thread_cache: u64,
    pub hits: Hits,
    /// Percent of the gets, of which every trace has some.
    pub rates: Rates<f64>,
}

/// A figure for each that had to decide what goes.
#[derive(Clone, Copy, Serialize, Deserialize)]
pub struct Rates<T> {
    pub lifo: T,
    pub clock_pro: T,
    pub clairvoyant: T,
}

pub type Hits = Rates<u64>;

impl Outcome {
    pub fn new(trace: &Trace, room: Room, hits: Hits) -> Self {
        let gets = trace.gets();
        let rate = |hits: u64| 100.0 * hits as f64 / gets as f64;
        Self {
            trace: trace.name.clone(),
            classes: trace.classes.len(),
            operations: trace.operations.len(),
            gets,
            peaks: trace.peaks(),
            max_idle: room.max_idle,
            thread_cache: room.thread_cache,
            hits,
            rates: Rates {
                lifo: rate(hits.lifo),
                clock_pro: rate(hits.clock_pro),
                clairvoyant: rate(hits.clairvoyant),
            },
        }
    }

    fn cells(&self) -> [String; 8] {
        let Rates { lifo, clock_pro, clairvoyant } = self.rates;
        [
            self.trace.clone(),
            self.operations.to_string(),
            self.gets.to_string(),
            Bytes(self.max_idle).to_string(),
            format!("{lifo:.2}"),
            format!("{clock_pro:.2}"),
            format!("{clairvoyant:.2}"),
            format!("{:+.2}", clock_pro - lifo),
        ]
    }
}

/// Hit rates in percent, and by how many points they differ.
pub fn table(outcomes: &[Outcome]) -> String {
    let heads = ["trace", "operations", "gets", "max idle", "Lifo %", "ClockPro %", "clairvoyant %", "ClockPro - Lifo"];
    let mut table = table::with_heads(&heads);
    table.add_rows(outcomes.iter().map(Outcome::cells));
    format!("{table}\n")
}

/// The figures for other programs, and for `report`, which reads them again.
#[derive(Serialize, Deserialize)]
pub struct Document<'a> {
    pub traces: Cow<'a, [Outcome]>,
}

/// Writes where the figures come from, and for every trace what was replayed and what came of it.
pub fn write_json(out: impl io::Write, outcomes: &[Outcome]) -> io::Result<()> {
    serde_json::to_writer_pretty(out, &Stamped::now(Document { traces: outcomes.into() }))?;
    Ok(())
}
