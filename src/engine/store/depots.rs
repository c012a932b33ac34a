//! The depots of a store: one for each bank, of slots whose memory is there.
//!
//! A thread works with the depot of the node that it runs on, and what it gives away goes to the depot of the slot's own
//! bank. So memory that has crossed nodes comes back, whoever dropped it.

use crate::engine::depot::{Depot, Side, Watcher};
use crate::engine::slot::SlotPtr;
use crate::memory::os::topology::{Bank, MAX_BANKS};
use crate::sync::DEPTH;

pub(super) struct Depots {
    /// Here and not behind a pointer, because mostly it is the only one.
    first: Depot,
    others: Box<[Depot]>,
}

impl Depots {
    pub(super) fn new(banks: usize) -> Self {
        assert!((1..=MAX_BANKS).contains(&banks), "{banks} banks");
        Depots { first: Depot::new(), others: (1..banks).map(|_| Depot::new()).collect() }
    }

    pub(super) fn of(&self, bank: Bank) -> &Depot {
        match bank.index().checked_sub(1) {
            None => &self.first,
            Some(other) => &self.others[other],
        }
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Depot> {
        [&self.first].into_iter().chain(&self.others)
    }

    pub(super) fn banks(&self) -> impl Iterator<Item = Bank> + use<> {
        (0..=self.others.len()).map(|index| Bank(index as u8))
    }

    /// The bank of this thread, of those that have a depot here. Looked up where there are several.
    pub(super) fn here(&self) -> Bank {
        if self.others.is_empty() {
            return Bank::FIRST;
        }
        // A pool may have been built where fewer were known.
        Some(Bank::here()).filter(|bank| bank.index() <= self.others.len()).unwrap_or_default()
    }

    /// Those of the other banks, the next one first, so that not all threads look into the same.
    pub(super) fn besides(&self, bank: Bank) -> impl Iterator<Item = &Depot> {
        let count = self.others.len() + 1;
        (1..count).map(move |distance| self.of(Bank(((bank.index() + distance) % count) as u8)))
    }

    /// The bank whose depot has the most.
    pub(super) fn fullest(&self) -> Bank {
        self.banks().max_by_key(|&bank| self.of(bank).level()).unwrap_or_default()
    }

    pub(super) fn level(&self) -> usize {
        self.all().map(Depot::level).sum()
    }

    /// The sum of the lowest levels, which is what nobody needed of each bank. Not at the same time as another call for
    /// this watcher.
    pub(super) fn ebb(&self, watcher: Watcher) -> usize {
        self.all().map(|depot| depot.ebb(watcher)).sum()
    }

    /// Slots that came home to their bank from there, or from another.
    pub(super) fn returns(&self, side: Side) -> u64 {
        self.all().map(|depot| depot.returns(side)).sum()
    }

    /// Whether a slot may be of another bank than others.
    pub(super) fn are_several(&self) -> bool {
        !self.others.is_empty()
    }

    /// Bytes besides those of the store.
    pub(super) fn bytes(&self) -> usize {
        size_of_val(&*self.others)
    }
}

/// Passes slots on by their banks, each time those of one. Mostly all are of one bank, and passed on as they are; and where
/// there are not several, nobody asks them.
///
/// What was passed on is not touched again: `each` may give it away, and if it was the last of them, what the slots kept.
///
/// # Safety
/// The caller holds the slots, of which there are some.
pub(super) unsafe fn by_bank(are_several: bool, slots: &[SlotPtr], mut each: impl FnMut(Bank, &[SlotPtr])) {
    if !are_several {
        return each(Bank::FIRST, slots);
    }
    for slots in slots.chunks(DEPTH) {
        // SAFETY: the caller's.
        let bank_of = |slot: &SlotPtr| unsafe { slot.head() }.bank();
        let bank = bank_of(&slots[0]);
        if slots.iter().all(|slot| bank_of(slot) == bank) {
            each(bank, slots);
            continue;
        }
        let mut left = [slots[0]; DEPTH];
        let mut left = &mut left[..slots.len()];
        left.copy_from_slice(slots);
        while let Some(bank) = left.first().map(bank_of) {
            let passed = gather(left, |slot| bank_of(slot) == bank);
            let (now, later) = left.split_at_mut(passed);
            left = later;
            each(bank, now);
        }
    }
}

/// Brings those that are chosen to the front, everything in its order; how many.
fn gather(slots: &mut [SlotPtr], is_chosen: impl Fn(&SlotPtr) -> bool) -> usize {
    let mut chosen = 0;
    for at in 0..slots.len() {
        if is_chosen(&slots[at]) {
            slots[chosen..=at].rotate_right(1);
            chosen += 1;
        }
    }
    chosen
}

#[cfg(all(test, not(loom)))]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::engine::table::SlotTable;

    /// A table with a slot of each of these banks, which belong to no store.
    fn slots(banks: &[u8]) -> (SlotTable, Vec<SlotPtr>) {
        let table = SlotTable::new::<()>();
        let add = |&bank: &u8| {
            let slot = table.add(std::ptr::null(), ()).expect("memory for a few slots");
            // SAFETY: just made, and the table stays.
            unsafe { slot.head() }.set_home(std::ptr::null(), Bank(bank));
            slot
        };
        let slots = banks.iter().map(add).collect();
        (table, slots)
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: if cfg!(miri) { 4 } else { 256 }, failure_persistence: None, ..Default::default() })]

        /// All that is passed on is of one bank, in its order, and nothing twice.
        #[test]
        fn slots_are_dealt_out_by_bank(banks in vec(0..4_u8, 1..2 * DEPTH)) {
            let (_table, slots) = slots(&banks);
            let mut dealt = Vec::new();
            // SAFETY: held.
            unsafe { by_bank(true, &slots, |bank, some| dealt.push((bank.0, some.to_vec()))) };
            for bank in 0..4 {
                let expected = Vec::from_iter(slots.iter().zip(&banks).filter(|(_, of)| **of == bank).map(|(&slot, _)| slot));
                let found = dealt.iter().filter(|(of, _)| *of == bank).flat_map(|(_, some)| some.clone());
                prop_assert_eq!(found.collect::<Vec<_>>(), expected);
            }
            prop_assert!(dealt.len() <= 4 * slots.len().div_ceil(DEPTH));
        }
    }

    #[test]
    fn one_bank_is_passed_on_at_once() {
        let (_table, slots) = slots(&[2; DEPTH]);
        let mut times = 0;
        // SAFETY: held.
        unsafe { by_bank(true, &slots, |bank, some| times += usize::from(bank == Bank(2) && some == &slots[..])) };
        assert_eq!(times, 1);
    }
}
