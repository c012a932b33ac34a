//! The soak for other programs, and for `report`, which reads it again.

use std::borrow::Cow;
use std::io;

use serde::{Deserialize, Serialize};

use super::conduct::{Outcome, Plan};
use super::sample::{self, Sample};
use super::starve;
use super::totals::Totals;
use crate::provenance::Stamped;

#[derive(Serialize, Deserialize)]
pub struct Document<'a> {
    pub seed: u64,
    pub threads: usize,
    pub limit: usize,
    /// Seconds.
    pub asked: f64,
    pub took: f64,
    /// Whether this build can fail allocations.
    pub starves: bool,
    pub verdict: Verdict<'a>,
    pub totals: Cow<'a, Totals>,
    #[serde(deserialize_with = "sample::in_order")]
    pub samples: Cow<'a, [Sample]>,
}

#[derive(Serialize, Deserialize)]
pub struct Verdict<'a> {
    pub passed: bool,
    pub interrupted: bool,
    pub violations: Cow<'a, [String]>,
}

impl Verdict<'_> {
    /// In a few words.
    pub fn text(&self) -> String {
        match self.violations.len() {
            0 if self.interrupted => "ended early, all checks passed".to_owned(),
            0 => "all checks passed".to_owned(),
            1 => "1 CHECK FAILED".to_owned(),
            n => format!("{n} CHECKS FAILED"),
        }
    }
}

impl<'a> Document<'a> {
    pub fn of(plan: &Plan, outcome: &'a Outcome) -> Self {
        let Outcome { took, interrupted, violations, samples, totals, .. } = outcome;
        let verdict =
            Verdict { passed: violations.is_empty(), interrupted: *interrupted, violations: violations.into() };
        Self {
            seed: plan.seed,
            threads: plan.threads,
            limit: plan.limit,
            asked: plan.length.as_secs_f64(),
            took: took.as_secs_f64(),
            starves: starve::CAN,
            verdict,
            totals: Cow::Borrowed(totals),
            samples: samples.into(),
        }
    }
}

pub fn write(out: impl io::Write, plan: &Plan, outcome: &Outcome) -> io::Result<()> {
    serde_json::to_writer_pretty(out, &Stamped::now(Document::of(plan, outcome)))?;
    Ok(())
}
