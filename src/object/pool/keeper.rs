//! What an object pool keeps besides its slots: how values are made and weighed, and what is charged for them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};

use crate::engine::core::{Core, Keeper};
use crate::engine::lists::Lists;
use crate::engine::spare::Spare;
use crate::memory::os::topology::Bank;
use crate::object::builder::{Create, Options, Weigh};
use crate::object::pooled::taken::{self, STORE};
use crate::object::pooled::{Held, MAX_WEIGHT, Pooled};
use crate::object::reuse::Reuse;
use crate::panics;
use crate::policy::acquire::{Site, Waits};
use crate::policy::budget::{self, Amount, Node};
use crate::policy::builder::Overflow;
use crate::policy::error::Error;
use crate::policy::maintenance::{self, Upkeep};
#[cfg(feature = "track")]
use crate::policy::outstanding::log_abandoned;
use crate::tell::Name;

/// What an object pool keeps besides its slots.
pub(crate) struct ObjectKeeper<T: Reuse + Send + 'static> {
    pub(super) create: Create<T>,
    pub(super) weigh: Option<Weigh<T>>,
    pub(super) options: Options,
    /// [`Pool::close`](crate::Pool::close) was called.
    pub(super) closed: AtomicBool,
    /// What is charged for a value: one of `max_objects` where there is such a limit, and above that its weight.
    pub(super) leaf: Arc<Node>,
    pub(super) waits: Arc<Waits>,
    /// None where idle values stay.
    pub(super) upkeep: Option<Arc<Upkeep>>,
    pub(super) lists: Lists<Pooled<T>>,
    pub(super) name: Name,
    /// What the last new value weighed, and the next will weigh, probably.
    pub(super) expected: AtomicUsize,
}

impl<T: Reuse + Send + 'static> Keeper for ObjectKeeper<T> {
    type Content = Held<T>;

    fn vacate(&self, held: &Held<T>, class: usize, _: Bank) -> usize {
        panics::contain(|| taken::vacate(held));
        if class == STORE {
            self.leaf.release(Amount { values: 1, bytes: held.weight() });
        }
        held.weight()
    }

    fn offer(&self, core: &Core, spare: Spare) {
        budget::offer(Site { leaf: &self.leaf, core, waits: &self.waits }, spare);
    }

    fn woken(&self) {
        self.upkeep.iter().for_each(maintenance::wake);
    }

    fn shut(&self, core: &Core) {
        self.upkeep.iter().for_each(maintenance::dismiss);
        self.leaf.leave(core);
        budget::dismiss(&self.leaf, &self.waits);
        self.lists.clear();
    }

    #[cfg(feature = "track")]
    fn abandoned(&self, core: &Core) {
        log_abandoned(core, &self.name);
    }
}

impl<T: Reuse + Send + 'static> ObjectKeeper<T> {
    pub(crate) fn leaf(&self) -> &Arc<Node> {
        &self.leaf
    }

    pub(crate) fn name(&self) -> &Name {
        &self.name
    }

    pub(crate) fn overflow(&self) -> Overflow {
        self.options.bounds.overflow
    }

    pub(crate) fn lists(&self) -> &Lists<Pooled<T>> {
        &self.lists
    }

    pub(crate) fn waits(&self) -> &Arc<Waits> {
        &self.waits
    }

    /// Whether values are weighed, each and again.
    pub(crate) fn weighs(&self) -> bool {
        self.weigh.is_some()
    }

    /// What a value weighs, by the user's code.
    pub(crate) fn weigh(&self, value: &T) -> usize {
        let weight = self.weigh.as_ref().map_or(size_of::<T>(), |weigh| weigh(value));
        weight.min(MAX_WEIGHT)
    }

    /// What a new value will be charged, as far as is known before it is made.
    pub(crate) fn expected(&self) -> Amount {
        Amount { values: 1, bytes: self.expected.load(Relaxed) }
    }

    /// A new value turned out to weigh so much.
    pub(crate) fn expect(&self, weight: usize) {
        self.expected.store(weight, Relaxed);
    }

    /// A new value, by the user's code.
    pub(crate) fn create(&self) -> Result<T, Error> {
        (self.create)()
    }

    pub(crate) fn trim(&self) -> usize {
        self.options.trim_capacity
    }

    pub(crate) fn is_closed(&self) -> bool {
        // Relaxed: closing races with requests in any order.
        self.closed.load(Relaxed)
    }
}
