//! What there is at one moment.

use std::borrow::Cow;
use std::sync::atomic::Ordering::Relaxed;

use millpond::Stats;
use serde::{Deserialize, Deserializer, Serialize, de};

use super::pond::{Kind, Pond};
use super::scene::Scene;
use super::values::Token;
use crate::process;

/// Bytes, but for the time and the waiters.
#[derive(Clone, Copy, Default, Serialize, Deserialize)]
pub struct Sample {
    /// Seconds since the beginning.
    pub at: f64,
    pub resident: Option<u64>,
    /// Of pools that are there as they say it, of those that are gone as workers count it. Values by their weight.
    pub outstanding: u64,
    pub idle: u64,
    pub used: u64,
    pub limit: u64,
    pub crowd_used: u64,
    pub crowd_limit: u64,
    pub waiters: u64,
    pub silent: bool,
}

impl Sample {
    /// Looks at the scene. Exact when nobody works, nearly so meanwhile.
    pub fn take(scene: &Scene, at: f64, silent: bool) -> Self {
        let (root, crowd) = (scene.budgets.root(), scene.budgets.crowd());
        let mut sample = Self {
            at,
            resident: process::resident(),
            used: root.used() as u64,
            limit: root.limit() as u64,
            crowd_used: crowd.used() as u64,
            crowd_limit: crowd.limit() as u64,
            silent,
            ..Self::default()
        };
        for made in scene.made() {
            let Some(pond) = made.pond.upgrade() else {
                sample.outstanding += made.ledger.read().out_bytes;
                continue;
            };
            let stats = pond.stats();
            sample.outstanding += bytes(scene, &pond, stats.outstanding, &stats);
            sample.idle += bytes(scene, &pond, stats.idle_in_caches + stats.idle_in_depot, &stats);
            sample.waiters += stats.waiters;
        }
        sample
    }
}

/// Samples of a file, each later than the one before it.
pub fn in_order<'de, 'a, D: Deserializer<'de>>(deserializer: D) -> Result<Cow<'a, [Sample]>, D::Error> {
    let samples = Vec::<Sample>::deserialize(deserializer)?;
    let mut before = 0.0;
    for &Sample { at, .. } in &samples {
        if at < before {
            return Err(de::Error::custom(format_args!("a sample at {at} s comes after one at {before} s")));
        }
        before = at;
    }
    Ok(samples.into())
}

/// A part of what a pool has. Values that are weighed count as if each weighed the average.
pub fn bytes(scene: &Scene, pond: &Pond, part: u64, stats: &Stats) -> u64 {
    match pond.kind {
        Kind::Tokens => part * size_of::<Token>() as u64,
        Kind::Bricks => scene.bricks.load(Relaxed) as u64 * part / stats.footprint.max(1),
        _ => part,
    }
}
