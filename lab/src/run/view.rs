//! What a run shows to those who look at it while it runs.

use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use indicatif::ProgressBar;
use millpond::{Budget, BufferPool};

use crate::board::Board;
use crate::board::snapshot::{BudgetState, Origins, PoolState, Snapshot};
use crate::failure::complain;
use crate::{process, provenance};

const EVERY: Duration = Duration::from_millis(250);

/// What is going on now.
#[derive(Default)]
pub struct View(Mutex<State>);

#[derive(Default)]
struct State {
    bar: Option<ProgressBar>,
    pool: Option<(BufferPool, Budget)>,
    /// What the pools of earlier rounds have done.
    before: Origins,
}

impl View {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What goes on from here is what this bar says.
    pub fn phase(&self, bar: &ProgressBar) {
        self.state().bar = Some(bar.clone());
    }

    /// Does something with a pool that can be seen meanwhile.
    pub fn with_pool<T>(&self, (pool, budget): (&BufferPool, &Budget), work: impl FnOnce() -> T) -> T {
        self.state().pool = Some((pool.clone(), budget.clone()));
        let done = work();
        let mut state = self.state();
        state.before = state.before.plus(Origins::of(&pool.stats()));
        state.pool = None;
        done
    }

    /// Does something, and tells those who look how it goes.
    pub fn shown_on<T>(&self, board: &Board, work: impl FnOnce() -> T) -> T {
        let (began, (over, until)) = (Instant::now(), sync_channel::<()>(0));
        thread::scope(|scope| {
            let show = move || {
                while until.recv_timeout(EVERY) == Err(RecvTimeoutError::Timeout) {
                    board.post(|| self.look(began.elapsed()));
                }
            };
            let shown = thread::Builder::new().name("view".into()).spawn_scoped(scope, show);
            if let Err(error) = shown {
                complain(format_args!("`top` will see nothing of this: {error}"));
            }
            // Dropped also when the work panics: that ends the loop.
            let _over = over;
            work()
        })
    }

    fn look(&self, passed: Duration) -> Snapshot {
        let state = self.state();
        let bar = state.bar.as_ref();
        let share = |bar: &ProgressBar| Some(bar.position() as f64 / bar.length().filter(|&all| all > 0)? as f64);
        let mut snapshot = Snapshot {
            process: std::process::id(),
            command: provenance::command(),
            at: passed.as_secs_f64(),
            progress: bar.and_then(share).map_or(0.0, |share| share.min(1.0)),
            phase: bar.map_or_else(String::new, ProgressBar::message),
            resident: process::resident(),
            ..Snapshot::default()
        };
        if let Some((pool, budget)) = &state.pool {
            let mut chunks = PoolState::of("chunks", &pool.stats());
            chunks.origins = chunks.origins.plus(state.before);
            snapshot.pools.push(chunks);
            let name = if budget.limit() == Budget::process().limit() { "process" } else { "chunks" };
            snapshot.budgets.push(BudgetState::of(name, budget));
        }
        if snapshot.pools.is_empty() {
            snapshot.origins = state.before;
        }
        snapshot.sum_of_pools()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_go_on_from_round_to_round() {
        let view = View::default();
        assert_eq!(view.look(Duration::ZERO).pools, []);
        for round in 1..=2 {
            let budget = Budget::new(1 << 20);
            let pool = BufferPool::builder().budget(&budget).build().unwrap();
            let held = view.with_pool((&pool, &budget), || {
                let held = pool.get(4096);
                let seen = view.look(Duration::from_secs(1));
                assert_eq!((seen.origins.fresh, seen.memory.outstanding), (round, 4096));
                assert_eq!((seen.budgets[0].limit, seen.pools.len()), (1 << 20, 1));
                held
            });
            let seen = view.look(Duration::from_secs(2));
            assert_eq!((seen.origins.fresh, seen.memory.outstanding, seen.pools.len()), (round, 0, 0));
            drop(held);
        }
    }

    #[test]
    fn a_phase_is_what_the_bar_says() {
        let (view, bar) = (View::default(), ProgressBar::hidden().with_message("round 1 of 3"));
        bar.set_length(200);
        bar.inc(50);
        view.phase(&bar);
        let seen = view.look(Duration::ZERO);
        assert_eq!((seen.phase.as_str(), seen.progress), ("round 1 of 3", 0.25));
    }
}
