//! Where workers stop for a checkpoint.
//!
//! A worker passes the gate between two operations and stays there while it is closed. One that blocks inside `wait`
//! cannot come to the gate: it says so beforehand, and passes the gate behind it. So whoever closes the gate knows after a
//! bounded time that nobody works; or that somebody hangs.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

#[derive(Default)]
pub struct Gate {
    /// A copy, to be looked at without the lock. Relaxed: the state says it again.
    is_closed: AtomicBool,
    state: Mutex<State>,
    bell: Condvar,
}

#[derive(Clone, Copy, Default)]
struct State {
    is_closed: bool,
    workers: usize,
    /// At the gate.
    parked: usize,
    /// Inside `wait`.
    blocked: usize,
}

impl Gate {
    fn state(&self) -> MutexGuard<'_, State> {
        // A worker that panics is a violation of its own.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A worker begins, when the gate is open. It ends when the pass is dropped, even by a panic.
    pub fn enter(&self) -> Pass<'_> {
        self.wait_open(self.state()).workers += 1;
        Pass(self)
    }

    /// Stays while the gate is closed.
    pub fn pass(&self) {
        if self.is_closed.load(Relaxed) {
            let mut state = self.state();
            state.parked += 1;
            state = self.wait_open(state);
            state.parked -= 1;
        }
    }

    /// Runs what may block, if fewer than `most` do so already.
    pub fn blocking<R>(&self, most: usize, work: impl FnOnce() -> R) -> Option<R> {
        let mut state = self.state();
        if state.blocked >= most {
            return None;
        }
        state.blocked += 1;
        self.bell.notify_all();
        drop(state);
        let result = work();
        let mut state = self.wait_open(self.state());
        state.blocked -= 1;
        Some(result)
    }

    fn wait_open<'a>(&self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        self.bell.notify_all();
        self.bell.wait_while(state, |state| state.is_closed).unwrap_or_else(PoisonError::into_inner)
    }

    /// Workers inside `wait`.
    pub fn blocked(&self) -> usize {
        self.state().blocked
    }

    /// Closes the gate until the pause is dropped, when all workers have come there or are inside `wait`; or says who has
    /// not.
    pub fn close(&self, patience: Duration) -> Result<Pause<'_>, String> {
        let deadline = Instant::now() + patience;
        let mut state = self.state();
        state.is_closed = true;
        self.is_closed.store(true, Relaxed);
        let pause = Pause(self);
        while state.parked + state.blocked < state.workers {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let State { workers, parked, blocked, .. } = *state;
                drop(state);
                return Err(format!(
                    "of {workers} workers {parked} came to the gate and {blocked} wait in line, within {patience:?}: the others hang"
                ));
            }
            state = self.bell.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        drop(state);
        Ok(pause)
    }
}

/// That of a worker.
pub struct Pass<'a>(&'a Gate);

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        self.0.state().workers -= 1;
        self.0.bell.notify_all();
    }
}

/// Nobody works.
pub struct Pause<'a>(&'a Gate);

impl Drop for Pause<'_> {
    fn drop(&mut self) {
        self.0.state().is_closed = false;
        self.0.is_closed.store(false, Relaxed);
        self.0.bell.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
    use std::thread;

    use super::*;

    #[test]
    fn nobody_works_while_the_gate_is_closed() {
        let (gate, steps, over) = (Gate::default(), AtomicUsize::new(0), AtomicBool::new(false));
        thread::scope(|scope| {
            for _ in 0..3 {
                let pass = gate.enter();
                let (gate, steps, over) = (&gate, &steps, &over);
                scope.spawn(move || {
                    let _pass = pass;
                    while !over.load(SeqCst) {
                        gate.pass();
                        steps.fetch_add(1, SeqCst);
                    }
                });
            }
            for _ in 0..20 {
                let pause = gate.close(Duration::from_secs(20)).unwrap();
                let before = steps.load(SeqCst);
                thread::sleep(Duration::from_millis(2));
                assert_eq!(steps.load(SeqCst), before);
                drop(pause);
            }
            over.store(true, SeqCst);
        });
    }

    #[test]
    fn who_blocks_is_not_waited_for_and_who_hangs_is_told_of() {
        let gate = Gate::default();
        let _pass = gate.enter();
        let error = gate.close(Duration::from_millis(1)).err().unwrap();
        assert!(error.starts_with("of 1 workers 0 came"), "{error}");
        let closed = gate.blocking(1, || gate.close(Duration::from_secs(20)).is_ok());
        assert_eq!(closed, Some(true));
        assert_eq!(gate.blocking(0, || ()), None);
    }
}
