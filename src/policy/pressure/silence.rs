//! Where nobody tells of memory pressure.

use std::time::Instant;

use crate::policy::beat::Beat;
use crate::policy::pressure::Pressure;

/// There is none.
#[derive(Debug)]
pub(crate) enum Gauge {}

impl Gauge {
    pub(crate) fn of_process() -> Option<&'static Gauge> {
        None
    }

    pub(crate) fn beat(&self) -> Beat {
        match *self {}
    }

    pub(crate) fn level(&self, _: Instant) -> Option<Pressure> {
        match *self {}
    }
}
