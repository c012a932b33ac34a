//! Buffers whose bytes cannot be written on, because somebody does not read.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

/// How many buffers are stuck, and may be.
#[derive(Debug)]
pub(crate) struct Stuck {
    now: AtomicUsize,
    most: usize,
    patience: Duration,
    next: AtomicU64,
    /// Those that nobody has asked to leave, the oldest first.
    line: Mutex<BTreeMap<u64, (Instant, Arc<Notify>)>>,
}

impl Stuck {
    /// At most about so many, and nobody is asked to leave who is there for less than this.
    pub(crate) fn new(most: usize, patience: Duration) -> Self {
        let (now, next, line) = Default::default();
        Stuck { now, most, patience, next, line }
    }

    /// Whether no more buffers should get stuck. The number tells nothing about memory that others wrote: relaxed.
    pub(crate) fn is_full(&self) -> bool {
        self.now.load(Relaxed) >= self.most
    }

    #[cfg(test)]
    pub(crate) fn now(&self) -> usize {
        self.now.load(Relaxed)
    }

    /// Counts as stuck until this is dropped.
    pub(crate) fn enter(&self) -> Place<'_> {
        self.now.fetch_add(1, Relaxed);
        let (number, leave) = (self.next.fetch_add(1, Relaxed), Arc::new(Notify::new()));
        self.line().insert(number, (Instant::now(), leave.clone()));
        Place { stuck: self, number, leave }
    }

    /// Asks the one that has been stuck for longest to leave, if that is long enough.
    pub(crate) fn ask_one_to_leave(&self) {
        let mut line = self.line();
        if let Some(oldest) = line.first_entry().filter(|oldest| oldest.get().0.elapsed() >= self.patience) {
            oldest.remove().1.notify_one();
        }
    }

    /// No panic leaves it half changed.
    fn line(&self) -> MutexGuard<'_, BTreeMap<u64, (Instant, Arc<Notify>)>> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A buffer that is stuck.
#[derive(Debug)]
pub(crate) struct Place<'a> {
    stuck: &'a Stuck,
    number: u64,
    leave: Arc<Notify>,
}

impl Place<'_> {
    /// Ends when this one is to leave.
    pub(crate) async fn asked_to_leave(&self) {
        self.leave.notified().await;
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.stuck.line().remove(&self.number);
        self.stuck.now.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::thread::sleep;

    use super::*;

    const PATIENCE: Duration = Duration::from_millis(200);

    async fn leaves(place: &Place<'_>) -> bool {
        tokio::time::timeout(PATIENCE / 50, place.asked_to_leave()).await.is_ok()
    }

    #[tokio::test]
    async fn one_leaves_for_one_who_asks_the_longest_stuck_first_and_not_at_once() {
        let stuck = Stuck::new(2, PATIENCE);
        // Nobody is there: it means nothing to those who come later.
        stuck.ask_one_to_leave();
        let gone = stuck.enter();
        let (first, second) = (stuck.enter(), stuck.enter());
        drop(gone);
        stuck.ask_one_to_leave();
        assert!(!leaves(&first).await && !leaves(&second).await);

        sleep(PATIENCE);
        let third = stuck.enter();
        stuck.ask_one_to_leave();
        assert!(leaves(&first).await && !leaves(&second).await);
        stuck.ask_one_to_leave();
        assert!(leaves(&second).await);
        // This one had no time yet.
        stuck.ask_one_to_leave();
        assert!(!leaves(&third).await);
    }

    #[test]
    fn places_are_counted_while_they_are_taken() {
        let stuck = Stuck::new(1, PATIENCE);
        assert!(!stuck.is_full());
        let place = stuck.enter();
        assert!(stuck.is_full());
        drop(place);
        assert_eq!((stuck.now(), stuck.is_full()), (0, false));
    }
}
