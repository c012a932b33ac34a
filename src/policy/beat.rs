//! A beat: what is due once in a period, for whoever comes by first.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

#[derive(Debug)]
pub(crate) struct Beat {
    period: Duration,
    last: Mutex<Instant>,
}

impl Beat {
    /// Due once in each period from now on.
    pub(crate) fn every(period: Duration) -> Self {
        Beat { period: period.max(Duration::from_nanos(1)), last: Mutex::new(Instant::now()) }
    }

    /// How many periods have passed since they were last taken.
    pub(crate) fn take(&self, now: Instant) -> usize {
        let mut last = self.last();
        let passed = now.saturating_duration_since(*last).as_nanos() / self.period.as_nanos();
        match u32::try_from(passed).ok().and_then(|passed| last.checked_add(self.period.checked_mul(passed)?)) {
            Some(taken) => *last = taken,
            None => *last = now,
        }
        usize::try_from(passed).unwrap_or(usize::MAX)
    }

    /// When the next period is over.
    pub(crate) fn next(&self) -> Instant {
        *self.last() + self.period
    }

    fn last(&self) -> MutexGuard<'_, Instant> {
        // No user code runs under this lock.
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One that is due at the same times.
impl Clone for Beat {
    fn clone(&self) -> Self {
        Beat { period: self.period, last: Mutex::new(*self.last()) }
    }
}
