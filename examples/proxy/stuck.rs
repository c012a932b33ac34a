//! Buffers whose bytes cannot be written on, because somebody does not read.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

/// How many buffers are stuck, and may be.
#[derive(Debug)]
pub(crate) struct Stuck {
    now: AtomicUsize,
    most: usize,
    patience: Duration,
    /// Wakes who has been stuck for longest.
    leave: Notify,
}

impl Stuck {
    pub(crate) fn new(most: usize, patience: Duration) -> Self {
        Stuck { now: AtomicUsize::new(0), most, patience, leave: Notify::new() }
    }

    /// Whether no more buffers should get stuck. The number tells nothing about memory that others wrote: relaxed.
    pub(crate) fn is_full(&self) -> bool {
        self.now.load(Relaxed) >= self.most
    }

    #[cfg(test)]
    pub(crate) fn now(&self) -> usize {
        self.now.load(Relaxed)
    }

    /// Asks the one that has been stuck for longest to leave.
    pub(crate) fn ask_one_to_leave(&self) {
        if self.now.load(Relaxed) > 0 {
            self.leave.notify_one();
        }
    }

    /// Counts as stuck until this is dropped.
    pub(crate) fn enter(&self) -> Place<'_> {
        self.now.fetch_add(1, Relaxed);
        Place { stuck: self }
    }
}

/// A buffer that is stuck.
#[derive(Debug)]
pub(crate) struct Place<'a> {
    stuck: &'a Stuck,
}

impl Place<'_> {
    /// Ends when this one is to leave.
    pub(crate) async fn asked_to_leave(&self) {
        let since = Instant::now();
        loop {
            self.stuck.leave.notified().await;
            // Who was asked may have left by itself, and the next one had no time yet.
            if since.elapsed() >= self.stuck.patience {
                return;
            }
        }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.stuck.now.fetch_sub(1, Relaxed);
    }
}
