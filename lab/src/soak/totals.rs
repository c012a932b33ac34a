//! What a soak did, in numbers.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::sample::Sample;
use super::scene::Scene;

#[derive(Clone, Default, Serialize, Deserialize)]
pub struct Totals {
    pub operations: BTreeMap<String, u64>,
    pub refusals: BTreeMap<String, u64>,
    /// Values that `try_create` did not make; allocations that failed.
    pub create_failures: u64,
    pub allocation_failures: u64,
    /// Large requests that the system refused.
    pub system_failures: u64,
    pub checkpoints: u64,
    /// Those at which no thread was inside `wait`.
    pub exact_checkpoints: u64,
    /// Numbers that were compared at checkpoints.
    pub compared: u64,
    #[serde(rename = "longest_pause_seconds", serialize_with = "seconds", deserialize_with = "of_seconds")]
    pub longest_pause: Duration,
    pub silences: u64,
    /// Those long enough for all idle memory to come back.
    pub decayed_silences: u64,
    pub resident_at_start: Option<u64>,
    pub resident_peak: Option<u64>,
    /// At the end of each long silence.
    pub resident_in_silences: Vec<u64>,
    pub resident_at_end: Option<u64>,
    pub most_waiters: u64,
}

fn seconds<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(duration.as_secs_f64())
}

fn of_seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    Duration::try_from_secs_f64(f64::deserialize(deserializer)?).map_err(de::Error::custom)
}

impl Totals {
    pub fn saw(&mut self, sample: &Sample) {
        self.resident_peak = self.resident_peak.max(sample.resident);
        self.most_waiters = self.most_waiters.max(sample.waiters);
    }

    pub fn count(&mut self, scene: &Scene) {
        self.operations = scene.counts.operations();
        self.refusals = scene.counts.refusals();
        self.create_failures = scene.create_failures.load(Relaxed) as u64;
    }
}
