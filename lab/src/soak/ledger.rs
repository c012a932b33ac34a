//! What the workers hold of one pool and wait for, counted by themselves: the oracle of what the pool says.
//!
//! Counters are relaxed. Who reads them for a check has passed the gate's lock after everybody who writes them; samples
//! may be off.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

/// The account of one pool. It outlives the pool as long as something of it is out.
#[derive(Default)]
pub struct Ledger {
    out_bytes: AtomicUsize,
    out_count: AtomicUsize,
    gets: AtomicU64,
    /// Futures that stand in line, and threads that may.
    pending: AtomicUsize,
    blocked: AtomicUsize,
    awaited: [AtomicUsize; 2],
}

/// A copy of the counters.
#[derive(Clone, Copy)]
pub struct Account {
    pub out_bytes: u64,
    pub out_count: u64,
    pub gets: u64,
    pub pending: u64,
    pub blocked: u64,
    /// Handles that are waited for, and the bytes they may be charged with.
    pub awaited_count: u64,
    pub awaited_bytes: u64,
}

impl Ledger {
    pub fn read(&self) -> Account {
        let number = |counter: &AtomicUsize| counter.load(Relaxed) as u64;
        Account {
            out_bytes: number(&self.out_bytes),
            out_count: number(&self.out_count),
            gets: self.gets.load(Relaxed),
            pending: number(&self.pending),
            blocked: number(&self.blocked),
            awaited_count: number(&self.awaited[0]),
            awaited_bytes: number(&self.awaited[1]),
        }
    }

    /// A request was served.
    pub fn served(&self, gets: usize) {
        self.gets.fetch_add(gets as u64, Relaxed);
    }

    /// A worker has so many bytes more in its hands, until the tally is dropped.
    pub fn hold(self: &Arc<Self>, bytes: usize) -> Tally {
        self.out_count.fetch_add(1, Relaxed);
        self.out_bytes.fetch_add(bytes, Relaxed);
        Tally { ledger: self.clone(), bytes: AtomicUsize::new(bytes) }
    }

    /// A worker waits, until the place is dropped.
    pub fn stand(self: &Arc<Self>, how: How, demand: Demand) -> InLine {
        self.standing(how).fetch_add(1, Relaxed);
        self.awaited[0].fetch_add(demand.count, Relaxed);
        self.awaited[1].fetch_add(demand.bytes, Relaxed);
        InLine { ledger: self.clone(), how, demand }
    }

    fn standing(&self, how: How) -> &AtomicUsize {
        match how {
            How::Polled => &self.pending,
            How::Blocked => &self.blocked,
        }
    }
}

/// Something that is out. Shared by the clones of what was frozen.
pub struct Tally {
    ledger: Arc<Ledger>,
    bytes: AtomicUsize,
}

impl Tally {
    pub fn bytes(&self) -> usize {
        self.bytes.load(Relaxed)
    }

    /// What is out has another size now.
    pub fn resize(&self, bytes: usize) {
        let before = self.bytes.swap(bytes, Relaxed);
        self.ledger.out_bytes.fetch_add(bytes, Relaxed);
        self.ledger.out_bytes.fetch_sub(before, Relaxed);
    }

    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }
}

impl Drop for Tally {
    fn drop(&mut self) {
        self.ledger.out_count.fetch_sub(1, Relaxed);
        self.ledger.out_bytes.fetch_sub(self.bytes(), Relaxed);
    }
}

/// What a request waits for: so many handles, of so many bytes together at most.
#[derive(Clone, Copy)]
pub struct Demand {
    pub count: usize,
    pub bytes: usize,
}

/// Who waits.
#[derive(Clone, Copy)]
pub enum How {
    /// A future that was pending when it was last polled: it stands in line, or something lies there for it.
    Polled,
    /// A thread inside `wait`: it is about to stand in line, does, or has been served.
    Blocked,
}

/// A place in line.
pub struct InLine {
    ledger: Arc<Ledger>,
    how: How,
    demand: Demand,
}

impl Drop for InLine {
    fn drop(&mut self) {
        self.ledger.standing(self.how).fetch_sub(1, Relaxed);
        self.ledger.awaited[0].fetch_sub(self.demand.count, Relaxed);
        self.ledger.awaited[1].fetch_sub(self.demand.bytes, Relaxed);
    }
}
