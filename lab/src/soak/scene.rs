//! What all workers share: the budgets, the pool of each kind, and the channel between them.

use std::fmt::Display;
use std::mem;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc::{self, Receiver, SyncSender, TryRecvError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, Weak};

use millpond::Error;

use super::budgets::Budgets;
use super::counts::Counts;
use super::gate::Gate;
use super::held::Held;
use super::ledger::Ledger;
use super::pond::{KINDS, Kind, Making, Pond};

/// What lies in the channel at most.
const CHANNEL: usize = 64;
/// Faults that are told of; where there is one, there are often thousands.
const TOLD: usize = 20;

pub struct Scene {
    pub budgets: Budgets,
    ponds: Vec<RwLock<Arc<Pond>>>,
    /// Every pool that is there or has something out.
    made: Mutex<Vec<Made>>,
    generation: AtomicUsize,
    pub bricks: Arc<AtomicUsize>,
    pub create_failures: Arc<AtomicUsize>,
    to_others: SyncSender<Held>,
    from_others: Mutex<Receiver<Held>>,
    owners: AtomicU64,
    pub counts: Counts,
    pub gate: Gate,
    /// The bytes that a worker may have in its hands now.
    pub appetite: AtomicUsize,
    pub silent: AtomicBool,
    pub over: AtomicBool,
    faults: Mutex<Vec<String>>,
}

/// A pool that was made.
#[derive(Clone)]
pub struct Made {
    pub kind: Kind,
    /// No other pool has this number.
    pub generation: usize,
    pub pond: Weak<Pond>,
    pub ledger: Arc<Ledger>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A worker that panics is a fault of its own.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Scene {
    pub fn new(limit: usize) -> Self {
        let (to_others, from_others) = mpsc::sync_channel(CHANNEL);
        let mut scene = Self {
            budgets: Budgets::new(limit),
            ponds: Vec::new(),
            made: Mutex::default(),
            generation: AtomicUsize::new(0),
            bricks: Arc::default(),
            create_failures: Arc::default(),
            to_others,
            from_others: Mutex::new(from_others),
            owners: AtomicU64::new(1),
            counts: Counts::default(),
            gate: Gate::default(),
            appetite: AtomicUsize::new(0),
            silent: AtomicBool::new(false),
            over: AtomicBool::new(false),
            faults: Mutex::default(),
        };
        scene.ponds = KINDS.map(|kind| RwLock::new(scene.make(kind))).into();
        scene
    }

    fn make(&self, kind: Kind) -> Arc<Pond> {
        let making = Making {
            budget: self.budgets.of(kind),
            bricks: &self.bricks,
            create_failures: &self.create_failures,
            generation: self.generation.fetch_add(1, Relaxed),
        };
        let pond = Arc::new(Pond::make(kind, &making));
        let made =
            Made { kind, generation: making.generation, pond: Arc::downgrade(&pond), ledger: pond.ledger.clone() };
        lock(&self.made).push(made);
        pond
    }

    /// The pool of a kind that is in use now.
    pub fn pond(&self, kind: Kind) -> Arc<Pond> {
        self.ponds[kind as usize].read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Puts a new pool in the place of one. The old one goes when the last worker is done with it.
    pub fn remake(&self, kind: Kind) {
        let pond = self.make(kind);
        let mut place = self.ponds[kind as usize].write().unwrap_or_else(PoisonError::into_inner);
        let old = mem::replace(&mut *place, pond);
        drop(place);
        drop(old);
    }

    /// All but the budgets and the accounts is gone.
    pub fn dismantle(self) -> (Budgets, Vec<Made>, usize) {
        let made = lock(&self.made).clone();
        drop((self.ponds, self.from_others));
        (self.budgets, made, self.bricks.load(Relaxed))
    }

    /// Also those that are not in use any more, but waited for.
    pub fn close_all(&self) {
        self.made().iter().filter_map(|made| made.pond.upgrade()).for_each(|pond| pond.close());
    }

    /// All pools that are there or have something out.
    pub fn made(&self) -> Vec<Made> {
        let mut made = lock(&self.made);
        made.retain(|made| made.pond.strong_count() > 0 || made.ledger.read().out_count > 0);
        made.clone()
    }

    /// A number that no other owner has.
    pub fn owner(&self) -> u64 {
        self.owners.fetch_add(1, Relaxed)
    }

    /// Passes something on to whoever comes for it; back if the channel is full.
    pub fn send(&self, held: Held) -> Option<Held> {
        match self.to_others.try_send(held) {
            Ok(()) => None,
            Err(mpsc::TrySendError::Full(held) | mpsc::TrySendError::Disconnected(held)) => Some(held),
        }
    }

    pub fn receive(&self) -> Option<Held> {
        let received: Result<_, TryRecvError> = lock(&self.from_others).try_recv();
        received.ok()
    }

    pub fn fault(&self, what: impl Display) {
        let mut faults = lock(&self.faults);
        if faults.len() < TOLD {
            faults.push(what.to_string());
        }
    }

    pub fn has_faults(&self) -> bool {
        !lock(&self.faults).is_empty()
    }

    pub fn faults(&self) -> Vec<String> {
        lock(&self.faults).clone()
    }

    /// What was got, or none: a refusal is counted, and a fault if nothing explains it.
    pub fn got<T>(&self, result: Result<T, Error>, pond: &Pond, is_starved: bool) -> Option<T> {
        match result {
            Ok(got) => Some(got),
            Err(error) => {
                self.counts.refused(&error);
                if !is_explained(&error, pond.is_closed(), pond.kind, is_starved) {
                    self.fault(format!("{}: `{error}`, without a reason", pond.kind.name()));
                }
                None
            }
        }
    }

    /// What kept a buffer from growing. Its pool may be closed or gone.
    pub fn refused_to_grow(&self, error: &Error) {
        self.counts.refused(error);
        if !is_explained(error, true, Kind::Pages, false) {
            self.fault(format!("a buffer that grows: `{error}`, without a reason"));
        }
    }

    /// Whether workers should rest or end.
    pub fn is_quiet(&self) -> bool {
        self.silent.load(Relaxed) || self.over.load(Relaxed)
    }
}

fn is_explained(error: &Error, is_closed: bool, kind: Kind, is_starved: bool) -> bool {
    match error {
        Error::OverBudget { requested, limit, .. } => *requested > 0 && *limit > 0,
        Error::Queued { .. } | Error::TimedOut { .. } | Error::NeverFits { .. } => true,
        Error::Exhausted { .. } => kind == Kind::Tokens,
        Error::Create(_) => kind == Kind::Bricks,
        Error::OutOfMemory { .. } => is_starved,
        Error::Closed => is_closed,
        _ => false,
    }
}
