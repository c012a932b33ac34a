//! What there is at one moment.

use std::sync::atomic::Ordering::Relaxed;

use millpond::Stats;
use serde::Serialize;

use super::pond::{Kind, Pond};
use super::scene::Scene;
use super::values::Token;
use crate::process;

/// Bytes, but for the time and the waiters.
#[derive(Clone, Copy, Default, Serialize)]
pub struct Sample {
    /// Seconds since the beginning.
    pub at: f64,
    pub resident: Option<u64>,
    /// What workers hold, of pools that are there and of those that are gone; values by their weight.
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
            sample.outstanding += made.ledger.read().out_bytes;
            if let Some(pond) = made.pond.upgrade() {
                let stats = pond.stats();
                sample.idle += idle(scene, &pond, &stats);
                sample.outstanding += weight_out(scene, &pond, &stats);
                sample.waiters += stats.waiters;
            }
        }
        sample
    }
}

/// What lies idle in a pool. Values that are weighed count as if each weighed the average.
fn idle(scene: &Scene, pond: &Pond, stats: &Stats) -> u64 {
    let idle = stats.idle_in_caches + stats.idle_in_depot;
    match pond.kind {
        Kind::Tokens => idle * size_of::<Token>() as u64,
        Kind::Bricks => share(scene, idle, stats),
        _ => idle,
    }
}

/// What is out and not in the ledger, which does not know what bricks weigh.
fn weight_out(scene: &Scene, pond: &Pond, stats: &Stats) -> u64 {
    if pond.kind == Kind::Bricks { share(scene, stats.outstanding, stats) } else { 0 }
}

fn share(scene: &Scene, bricks: u64, stats: &Stats) -> u64 {
    scene.bricks.load(Relaxed) as u64 * bricks / stats.footprint.max(1)
}
