//! What subscribers of `tracing` are told of requests that are refused or wait, and of memory that goes back.

use std::time::Instant;

#[cfg(feature = "track")]
use tracing_01::warn;
use tracing_01::{Level, debug, enabled, info};

use crate::policy::error::Error;
#[cfg(feature = "track")]
use crate::policy::outstanding::Outstanding;
use crate::policy::pressure::Pressure;
use crate::tell::{Name, tell};

/// The target of all events.
const TARGET: &str = "millpond";

/// A request was refused.
#[cold]
pub(crate) fn refused(pool: &Name, error: &Error) {
    tell(|| {
        let Numbers { requested, available, limit } = Numbers::of(error);
        debug!(target: TARGET, pool = pool.get(), requested, available, limit, %error, "refused");
    });
}

/// A user had idle memory given back.
pub(crate) fn trimmed(pool: &Name, keep: usize, freed: usize) {
    tell(|| debug!(target: TARGET, pool = pool.get(), keep, freed, "trimmed"));
}

/// What nobody needed went back by itself.
pub(crate) fn decayed(pool: &Name, freed: usize) {
    if freed > 0 {
        tell(|| debug!(target: TARGET, pool = pool.get(), freed, "decayed"));
    }
}

/// A pool gave memory back because it is wanted elsewhere.
pub(crate) fn relieved(pool: &Name, level: Pressure, freed: usize) {
    tell(|| debug!(target: TARGET, pool = pool.get(), ?level, freed, "gave way to pressure"));
}

/// The last handle of a pool is gone, and of its buffers or values some are out.
#[cfg(feature = "track")]
pub(crate) fn abandoned(pool: &str, outstanding: &Outstanding) {
    let (count, bytes) = (outstanding.count(), outstanding.bytes());
    tell(|| warn!(target: TARGET, pool, count, bytes, %outstanding, "pool is gone while buffers are out"));
}

/// The kernel tells of another level of memory pressure.
#[cfg_attr(not(all(feature = "pressure", target_os = "linux", not(miri))), allow(dead_code, reason = "nobody asks"))]
pub(crate) fn kernel_says(level: Option<Pressure>) {
    tell(|| match level {
        Some(level) => info!(target: TARGET, ?level, "memory pressure"),
        None => info!(target: TARGET, "memory pressure is over"),
    });
}

/// A request's time in line, as far as somebody wants to know.
#[derive(Debug)]
pub(crate) struct Waiting(Option<Instant>);

impl Waiting {
    pub(crate) fn new() -> Self {
        Waiting(None)
    }

    /// It stands in line, since now or before.
    pub(crate) fn begin(&mut self, pool: &Name, requested: usize) {
        if self.0.is_some() {
            return;
        }
        // To ask is to call the subscriber, too.
        tell(|| {
            if enabled!(target: TARGET, Level::DEBUG) {
                self.0 = Some(Instant::now());
                debug!(target: TARGET, pool = pool.get(), requested, "wait began");
            }
        });
    }

    /// It was served, or refused.
    pub(crate) fn end(&mut self, pool: &Name, error: Option<&Error>) {
        self.over(pool, if error.is_some() { "refused" } else { "served" });
        if let Some(error) = error {
            refused(pool, error);
        }
    }

    /// It left the line.
    pub(crate) fn give_up(&mut self, pool: &Name) {
        self.over(pool, "given up");
    }

    fn over(&mut self, pool: &Name, outcome: &'static str) {
        if let Some(began) = self.0.take() {
            let waited = began.elapsed();
            tell(|| debug!(target: TARGET, pool = pool.get(), outcome, ?waited, "wait ended"));
        }
    }
}

/// The numbers of an error that has any.
#[derive(Default)]
struct Numbers {
    requested: Option<usize>,
    available: Option<usize>,
    limit: Option<usize>,
}

impl Numbers {
    fn of(error: &Error) -> Self {
        let none = Numbers::default();
        match *error {
            Error::OverBudget { requested, available, limit } => {
                Numbers { requested: Some(requested), available: Some(available), limit: Some(limit) }
            }
            Error::TooLarge { requested, limit } | Error::NeverFits { requested, limit } => {
                Numbers { requested: Some(requested), limit: Some(limit), ..none }
            }
            Error::OutOfMemory { requested }
            | Error::Queued { requested }
            | Error::TimedOut { requested, .. }
            | Error::Refused { requested, .. }
            | Error::Source { requested, .. } => Numbers { requested: Some(requested), ..none },
            Error::Exhausted { limit } => Numbers { limit: Some(limit), ..none },
            Error::Create(_) | Error::Closed => none,
        }
    }
}
