//! The figures for other programs, and for `report`, which reads them again.

use std::borrow::Cow;
use std::io;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, de};

use super::contender::Kind;
use super::report::Outcome;
use super::resident::Resident;
use super::spread::Spread;
use super::timing::Figures;
use crate::provenance::Stamped;

#[derive(Serialize, Deserialize)]
pub struct Document<'a> {
    pub rounds: usize,
    /// The pause after which `idle` was resident.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idle_seconds: Option<f64>,
    pub rows: Vec<Row<'a>>,
}

#[derive(Serialize, Deserialize)]
pub struct Row<'a> {
    pub row: Cow<'a, str>,
    pub operation: Cow<'a, str>,
    pub contenders: Vec<Contender<'a>>,
}

#[derive(Serialize, Deserialize)]
pub struct Contender<'a> {
    pub contender: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<Kind>,
    #[serde(default, deserialize_with = "positive", skip_serializing_if = "Option::is_none")]
    pub min_ns: Option<f64>,
    #[serde(default, deserialize_with = "positive", skip_serializing_if = "Option::is_none")]
    pub median_ns: Option<f64>,
    /// What operations waited, in the rows that ask.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wait_ns: Option<Waits>,
    /// Per operation, in the rows that ask.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub page_faults: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resident_bytes: Option<Resident>,
    /// Why there are no figures.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cannot: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<Cow<'a, str>>,
}

#[derive(Serialize, Deserialize)]
pub struct Waits {
    pub p50: Wait,
    pub p99: Wait,
    pub longest: Wait,
}

/// Over all rounds.
#[derive(Serialize, Deserialize)]
pub struct Wait {
    pub min: f64,
    pub median: f64,
    pub max: f64,
}

/// What took no time, or less, was not measured.
fn positive<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<f64>, D::Error> {
    match Option::<f64>::deserialize(deserializer)? {
        Some(time) if time <= 0.0 => Err(de::Error::custom(format_args!("{time} is no time that something took"))),
        time => Ok(time),
    }
}

/// Writes where the figures come from, and for every row and contender the nanoseconds per operation and, if somebody
/// looked after a pause, what stayed resident.
pub fn write(out: impl io::Write, rounds: usize, pause: Option<Duration>, outcomes: &[Outcome]) -> io::Result<()> {
    let idle_seconds = pause.map(|pause| pause.as_secs_f64());
    let document = Document { rounds, idle_seconds, rows: outcomes.iter().map(row).collect() };
    serde_json::to_writer_pretty(out, &Stamped::now(document))?;
    Ok(())
}

fn row(outcome: &Outcome) -> Row<'_> {
    let contenders = outcome.measured.iter().map(|measured| Contender {
        contender: measured.contender.into(),
        kind: Some(measured.kind),
        min_ns: measured.figures.ok().map(|figures| figures.min),
        median_ns: measured.figures.ok().map(|figures| figures.median),
        wait_ns: measured.waits.map(waits),
        page_faults: measured.faults,
        resident_bytes: measured.resident,
        cannot: measured.figures.err().map(|cannot| cannot.to_string().into()),
        note: measured.note.as_deref().map(Cow::from),
    });
    Row {
        row: outcome.row.as_str().into(),
        operation: outcome.operation.as_str().into(),
        contenders: contenders.collect(),
    }
}

fn waits(waits: Spread<Figures>) -> Waits {
    let wait = |Figures { min, median, max }| Wait { min, median, max };
    Waits { p50: wait(waits.p50), p99: wait(waits.p99), longest: wait(waits.longest) }
}
