//! The figures for other programs.

use std::io;
use std::time::Duration;

use serde::Serialize;

use super::report::Outcome;
use super::resident::Resident;
use super::spread::Spread;
use super::timing::Figures;
use crate::process::Machine;

#[derive(Serialize)]
struct Document<'a> {
    machine: Machine,
    /// The command line that gave these figures.
    command: String,
    rounds: usize,
    /// The pause after which `idle` was resident.
    #[serde(skip_serializing_if = "Option::is_none")]
    idle_seconds: Option<f64>,
    rows: Vec<Line<'a>>,
}

#[derive(Serialize)]
struct Line<'a> {
    row: &'a str,
    operation: &'a str,
    contenders: Vec<Contender<'a>>,
}

#[derive(Serialize)]
struct Contender<'a> {
    contender: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    min_ns: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    median_ns: Option<f64>,
    /// What operations waited, in the rows that ask.
    #[serde(skip_serializing_if = "Option::is_none")]
    wait_ns: Option<Waits>,
    /// Per operation, in the rows that ask.
    #[serde(skip_serializing_if = "Option::is_none")]
    page_faults: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resident_bytes: Option<Resident>,
    /// Why there are no figures.
    #[serde(skip_serializing_if = "Option::is_none")]
    cannot: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<&'a str>,
}

#[derive(Serialize)]
struct Waits {
    p50: Wait,
    p99: Wait,
    longest: Wait,
}

/// Over all rounds.
#[derive(Serialize)]
struct Wait {
    min: f64,
    median: f64,
    max: f64,
}

/// Writes machine, command, and for every row and contender the nanoseconds per operation and, if somebody looked after
/// a pause, what stayed resident.
pub fn write(out: impl io::Write, rounds: usize, pause: Option<Duration>, outcomes: &[Outcome]) -> io::Result<()> {
    let command = std::env::args().collect::<Vec<_>>().join(" ");
    let idle_seconds = pause.map(|pause| pause.as_secs_f64());
    let rows = outcomes.iter().map(line).collect();
    let document = Document { machine: Machine::this(), command, rounds, idle_seconds, rows };
    serde_json::to_writer_pretty(out, &document)?;
    Ok(())
}

fn line(outcome: &Outcome) -> Line<'_> {
    let contenders = outcome.measured.iter().map(|measured| Contender {
        contender: measured.contender,
        min_ns: measured.figures.ok().map(|figures| figures.min),
        median_ns: measured.figures.ok().map(|figures| figures.median),
        wait_ns: measured.waits.map(waits),
        page_faults: measured.faults,
        resident_bytes: measured.resident,
        cannot: measured.figures.err().map(|cannot| cannot.to_string()),
        note: measured.note.as_deref(),
    });
    Line { row: &outcome.row, operation: &outcome.operation, contenders: contenders.collect() }
}

fn waits(waits: Spread<Figures>) -> Waits {
    let wait = |Figures { min, median, max }| Wait { min, median, max };
    Waits { p50: wait(waits.p50), p99: wait(waits.p99), longest: wait(waits.longest) }
}
