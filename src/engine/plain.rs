//! The simple engine: a depot and a magazine behind locks, the oracle of the real ones.
//!
//! What the real ones do one operation at a time must be what these do; what they do at once is the models' subject.

use std::cell::Cell;
use std::sync::Mutex;

use proptest::prelude::*;

use crate::engine::barrier;
use crate::engine::depot::{Depot, Heed, Loot, Pushed};
use crate::engine::magazine::{Magazine, Push};
use crate::engine::slot::SlotPtr;
use crate::engine::table::SlotTable;
use crate::sync::{BATCH, DEPTH};

/// A stack of batches; none once it is closed.
#[derive(Default)]
struct PlainDepot(Mutex<Vec<Vec<SlotPtr>>>);

impl PlainDepot {
    fn push(&self, slots: &[SlotPtr], batch: usize) {
        self.0.lock().unwrap().extend(slots.chunks(batch).map(<[_]>::to_vec));
    }

    /// Newest last.
    fn pop(&self, batches: usize) -> Vec<SlotPtr> {
        let mut stack = self.0.lock().unwrap();
        let keep = stack.len() - batches.clamp(1, DEPTH / BATCH).min(stack.len());
        stack.split_off(keep).concat()
    }

    fn level(&self) -> usize {
        self.0.lock().unwrap().iter().map(Vec::len).sum()
    }
}

/// A stack of slots.
#[derive(Default)]
struct PlainMagazine {
    slots: Mutex<Vec<SlotPtr>>,
    limit: Cell<usize>,
}

impl PlainMagazine {
    fn pop(&self) -> Option<SlotPtr> {
        self.slots.lock().unwrap().pop()
    }

    fn push(&self, slot: SlotPtr) -> bool {
        let mut slots = self.slots.lock().unwrap();
        let room = slots.len() < self.limit.get();
        if room {
            slots.push(slot);
        }
        room
    }

    fn push_many(&self, fresh: &[SlotPtr]) -> bool {
        let mut slots = self.slots.lock().unwrap();
        let fits = fresh.is_empty() || slots.len() + fresh.len() <= self.limit.get();
        if fits {
            slots.extend(fresh);
        }
        fits
    }

    /// Newest last.
    fn pop_many(&self, count: usize) -> Vec<SlotPtr> {
        let mut slots = self.slots.lock().unwrap();
        let rest = slots.len().saturating_sub(count);
        slots.split_off(rest)
    }

    /// For the owner and for robbers alike.
    fn take_all(&self) -> Vec<SlotPtr> {
        std::mem::take(&mut self.slots.lock().unwrap())
    }
}

fn slots(count: usize) -> (SlotTable, Vec<SlotPtr>) {
    let table = SlotTable::new::<()>();
    let slots = (0..count).map(|_| table.add(std::ptr::null(), ()).expect("memory for a few slots")).collect();
    (table, slots)
}

fn rob(magazine: &Magazine) -> Vec<SlotPtr> {
    if !magazine.ask() {
        return Vec::new();
    }
    let ordered = barrier::heavy();
    magazine.take(ordered).as_slice().to_vec()
}

#[derive(Clone, Debug)]
enum DepotStep {
    Push { count: usize, batch: usize },
    Pop { batches: usize },
}

#[derive(Clone, Debug)]
enum MagazineStep {
    Pop,
    Push,
    PopMany(usize),
    PushMany(usize),
    TakeAll,
    Limit(usize),
    Rob,
}

fn depot_step() -> impl Strategy<Value = DepotStep> {
    prop_oneof![
        (0..=DEPTH, 1..=BATCH).prop_map(|(count, batch)| DepotStep::Push { count, batch }),
        (0..=DEPTH / BATCH + 1).prop_map(|batches| DepotStep::Pop { batches }),
    ]
}

fn magazine_step() -> impl Strategy<Value = MagazineStep> {
    prop_oneof![
        6 => Just(MagazineStep::Pop),
        6 => Just(MagazineStep::Push),
        2 => (0..=DEPTH).prop_map(MagazineStep::PopMany),
        2 => (0..=DEPTH).prop_map(MagazineStep::PushMany),
        1 => Just(MagazineStep::TakeAll),
        1 => (0..=DEPTH).prop_map(MagazineStep::Limit),
        2 => Just(MagazineStep::Rob),
    ]
}

fn config() -> ProptestConfig {
    let cases = if cfg!(miri) { 4 } else { 512 };
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn the_depot_is_a_stack_of_batches(steps in prop::collection::vec(depot_step(), 1..60)) {
        let (table, mut hand) = slots(4 * DEPTH);
        let (real, plain) = (Depot::new(), PlainDepot::default());
        for step in steps {
            match step {
                DepotStep::Push { count, batch } => {
                    let moved = hand.split_off(hand.len() - count.min(hand.len()));
                    real.announce(moved.len());
                    // SAFETY: in hand, all of the table; the depot stays.
                    let pushed = unsafe { Depot::push(&real, &moved, batch, Heed::Attention) };
                    prop_assert_eq!(pushed, Pushed::Taken);
                    plain.push(&moved, batch);
                }
                DepotStep::Pop { batches } => {
                    let mut loot = Loot::new();
                    // SAFETY: the table of all that is pushed here.
                    let count = unsafe { real.pop(&table, batches, &mut loot) };
                    let expected = plain.pop(batches);
                    prop_assert_eq!((count, loot.as_slice()), (expected.len(), &expected[..]));
                    hand.extend(expected);
                }
            }
            prop_assert_eq!(real.level(), plain.level());
        }
        let mut rest = Vec::new();
        // SAFETY: the table of all that is pushed here, which stays.
        unsafe { real.close(&table, |slot| rest.push(slot)) };
        rest.reverse();
        prop_assert_eq!(rest, plain.0.into_inner().unwrap().concat());
    }

    #[test]
    fn the_magazine_is_a_stack_that_can_be_robbed(steps in prop::collection::vec(magazine_step(), 1..200)) {
        let (_table, mut hand) = slots(2 * DEPTH);
        let (real, plain) = (Magazine::new(1, barrier::kind()), PlainMagazine::default());
        let mut hits = 0;
        for step in steps {
            match step {
                MagazineStep::Pop => {
                    let got = real.pop().or_else(|| real.pop_again());
                    prop_assert_eq!(got, plain.pop());
                    hits += u64::from(got.is_some());
                    hand.extend(got);
                }
                MagazineStep::Push => {
                    let Some(slot) = hand.pop() else { continue };
                    let stays = match real.push(slot) {
                        Push::Done => true,
                        Push::Refused => real.push_again(slot).is_some(),
                        Push::Unsettled(push) => real.settle_push(push).or_else(|| real.push_again(slot)).is_some(),
                    };
                    prop_assert_eq!(stays, plain.push(slot));
                    hand.extend((!stays).then_some(slot));
                }
                MagazineStep::PopMany(count) => {
                    let mut got = Loot::new();
                    real.pop_many(count, &mut got);
                    prop_assert_eq!(got.as_slice(), &plain.pop_many(count)[..]);
                    let unwanted = got.len() / 2;
                    real.uncount_hits(unwanted);
                    hits += (got.len() - unwanted) as u64;
                    hand.extend(got.as_slice());
                }
                MagazineStep::PushMany(count) => {
                    let moved = hand.split_off(hand.len() - count.min(hand.len()));
                    let stay = real.push_many(&moved).is_some();
                    prop_assert_eq!(stay, plain.push_many(&moved));
                    hand.extend(moved.into_iter().filter(|_| !stay));
                }
                MagazineStep::TakeAll => {
                    let taken = real.take_all();
                    prop_assert_eq!(taken.as_slice(), &plain.take_all()[..]);
                    hand.extend(taken.as_slice());
                }
                MagazineStep::Limit(limit) => {
                    real.set_limit(limit);
                    plain.limit.set(limit);
                }
                MagazineStep::Rob => {
                    let robbed = rob(&real);
                    prop_assert_eq!(&robbed, &plain.take_all());
                    hand.extend(robbed);
                }
            }
            prop_assert_eq!(real.snapshot(), (plain.slots.lock().unwrap().len(), hits));
        }
    }
}
