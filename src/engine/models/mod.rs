//! Loom models of the engine's own types. One property a model, three threads at most.
//!
//! `ci/loom` runs them; `ci/mutants` plants mistakes in a copy of the sources and sees these models catch them.

mod core;
mod depot;
mod lists;
mod magazine;

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use loom::cell::UnsafeCell;

use crate::engine::slot::SlotPtr;
use crate::engine::table::SlotTable;

/// What slots hold in models: whoever holds the slot may touch it, and loom reports two who do.
pub(crate) struct Token(UnsafeCell<u32>);

impl Token {
    pub(crate) fn new() -> Self {
        Token(UnsafeCell::new(0))
    }

    pub(crate) fn touch(&self) {
        // SAFETY: exclusive if the engine is right; loom checks.
        self.0.with_mut(|touched| unsafe { *touched += 1 });
    }
}

/// Touches the token of a slot in hand.
pub(crate) fn touch(slot: SlotPtr) {
    // SAFETY: slots of models hold tokens, and their tables outlive the threads.
    unsafe { slot.cast::<Token>().as_ref() }.content().touch();
}

/// A table and its first `count` slots, which belong to no store.
fn slots(count: usize) -> (SlotTable, Vec<SlotPtr>) {
    let table = SlotTable::new::<Token>();
    let slots =
        (0..count).map(|_| table.add(std::ptr::null(), Token::new()).ok().expect("memory for a few slots")).collect();
    (table, slots)
}

/// Every slot is in exactly one of these places.
fn assert_all_in_one_place(slots: &[SlotPtr], places: &[&[SlotPtr]]) {
    for (i, slot) in slots.iter().enumerate() {
        let found = places.iter().flat_map(|place| place.iter()).filter(|&other| other == slot).count();
        assert_eq!(found, 1, "slot {i} is in {found} places");
    }
}

/// Explores all interleavings, or those with at most so many preemptions where all are too many.
pub(crate) fn explore(preemptions: Option<usize>, model: impl Fn() + Sync + Send + 'static) {
    // Lanes are process-wide, so models take turns.
    static TURN: Mutex<()> = Mutex::new(());
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let explored = Arc::new(AtomicUsize::new(0));
    let count = explored.clone();
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = preemptions;
    builder.max_branches = 100_000;
    builder.check(move || {
        count.fetch_add(1, Relaxed);
        model();
    });
    let bound = preemptions.map_or("any number of".into(), |bound| format!("at most {bound}"));
    println!("{} interleavings, {bound} preemptions", explored.load(Relaxed));
}

/// A longer run for `ci/full`.
pub(crate) fn full() -> bool {
    std::env::var_os("LOOM_FULL").is_some()
}
