//! What somebody waits for, and what it gets.
#![allow(clippy::box_collection, reason = "what is rare takes one word")]

use crate::engine::boxed::try_box;
use crate::engine::core::Core;
use crate::engine::spare::{Spare, Spares};
use crate::policy::budget::node::Amount;
use crate::policy::error::Error;

/// Slots of one class.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Part {
    pub(crate) class: usize,
    pub(crate) count: usize,
    /// What one of them is charged when it is new.
    pub(crate) each: Amount,
}

impl Part {
    /// What `count` new ones are charged; saturates, as nothing of that size fits any limit.
    pub(crate) fn charge_for(&self, count: usize) -> Amount {
        Amount { values: self.each.values.saturating_mul(count), bytes: self.each.bytes.saturating_mul(count) }
    }
}

/// All that one waiter needs, at once: parts of different classes.
#[derive(Clone, Debug)]
pub struct Demand {
    first: Part,
    /// None in the common case; boxed, because it is written to memory that several processors share.
    more: Option<Box<Vec<Part>>>,
}

impl Demand {
    /// `count` slots of one class.
    pub(crate) fn of(class: usize, count: usize, each: Amount) -> Self {
        Demand { first: Part { class, count, each }, more: None }
    }

    /// All of these; an error when there is no memory for the list.
    pub(crate) fn of_parts(mut parts: Vec<Part>) -> Result<Self, Error> {
        let first = parts.pop().unwrap_or(Part { class: 0, count: 0, each: Amount::default() });
        let mut demand = Demand { first, more: None };
        if !parts.is_empty() {
            let out_of_memory = Error::OutOfMemory { requested: size_of::<Vec<Part>>() };
            demand.more = Some(try_box(parts).ok_or(out_of_memory)?);
        }
        Ok(demand)
    }

    pub(crate) fn parts(&self) -> impl Iterator<Item = &Part> {
        std::iter::once(&self.first).chain(self.more.iter().flat_map(|more| more.iter()))
    }

    /// Whether one slot of this class is all that is needed.
    pub(super) fn is_one_of(&self, class: usize) -> bool {
        self.first.count == 1 && self.first.class == class && self.more.is_none()
    }

    /// Whether more slots of this class are needed than lie idle in the pool's depots.
    pub(super) fn lacks(&self, class: usize, core: &Core) -> bool {
        self.parts().any(|part| part.class == class && part.count > core.shelved(class))
    }

    /// What all of it is charged.
    pub(crate) fn total(&self) -> Amount {
        self.sum(|part| part.count)
    }

    /// What must be charged besides the slots that lie idle in the pool's depots.
    pub(super) fn lacking(&self, core: &Core) -> Amount {
        self.sum(|part| part.count.saturating_sub(core.shelved(part.class)))
    }

    fn sum(&self, count: impl Fn(&Part) -> usize) -> Amount {
        self.parts().map(|part| part.charge_for(count(part))).fold(Amount::default(), Amount::saturating_add)
    }
}

/// What a waiter got: slots, and the charge for those that must still be born. Nothing is allocated for it, as who grants it
/// may be returning a buffer, and could not tell anybody that there is no memory.
#[derive(Debug, Default)]
pub struct Grant {
    /// Mostly all there is. Apart from the others, as these are linked, and one alone need not be touched.
    first: Option<Spare>,
    more: Spares,
    pub(super) charged: Amount,
}

impl Grant {
    pub(super) fn of(spare: Spare) -> Self {
        Grant { first: Some(spare), ..Grant::default() }
    }

    pub(super) fn charged(charged: Amount) -> Self {
        Grant { charged, ..Grant::default() }
    }

    fn add(&mut self, spare: Spare) {
        match self.first {
            None => self.first = Some(spare),
            Some(_) => self.more.add(spare),
        }
    }

    /// Takes what lies idle of a demand out of the pool's depots; what must be charged for the rest.
    pub(super) fn fill(&mut self, demand: &Demand, core: &Core, mut surplus: impl FnMut(Spare)) -> Amount {
        let mut births = Amount::default();
        for part in demand.parts() {
            let mut left = part.count;
            core.unshelve(part.class, part.count, |spare| match left.checked_sub(1) {
                Some(less) => {
                    left = less;
                    self.add(spare);
                }
                None => surplus(spare),
            });
            births = births.saturating_add(part.charge_for(left));
        }
        births
    }

    /// The slot, if the grant is one and nothing else.
    #[inline]
    pub(crate) fn into_one(self) -> Result<Spare, Grant> {
        match self {
            Grant { first: Some(spare), more, charged } if more.is_empty() && charged.is_nothing() => Ok(spare),
            other => Err(other),
        }
    }

    /// The slots, and what is charged for others.
    pub(crate) fn into_parts(self) -> (impl Iterator<Item = Spare>, Amount) {
        (self.first.into_iter().chain(self.more), self.charged)
    }
}
