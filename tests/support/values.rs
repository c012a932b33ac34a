//! Values that are counted while they live, and that can be told to panic.
#![allow(dead_code, reason = "no test uses all of it")]

use std::sync::Arc;
use std::sync::atomic::{AtomicIsize, AtomicUsize, Ordering::Relaxed};

use millpond::Reuse;

/// What became of the values of a test.
#[derive(Debug, Default)]
pub(crate) struct Fate {
    pub(crate) alive: AtomicIsize,
    pub(crate) made: AtomicUsize,
    pub(crate) reused: AtomicUsize,
}

impl Fate {
    pub(crate) fn alive(&self) -> isize {
        self.alive.load(Relaxed)
    }

    pub(crate) fn made(&self) -> usize {
        self.made.load(Relaxed)
    }

    pub(crate) fn reused(&self) -> usize {
        self.reused.load(Relaxed)
    }
}

/// When a value panics.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum Panics {
    #[default]
    Never,
    OnReuse,
    OnDrop,
    OnBoth,
}

#[derive(Debug)]
pub(crate) struct Value {
    pub(crate) number: usize,
    /// What `reuse` answers.
    pub(crate) keep: bool,
    pub(crate) panics: Panics,
    fate: Arc<Fate>,
}

impl Value {
    pub(crate) fn new(fate: &Arc<Fate>) -> Self {
        fate.alive.fetch_add(1, Relaxed);
        let number = fate.made.fetch_add(1, Relaxed);
        Value { number, keep: true, panics: Panics::Never, fate: fate.clone() }
    }
}

impl Drop for Value {
    fn drop(&mut self) {
        let before = self.fate.alive.fetch_sub(1, Relaxed);
        assert!(before > 0, "dropped twice");
        if matches!(self.panics, Panics::OnDrop | Panics::OnBoth) {
            panic!("drop of value {}", self.number);
        }
    }
}

impl Reuse for Value {
    fn reuse(&mut self, _: usize) -> bool {
        self.fate.reused.fetch_add(1, Relaxed);
        if matches!(self.panics, Panics::OnReuse | Panics::OnBoth) {
            panic!("reuse of value {}", self.number);
        }
        self.keep
    }
}
