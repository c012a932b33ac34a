//! Pushes, pops and a close on one depot.

use std::sync::Arc as Shared;

use loom::thread;

use super::{assert_all_in_one_place, explore, full, slots, touch};
use crate::engine::depot::{Depot, Heed, Loot, Pushed};
use crate::engine::slot::SlotPtr;
use crate::engine::table::SlotTable;
use crate::sync::BATCH;

struct Shop {
    depot: Depot,
    table: SlotTable,
}

// SAFETY: what the models check.
unsafe impl Send for Shop {}
// SAFETY: as above.
unsafe impl Sync for Shop {}

impl Shop {
    /// A depot with these numbers of slots, one push each, and the slots.
    fn new(pushes: &[usize], spare: usize) -> (Shared<Self>, Vec<SlotPtr>) {
        let (table, all) = slots(pushes.iter().sum::<usize>() + spare);
        let shop = Shared::new(Shop { depot: Depot::new(), table });
        let mut rest = &all[..];
        for &count in pushes {
            let (now, later) = rest.split_at(count);
            assert_eq!(shop.push(now), Pushed::Taken);
            rest = later;
        }
        (shop, all)
    }

    fn push(&self, slots: &[SlotPtr]) -> Pushed {
        slots.iter().for_each(|&slot| touch(slot));
        self.depot.announce(slots.len());
        // SAFETY: the models pass slots in hand.
        unsafe { Depot::push(&self.depot, slots, BATCH, Heed::Attention) }
    }

    fn pop(&self, batches: usize) -> Vec<SlotPtr> {
        let mut loot = Loot::new();
        // SAFETY: the depot's table.
        unsafe { self.depot.pop(&self.table, batches, &mut loot) };
        let slots: Vec<_> = loot.drain().collect();
        slots.iter().for_each(|&slot| touch(slot));
        slots
    }

    fn rest(&self) -> Vec<SlotPtr> {
        let rest: Vec<_> =
            std::iter::from_fn(|| Some(self.pop(1)).filter(|slots| !slots.is_empty())).flatten().collect();
        assert_eq!(self.depot.level(), 0);
        rest
    }
}

#[test]
fn two_pops_and_a_push_share_the_slots() {
    explore(None, || {
        let (shop, all) = Shop::new(&[1, 2], 1);
        let others = shop.clone();
        let other = thread::spawn(move || others.pop(1));
        let mine = shop.pop(1);
        assert_eq!(shop.push(&all[3..]), Pushed::Taken);
        let theirs = other.join().unwrap();
        assert_all_in_one_place(&all, &[&mine, &theirs, &shop.rest()]);
    });
}

/// A pop sleeps while the batch it has seen is popped, the one below it too, and the first pushed back.
#[test]
fn a_late_pop_is_not_fooled_by_a_batch_that_came_back() {
    explore(None, || {
        let (shop, all) = Shop::new(&[1, 1], 0);
        let others = shop.clone();
        let other = thread::spawn(move || {
            let first = others.pop(1);
            let second = others.pop(1);
            assert!(first.is_empty() || others.push(&first) == Pushed::Taken);
            second
        });
        let mine = shop.pop(1);
        let theirs = other.join().unwrap();
        assert_all_in_one_place(&all, &[&mine, &theirs, &shop.rest()]);
    });
}

#[test]
fn three_threads_lose_nothing() {
    explore(Some(if full() { 4 } else { 3 }), || {
        let (shop, all) = Shop::new(&[2, 1], 1);
        let (taker, cycler) = (shop.clone(), shop.clone());
        let taker = thread::spawn(move || taker.pop(2));
        let cycler = thread::spawn(move || {
            let slots = cycler.pop(1);
            assert!(slots.is_empty() || cycler.push(&slots) == Pushed::Taken);
        });
        assert_eq!(shop.push(&all[3..]), Pushed::Taken);
        let taken = taker.join().unwrap();
        cycler.join().unwrap();
        assert_all_in_one_place(&all, &[&taken, &shop.rest()]);
    });
}

#[test]
fn a_closed_depot_keeps_nothing() {
    explore(None, || {
        let (shop, all) = Shop::new(&[1], 2);
        let pusher = shop.clone();
        let mine = all[1..].to_vec();
        let pusher = thread::spawn(move || match pusher.push(&mine) {
            Pushed::Taken => vec![],
            Pushed::Attention => panic!("nobody waits"),
            Pushed::Closed => mine,
        });
        let mut closed_out = vec![];
        // SAFETY: the depot's table, which stays.
        unsafe { shop.depot.close(&shop.table, |slot| closed_out.push(slot)) };
        closed_out.iter().for_each(|&slot| touch(slot));
        let kept = pusher.join().unwrap();
        kept.iter().for_each(|&slot| touch(slot));
        assert_all_in_one_place(&all, &[&closed_out, &kept]);
        assert!(shop.pop(1).is_empty());
    });
}
