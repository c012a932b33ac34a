//! One owner against robbers, on a bare magazine.

use std::sync::Arc as Shared;

use loom::thread;

use super::{assert_all_in_one_place, explore, full, slots, touch};
use crate::engine::barrier::{self, Barrier, model};
use crate::engine::depot::Loot;
use crate::engine::magazine::{Magazine, Push, Stay};
use crate::engine::slot::SlotPtr;
use crate::sync::DEPTH;

const SLOTS: usize = 4;

/// The owner's side of a model.
struct Owner {
    magazine: Shared<Magazine>,
    held: Vec<SlotPtr>,
    /// Slots that the magazine refused: in production they go to the depot.
    home: Vec<SlotPtr>,
    pops: u64,
}

impl Owner {
    fn new(kind: Barrier, slots: &[SlotPtr], inside: usize) -> Self {
        let magazine = Shared::new(Magazine::new(1, kind));
        magazine.set_limit(DEPTH);
        let mut owner = Owner { magazine, held: slots.to_vec(), home: vec![], pops: 0 };
        (0..inside).for_each(|_| owner.push());
        assert!(owner.home.is_empty());
        owner
    }

    fn pop(&mut self) {
        if let Some(slot) = self.magazine.pop() {
            touch(slot);
            self.pops += 1;
            self.held.push(slot);
        }
    }

    fn push(&mut self) {
        let Some(slot) = self.held.pop() else { return };
        touch(slot);
        let stays = match self.magazine.push(slot) {
            Push::Done => true,
            Push::Refused => false,
            Push::Unsettled(push) => self.magazine.settle_push(push).is_some(),
        };
        if !stays {
            touch(slot);
            self.home.push(slot);
        }
    }

    fn take_all(&mut self) {
        let mut taken: Vec<_> = self.magazine.take_all().drain().collect();
        taken.iter().for_each(|&slot| touch(slot));
        self.held.append(&mut taken);
    }

    fn pop_many(&mut self) {
        let mut taken = Loot::new();
        self.magazine.pop_many(2, &mut taken);
        let mut taken: Vec<_> = taken.drain().collect();
        taken.iter().for_each(|&slot| touch(slot));
        self.pops += taken.len() as u64;
        self.held.append(&mut taken);
    }

    fn put_one_back(&mut self) {
        let before = self.pops;
        self.pop_many();
        if self.pops > before {
            self.magazine.uncount_hits(1);
            self.pops -= 1;
            self.push();
        }
    }

    fn push_many(&mut self) {
        let some = self.held.split_off(self.held.len().saturating_sub(2));
        some.iter().for_each(|&slot| touch(slot));
        if self.magazine.push_many(&some).is_none() {
            some.iter().for_each(|&slot| touch(slot));
            self.home.extend(some);
        }
    }

    /// `p`op, p`u`sh, each with a capital letter for two at once, `F`lush all, pop two and put one `B`ack.
    fn run(&mut self, script: &str) {
        for step in script.chars() {
            match step {
                'p' => self.pop(),
                'u' => self.push(),
                'F' => self.take_all(),
                'P' => self.pop_many(),
                'U' => self.push_many(),
                'B' => self.put_one_back(),
                _ => unreachable!("no such step"),
            }
        }
    }

    /// Everything is somewhere, once; the counter and the idle count are exact.
    fn check(self, all: &[SlotPtr], robbed: &[SlotPtr]) {
        let (idle, hits) = self.magazine.snapshot();
        assert_eq!(hits, self.pops, "hits");
        let mut rest = vec![];
        while let Some(slot) = self.magazine.pop_again() {
            touch(slot);
            rest.push(slot);
        }
        assert_eq!(idle, rest.len(), "idle");
        self.held.iter().chain(&self.home).for_each(|&slot| touch(slot));
        assert_all_in_one_place(all, &[&self.held, &self.home, robbed, &rest]);
    }
}

fn rob(magazine: &Magazine) -> Vec<SlotPtr> {
    if !magazine.ask() {
        return vec![];
    }
    take(magazine, barrier::heavy())
}

fn take(magazine: &Magazine, ordered: bool) -> Vec<SlotPtr> {
    let robbed: Vec<_> = magazine.take(ordered).drain().collect();
    robbed.iter().for_each(|&slot| touch(slot));
    robbed
}

/// An owner with `inside` slots in its magazine follows the script while robbers rob.
fn robbery(kind: Barrier, inside: usize, script: &'static str, robbers: usize, robberies: usize, bound: Option<usize>) {
    explore(bound, move || {
        model::KIND.set(kind);
        let (_table, all) = slots(SLOTS);
        let mut owner = Owner::new(kind, &all, inside);
        let threads: Vec<_> = (0..robbers)
            .map(|_| {
                let magazine = owner.magazine.clone();
                thread::spawn(move || (0..robberies).flat_map(|_| rob(&magazine)).collect::<Vec<_>>())
            })
            .collect();
        owner.run(script);
        let robbed: Vec<_> = threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
        owner.check(&all, &robbed);
        model::KIND.set(Barrier::Asymmetric);
    });
}

/// Request and barrier lie before the owner's first step, and no fence hides a missing ordering.
fn already_asked(inside: usize, script: &'static str) {
    explore(None, move || {
        model::ALREADY_ASKED.set(true);
        let (_table, all) = slots(SLOTS);
        let mut owner = Owner::new(Barrier::Asymmetric, &all, inside);
        assert!(owner.magazine.ask());
        let magazine = owner.magazine.clone();
        let robber = thread::spawn(move || take(&magazine, true));
        owner.run(script);
        let robbed = robber.join().unwrap();
        owner.check(&all, &robbed);
        model::ALREADY_ASKED.set(false);
    });
}

use Barrier::{Asymmetric, Symmetric};

#[test]
fn a_robbery_takes_what_the_owner_does_not() {
    robbery(Asymmetric, 1, "pu", 1, 1, None);
    robbery(Asymmetric, 2, "pup", 1, 1, None);
    robbery(Asymmetric, 2, "ppuu", 1, 1, None);
}

#[test]
fn a_second_robbery_finds_what_came_after_the_first() {
    robbery(Asymmetric, 1, "upup", 1, 2, if full() { None } else { Some(4) });
    robbery(Asymmetric, 2, "pupu", 1, 2, if full() { None } else { Some(4) });
    robbery(Asymmetric, 2, "puu", 1, 3, if full() { None } else { Some(4) });
}

#[test]
fn whole_magazines_move_past_a_robber() {
    robbery(Asymmetric, 3, "FUp", 1, 2, if full() { None } else { Some(4) });
    robbery(Asymmetric, 2, "FUF", 1, 1, None);
}

#[test]
fn several_slots_move_past_a_robber() {
    robbery(Asymmetric, 3, "PU", 1, 1, None);
    robbery(Asymmetric, 1, "UP", 1, 2, if full() { None } else { Some(4) });
    robbery(Asymmetric, 3, "Bpu", 1, 2, if full() { None } else { Some(4) });
}

#[test]
fn two_robbers_never_take_the_same_slot() {
    robbery(Asymmetric, 2, "pu", 2, 1, Some(if full() { 4 } else { 3 }));
    robbery(Asymmetric, 2, "pup", 2, 2, Some(if full() { 3 } else { 2 }));
}

#[test]
fn without_the_system_call_fences_do() {
    robbery(Symmetric, 2, "pup", 1, 1, if full() { None } else { Some(4) });
    robbery(Symmetric, 1, "upu", 1, 2, if full() { None } else { Some(4) });
}

#[test]
fn the_orderings_carry_the_data_without_any_fence() {
    for (inside, script) in
        [(0, "u"), (1, "pu"), (1, "uu"), (2, "puu"), (1, "upu"), (2, "pupu"), (2, "FU"), (1, "p"), (3, "PU"), (1, "UP")]
    {
        already_asked(inside, script);
    }
}

/// A robber that gets no barrier takes its request back, and at most what the owner has agreed to.
#[test]
fn a_refused_barrier_costs_nothing() {
    explore(if full() { None } else { Some(3) }, || {
        model::REFUSED.set(true);
        let (_table, all) = slots(SLOTS);
        let mut owner = Owner::new(Asymmetric, &all, 2);
        let magazine = owner.magazine.clone();
        let robber = thread::spawn(move || {
            let mut robbed = rob(&magazine);
            robbed.extend(rob(&magazine));
            robbed
        });
        owner.run("pup");
        let robbed = robber.join().unwrap();
        owner.check(&all, &robbed);
        model::REFUSED.set(false);
    });
}

/// After the closed bit, a barrier and a robbery, whatever was pushed was robbed or its owner saw the bit.
#[test]
fn no_push_slips_past_a_close() {
    for (kind, bound) in [(Asymmetric, None), (Symmetric, if full() { None } else { Some(4) })] {
        explore(bound, move || {
            model::KIND.set(kind);
            let (_table, all) = slots(2);
            let owner = Owner::new(kind, &all, 1);
            let magazine = owner.magazine.clone();
            let closer = thread::spawn(move || {
                magazine.request_close();
                rob(&magazine)
            });
            let pushed = all[0];
            let stay = match owner.magazine.push(pushed) {
                Push::Done => Some(Stay::Open),
                Push::Refused => None,
                Push::Unsettled(push) => owner.magazine.settle_push(push),
            };
            let emptied: Vec<_> = match stay {
                Some(Stay::Leave) => owner.magazine.take_all().drain().collect(),
                _ => vec![],
            };
            let robbed = closer.join().unwrap();
            let refused: &[_] = if stay.is_none() { &[pushed] } else { &[] };
            assert_eq!(owner.magazine.snapshot().0, 0, "something stayed in a closed magazine");
            assert_all_in_one_place(&all, &[&robbed, &emptied, refused]);
            model::KIND.set(Asymmetric);
        });
    }
}
