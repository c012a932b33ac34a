//! What a soak shows to those who look at it while it runs.

use std::collections::BTreeMap;
use std::time::Duration;

use super::conduct::Plan;
use super::pond::{KINDS, Kind};
use super::sample;
use super::scene::Scene;
use crate::board::snapshot::{BudgetState, Memory, Origins, PoolState, Snapshot};
use crate::{process, provenance};

/// Counts of all pools of a kind, of which new ones are made all the time.
#[derive(Default)]
pub struct Tally {
    kinds: [Origins; KINDS.len()],
    /// What the pools that are there said the last time, by their numbers.
    seen: BTreeMap<usize, Origins>,
}

impl Tally {
    /// A look at the scene. What pools do between the last look and their end is missing.
    pub fn look(&mut self, scene: &Scene, plan: &Plan, passed: Duration, phase: &str) -> Snapshot {
        let mut pools = KINDS.map(|kind| PoolState { name: kind.name().to_owned(), ..PoolState::default() });
        let mut seen = BTreeMap::new();
        for made in scene.made() {
            let state = &mut pools[made.kind as usize];
            let Some(pond) = made.pond.upgrade() else {
                state.memory.outstanding += made.ledger.read().out_bytes;
                continue;
            };
            let stats = pond.stats();
            let origins = Origins::of(&stats);
            self.add(made.kind, made.generation, origins);
            seen.insert(made.generation, origins);
            let bytes = |part| sample::bytes(scene, &pond, part, &stats);
            state.memory = state.memory.plus(Memory {
                outstanding: bytes(stats.outstanding),
                in_caches: bytes(stats.idle_in_caches),
                in_depot: bytes(stats.idle_in_depot),
                overhead: stats.overhead,
            });
            state.waiters += stats.waiters;
        }
        self.seen = seen;
        for (state, origins) in pools.iter_mut().zip(self.kinds) {
            state.origins = origins;
        }
        let snapshot = Snapshot {
            process: std::process::id(),
            command: provenance::command(),
            at: passed.as_secs_f64(),
            progress: (passed.as_secs_f64() / plan.length.as_secs_f64()).min(1.0),
            phase: phase.to_owned(),
            resident: process::resident(),
            budgets: scene.budgets.0.iter().map(|node| BudgetState::of(node.name, &node.budget)).collect(),
            pools: pools.into(),
            ..Snapshot::default()
        };
        snapshot.sum_of_pools()
    }

    fn add(&mut self, kind: Kind, generation: usize, now: Origins) {
        let before = self.seen.get(&generation).copied().unwrap_or_default();
        let sum = &mut self.kinds[kind as usize];
        *sum = sum.plus(now.since(before));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pool_made_anew_goes_on_where_the_old_one_was() {
        let (scene, plan) = (Scene::new(16 << 20), Plan { length: Duration::from_secs(10), ..Plan::default() });
        let mut tally = Tally::default();
        let mut look = || tally.look(&scene, &plan, Duration::from_secs(5), "burst");
        let get = || drop(scene.pond(Kind::Pages).bytes().get(4096));
        (0..3).for_each(|_| get());
        let first = look();
        assert_eq!((first.origins.fresh, first.origins.cache, first.progress), (1, 2, 0.5));
        scene.remake(Kind::Pages);
        get();
        let second = look();
        assert_eq!((second.origins.fresh, second.origins.cache), (2, 2));
        let pages = second.pools.iter().find(|pool| pool.name == "pages").unwrap();
        assert_eq!(pages.origins, second.origins);
        assert_eq!(second.memory.in_caches, 4096);
        assert_eq!(second.budgets[0].used, first.budgets[0].used, "the old pool's memory has gone back");
    }
}
