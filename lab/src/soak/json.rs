//! The soak for other programs.

use std::io;

use serde::Serialize;

use super::conduct::{Outcome, Plan};
use super::sample::Sample;
use super::starve;
use super::totals::Totals;
use crate::process::Machine;

#[derive(Serialize)]
struct Document<'a> {
    machine: Machine,
    version: &'a str,
    command: String,
    seed: u64,
    threads: usize,
    limit: usize,
    /// Seconds.
    asked: f64,
    took: f64,
    /// Whether this build can fail allocations.
    starves: bool,
    verdict: Verdict<'a>,
    totals: &'a Totals,
    samples: &'a [Sample],
}

#[derive(Serialize)]
struct Verdict<'a> {
    passed: bool,
    interrupted: bool,
    violations: &'a [String],
}

pub fn write(out: impl io::Write, plan: &Plan, outcome: &Outcome) -> io::Result<()> {
    let Outcome { took, interrupted, violations, samples, totals, .. } = outcome;
    let document = Document {
        machine: Machine::this(),
        version: env!("CARGO_PKG_VERSION"),
        command: std::env::args().collect::<Vec<_>>().join(" "),
        seed: plan.seed,
        threads: plan.threads,
        limit: plan.limit,
        asked: plan.length.as_secs_f64(),
        took: took.as_secs_f64(),
        starves: starve::CAN,
        verdict: Verdict { passed: violations.is_empty(), interrupted: *interrupted, violations },
        totals,
        samples,
    };
    serde_json::to_writer_pretty(out, &document)?;
    Ok(())
}
