//! A node of a budget tree: how much is charged, and up to which limit.
//!
//! A charge goes from a leaf to the root and is checked at each node by one compare-and-swap, so no interleaving lets
//! `used` pass the limit. A node that refuses has what was charged below it taken back.
//!
//! A node may have a *minimum*: charged to its parent when it is made, so its own charges go to the parent only beyond
//! it. Two numbers say how the node's charges are covered: `unclaimed`, the part of the minimum that is free, and
//! `beyond`, what was charged to the parent besides. A charge claims first and then goes beyond, a release takes from
//! beyond first; each is a sum of steps, and two at once may leave both above zero. Therefore each looks at both when it
//! is done, and gives to the parent what the minimum could cover: when nobody works, one of them is zero.

use std::fmt;
use std::iter;
use std::sync::{Arc, Weak};

use crate::engine::core::{Core, CoreRef, Reach};
use crate::policy::acquire::Waits;
use crate::policy::budget::line::{Tree, cover_changed, serve};
use crate::sync::{AtomicBool, AtomicUsize, Mutex, Ordering::*, fence, locked};

/// What is charged: so many values, of so many bytes together.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Amount {
    pub(crate) values: usize,
    pub(crate) bytes: usize,
}

impl Amount {
    pub(crate) const fn bytes(bytes: usize) -> Self {
        Amount { values: 0, bytes }
    }

    pub(crate) fn is_nothing(self) -> bool {
        self == Amount::default()
    }

    pub(super) fn saturating_add(self, other: Amount) -> Amount {
        Amount { values: self.values.saturating_add(other.values), bytes: self.bytes.saturating_add(other.bytes) }
    }

    pub(super) fn saturating_sub(self, other: Amount) -> Amount {
        Amount { values: self.values.saturating_sub(other.values), bytes: self.bytes.saturating_sub(other.bytes) }
    }

    fn of(self, unit: Unit) -> usize {
        match unit {
            Unit::Bytes => self.bytes,
            Unit::Values => self.values,
        }
    }

    /// What is left for the parent of a node of this unit that covers so much itself.
    fn beyond(self, unit: Unit, covered: usize) -> Amount {
        match unit {
            Unit::Bytes => Amount { bytes: self.bytes - covered, ..self },
            Unit::Values => Amount { values: 0, ..self },
        }
    }
}

/// What a node counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Unit {
    Bytes,
    /// A pool's own number of values. Its parent counts their bytes.
    Values,
}

/// Asked at pressure for so many bytes; how many it freed.
pub(super) type OnPressure = Arc<dyn Fn(usize) -> usize + Send + Sync>;

pub(crate) struct Node {
    parent: Option<Arc<Node>>,
    tree: Arc<Tree>,
    unit: Unit,
    limit: AtomicUsize,
    used: AtomicUsize,
    peak: AtomicUsize,
    min: usize,
    /// Whether a minimum covers what is charged here: this node's, or that of one above it.
    covered: bool,
    unclaimed: AtomicUsize,
    beyond: AtomicUsize,
    /// The number of this node's line in the tree.
    line: usize,
    /// Somebody stands here. Changed under the lock of the lines.
    waited_at: AtomicBool,
    /// Waiters of pools under this node, which has a minimum, that stand above it. Changed under the lock of the lines.
    above: AtomicUsize,
    /// All pools under this node have attention raised.
    raised: AtomicBool,
    /// All there is under this node is one pool. Changed under the lock of the members.
    sole: AtomicBool,
    members: Mutex<Members>,
}

/// Who is under a node. Ids ascend, so that a visitor can go on after a member that is gone.
#[derive(Default)]
struct Members {
    next_id: u64,
    pools: Vec<(u64, Option<String>, CoreRef)>,
    children: Vec<(u64, Weak<Node>)>,
    on_pressure: Vec<OnPressure>,
}

/// Why a charge was refused.
#[derive(Clone, Copy)]
pub(crate) struct Refusal<'a> {
    pub(crate) node: &'a Arc<Node>,
    /// Others wait here, who come first. Otherwise, the limit is reached.
    pub(crate) queued: bool,
}

/// Who wants to be charged.
#[derive(Clone, Copy)]
pub(crate) enum Who<'a> {
    /// Comes behind all who wait.
    Newcomer,
    /// Comes behind those with earlier tickets. Asks the closure for the earliest ticket at a node.
    Waiter(u64, &'a dyn Fn(&Arc<Node>) -> Option<u64>),
}

/// A charge that is taken back as far as it is not spent.
pub(crate) struct Reservation<'a> {
    node: &'a Arc<Node>,
    amount: Amount,
}

impl<'a> Reservation<'a> {
    /// All of it is charged for good: slots have it now.
    pub(crate) fn keep(self) {
        std::mem::forget(self);
    }

    /// What was charged as `from` bytes turns out to be `to`. As it was when a budget refuses.
    pub(crate) fn reweigh(&mut self, from: usize, to: usize) -> Result<(), Refusal<'a>> {
        self.node.reweigh(from, to)?;
        self.amount.bytes = self.amount.bytes - from + to;
        Ok(())
    }

    /// A slot has so much of it now.
    pub(crate) fn spend(&mut self, amount: Amount) {
        self.amount.values -= amount.values;
        self.amount.bytes -= amount.bytes;
    }
}

impl Drop for Reservation<'_> {
    fn drop(&mut self) {
        if !self.amount.is_nothing() {
            self.node.release(self.amount);
        }
    }
}

impl Node {
    pub(super) fn root(limit: usize) -> Arc<Self> {
        let tree = Arc::new(Tree::new());
        Arc::new(Self::new(None, tree, Unit::Bytes, 0, limit))
    }

    /// A node below this one, to which `min` has been charged.
    pub(super) fn below(self: &Arc<Self>, unit: Unit, min: usize, limit: usize) -> Arc<Self> {
        let child = Arc::new(Self::new(Some(self.clone()), self.tree.clone(), unit, min, limit));
        let mut members = locked(&self.members);
        let id = members.take_id();
        members.children.retain(|(_, child)| child.strong_count() > 0);
        members.children.push((id, Arc::downgrade(&child)));
        self.sole.store(members.are_one_pool(), Relaxed);
        drop(members);
        child
    }

    /// The node of one pool that may have so many values.
    pub(crate) fn for_values(self: &Arc<Self>, limit: usize) -> Arc<Self> {
        self.below(Unit::Values, 0, limit)
    }

    fn new(parent: Option<Arc<Self>>, tree: Arc<Tree>, unit: Unit, min: usize, limit: usize) -> Self {
        let line = tree.new_line();
        let covered = min > 0 || parent.as_ref().is_some_and(|parent| parent.covered);
        Node {
            parent,
            tree,
            unit,
            limit: AtomicUsize::new(limit),
            used: AtomicUsize::new(0),
            peak: AtomicUsize::new(0),
            min,
            covered,
            unclaimed: AtomicUsize::new(min),
            beyond: AtomicUsize::new(0),
            line,
            waited_at: AtomicBool::new(false),
            above: AtomicUsize::new(0),
            raised: AtomicBool::new(false),
            sole: AtomicBool::new(false),
            members: Mutex::new(Members::default()),
        }
    }

    pub(super) fn tree(&self) -> &Arc<Tree> {
        &self.tree
    }

    pub(super) fn line(&self) -> usize {
        self.line
    }

    pub(super) fn waited_at(&self) -> &AtomicBool {
        &self.waited_at
    }

    pub(super) fn above(&self) -> &AtomicUsize {
        &self.above
    }

    /// Whether somebody waits here, or above for what a minimum here may come to cover.
    fn has_line(&self) -> bool {
        self.waited_at.load(Relaxed) || self.above.load(Relaxed) > 0
    }

    pub(super) fn raised(&self) -> &AtomicBool {
        &self.raised
    }

    /// Whether all there is under this node is one pool: then that pool's idle memory is all that could give way here, and
    /// nobody else can be asked. Who comes later has nothing yet.
    pub(super) fn is_sole(&self) -> bool {
        self.sole.load(Relaxed)
    }

    pub(crate) fn unit(&self) -> Unit {
        self.unit
    }

    pub(crate) fn used(&self) -> usize {
        self.used.load(Relaxed)
    }

    pub(crate) fn limit(&self) -> usize {
        self.limit.load(Relaxed)
    }

    pub(super) fn peak(&self) -> usize {
        self.peak.load(Relaxed)
    }

    pub(super) fn min(&self) -> usize {
        self.min
    }

    pub(super) fn is_covered(&self) -> bool {
        self.covered
    }

    /// What this node alone would still take.
    pub(crate) fn available(&self) -> usize {
        self.limit().saturating_sub(self.used())
    }

    /// How many bytes would have to be released here for a charge by this leaf, if that would help.
    pub(super) fn missing(self: &Arc<Self>, leaf: &Arc<Self>, amount: Amount) -> usize {
        if self.unit == Unit::Values {
            return 0;
        }
        let below = leaf.path().take_while(|node| !Arc::ptr_eq(node, self));
        let rest = below.fold(amount.bytes, |rest, node| rest.saturating_sub(node.unclaimed.load(Relaxed)));
        rest.saturating_sub(self.available())
    }

    /// What could be charged here now: what this node and all above it would take.
    pub(super) fn available_to_all(&self) -> usize {
        let above = self.parent.as_ref().map_or(usize::MAX, |parent| parent.available_to_all());
        self.available().min(above.saturating_add(self.unclaimed.load(Relaxed)))
    }

    pub(super) fn set_limit(&self, limit: usize) {
        self.limit.store(limit, Relaxed);
    }

    /// Charges an amount here and above, or nothing.
    pub(crate) fn charge<'a>(self: &'a Arc<Self>, amount: Amount, who: Who<'_>) -> Result<(), Refusal<'a>> {
        let used = self.add(amount.of(self.unit), who)?;
        let covered = self.claim(amount.of(self.unit));
        let rest = amount.beyond(self.unit, covered);
        if let Some(parent) = self.parent.as_ref().filter(|_| !rest.is_nothing()) {
            if let Err(refusal) = parent.charge(rest, who) {
                self.unclaim(covered);
                self.sub(amount.of(self.unit));
                self.rebalance();
                return Err(refusal);
            }
            self.count_beyond(rest.bytes);
        }
        if self.peak() < used {
            self.peak.fetch_max(used, Relaxed);
        }
        Ok(())
    }

    /// Charges an amount for a newcomer, until the reservation is dropped.
    pub(crate) fn reserve(self: &Arc<Self>, amount: Amount) -> Result<Reservation<'_>, Refusal<'_>> {
        #[cfg(test)]
        crate::engine::tally::charge();
        let charged = self.charge(amount, Who::Newcomer);
        if self.covered {
            fence(SeqCst);
            if self.tree.has_waiters() {
                cover_changed(self);
            }
        } else if charged.is_err() {
            // What was charged below the node that refused is free again.
            self.announce_release();
        }
        charged.map(|()| self.reserved(amount))
    }

    /// Charges `to` bytes in place of `from`.
    pub(crate) fn reweigh(self: &Arc<Self>, from: usize, to: usize) -> Result<(), Refusal<'_>> {
        if to > from {
            self.reserve(Amount::bytes(to - from))?.keep();
        } else if from > to {
            self.release(Amount::bytes(from - to));
        }
        Ok(())
    }

    /// An amount that is charged already, until the reservation is dropped.
    pub(crate) fn reserved(self: &Arc<Self>, amount: Amount) -> Reservation<'_> {
        Reservation { node: self, amount }
    }

    /// Takes back what was charged. Whoever waits for it is served.
    pub(crate) fn release(self: &Arc<Self>, amount: Amount) {
        self.uncharge(amount);
        self.announce_release();
    }

    /// As [`release`](Self::release), but nobody is served: for who does that next.
    pub(super) fn uncharge(&self, amount: Amount) {
        let own = amount.of(self.unit);
        let beyond = if self.min == 0 { own } else { self.uncount_beyond(own) };
        self.unclaim(own - beyond);
        let rest = amount.beyond(self.unit, own - beyond);
        if let Some(parent) = self.parent.as_ref().filter(|_| !rest.is_nothing()) {
            parent.uncharge(rest);
        }
        self.sub(own);
        self.rebalance();
    }

    fn announce_release(self: &Arc<Self>) {
        // With the fence in `stand`: either we see that somebody waits, or who comes to wait sees what was released.
        fence(SeqCst);
        if self.tree.has_waiters() {
            serve(self);
        }
    }

    /// The new sum.
    fn add<'a>(self: &'a Arc<Self>, amount: usize, who: Who<'_>) -> Result<usize, Refusal<'a>> {
        if amount == 0 {
            return Ok(self.used());
        }
        let queued = match who {
            Who::Newcomer => self.has_line(),
            Who::Waiter(ticket, first) => first(self).is_some_and(|first| first < ticket),
        };
        let raise = |used: usize| used.checked_add(amount).filter(|&used| used <= self.limit());
        // Relaxed: only the number counts.
        let added = if queued { Err(0) } else { self.used.fetch_update(Relaxed, Relaxed, raise) };
        added.map(|before| before + amount).map_err(|_| Refusal { node: self, queued })
    }

    fn sub(&self, amount: usize) {
        let before = self.used.fetch_sub(amount, Relaxed);
        debug_assert!(before >= amount, "{amount} released of {before}");
    }

    /// Covers as much of an amount as the minimum can; how much.
    fn claim(&self, amount: usize) -> usize {
        if self.min == 0 {
            return 0;
        }
        let unclaimed = self.unclaimed.fetch_update(AcqRel, Acquire, |free| Some(free - free.min(amount)));
        unclaimed.map_or(0, |free| free.min(amount))
    }

    fn unclaim(&self, amount: usize) {
        if amount > 0 && self.min > 0 {
            self.unclaimed.fetch_add(amount, AcqRel);
        }
    }

    fn count_beyond(&self, amount: usize) {
        if self.min > 0 {
            self.beyond.fetch_add(amount, AcqRel);
            self.rebalance();
        }
    }

    /// Takes as much of an amount from beyond as there is; how much.
    fn uncount_beyond(&self, amount: usize) -> usize {
        let before = self.beyond.fetch_update(AcqRel, Acquire, |beyond| Some(beyond - beyond.min(amount)));
        before.map_or(0, |beyond| beyond.min(amount))
    }

    /// Gives to the parent what the minimum could cover.
    fn rebalance(&self) {
        if self.min == 0 {
            return;
        }
        // Whoever made one of the two numbers greater looks at both afterwards, so the last of them sees both.
        fence(SeqCst);
        loop {
            let claimed = self.claim(self.beyond.load(Acquire));
            if claimed == 0 {
                return;
            }
            let covered = self.uncount_beyond(claimed);
            self.unclaim(claimed - covered);
            if let Some(parent) = &self.parent {
                parent.uncharge(Amount::bytes(covered));
                self.tree.count_given();
            }
        }
    }

    /// From this node up to the root, or to the first node that covers all by its minimum: where memory that is released
    /// here becomes free.
    pub(super) fn reach(self: &Arc<Self>) -> impl Iterator<Item = &Arc<Self>> {
        iter::successors(Some(self), |node| {
            let inside = node.min > 0 && node.beyond.load(Relaxed) == 0;
            node.parent.as_ref().filter(|_| !inside)
        })
    }

    /// From this node up to the root.
    pub(super) fn path(self: &Arc<Self>) -> impl Iterator<Item = &Arc<Self>> {
        iter::successors(Some(self), |node| node.parent.as_ref())
    }

    pub(super) fn top(self: &Arc<Self>) -> &Arc<Self> {
        self.path().last().unwrap_or(self)
    }

    /// Brings up to date what a pool's users have waited; how many wait now.
    pub(crate) fn count_waits(&self, waits: &Waits) -> u64 {
        self.tree.count_waits(waits)
    }

    /// Whether somebody waits for memory that this node's pools could give.
    pub(crate) fn is_queued(self: &Arc<Self>) -> bool {
        self.reach().any(|node| node.has_line())
    }

    /// The amount and the limit that it will never fit, if there is one.
    pub(crate) fn never_fits(self: &Arc<Self>, amount: Amount) -> Option<(usize, usize)> {
        self.path().map(|node| (amount.of(node.unit), node.limit())).find(|(amount, limit)| amount > limit)
    }

    /// Makes a pool known to those that look for memory under this node. Its slots come home to who waits already.
    pub(crate) fn join(self: &Arc<Self>, name: Option<String>, core: CoreRef, waits: &Arc<Waits>) {
        // Under the tree's lock: who comes to wait either finds the pool, or has been seen here.
        self.tree.join(self, core.clone(), waits, || {
            let waited_for = self.path().any(|node| node.waited_at.load(Relaxed) || node.raised.load(Relaxed));
            if waited_for {
                core.raise_attention();
                core.set_attended();
            }
            let mut members = locked(&self.members);
            let id = members.take_id();
            members.pools.push((id, name, core));
            self.sole.store(members.are_one_pool(), Relaxed);
        });
    }

    pub(crate) fn leave(&self, core: &Core) {
        let mut members = locked(&self.members);
        let place = members.pools.iter().position(|(_, _, pool)| pool.is(core));
        let left = place.map(|place| members.pools.remove(place));
        self.sole.store(members.are_one_pool(), Relaxed);
        drop(members);
        drop(left);
    }

    pub(super) fn add_on_pressure(&self, callback: OnPressure) {
        let mut members = locked(&self.members);
        members.on_pressure.push(callback);
        self.sole.store(false, Relaxed);
    }

    /// Visits the pools of this node and of those below it, without a lock held, until told to stop.
    pub(super) fn each_pool(&self, visit: &mut impl FnMut(&CoreRef) -> bool) -> bool {
        self.each_own_pool(visit) && self.children().all(|child| child.each_pool(visit))
    }

    /// Visits the pools of this node alone.
    fn each_own_pool(&self, visit: &mut impl FnMut(&CoreRef) -> bool) -> bool {
        let mut last = 0;
        loop {
            let next = locked(&self.members).pool_after(last);
            let Some((id, core)) = next else { return true };
            if !visit(&core) {
                return false;
            }
            last = id;
        }
    }

    pub(super) fn children(&self) -> impl Iterator<Item = Arc<Node>> + '_ {
        let mut last = 0;
        iter::from_fn(move || {
            let (id, child) = locked(&self.members).child_after(last)?;
            last = id;
            Some(child)
        })
    }

    pub(super) fn pools(&self) -> Vec<(Option<String>, CoreRef)> {
        locked(&self.members).pools.iter().map(|(_, name, core)| (name.clone(), core.clone())).collect()
    }

    /// Has idle memory under this node given up until so many bytes are free for `leaf`; how many are.
    pub(crate) fn reclaim(&self, wanted: usize, reach: Reach, leaf: &Arc<Self>) -> usize {
        let mut freed = 0_usize;
        self.each_own_pool(&mut |core| {
            freed = freed.saturating_add(core.reclaim(wanted - freed, reach));
            freed < wanted
        });
        for child in self.children() {
            // What a minimum covers is free for its own pools alone.
            let is_own = child.min == 0 || leaf.path().any(|node| Arc::ptr_eq(node, &child));
            let of_use = if is_own { usize::MAX } else { child.beyond.load(Relaxed) };
            let missing = wanted.saturating_sub(freed).min(of_use);
            if missing > 0 {
                freed = freed.saturating_add(child.reclaim(missing, reach, leaf).min(of_use));
            }
        }
        freed
    }

    /// Asks the callbacks of this node, then of those below it, for so many bytes; how many they say they freed.
    pub(crate) fn press(&self, wanted: usize) -> usize {
        let mut freed = 0_usize;
        let mut index = 0;
        while freed < wanted {
            let next = locked(&self.members).on_pressure.get(index).cloned();
            let Some(callback) = next else { break };
            freed = freed.saturating_add(callback(wanted - freed));
            index += 1;
        }
        for child in self.children() {
            if freed < wanted {
                freed = freed.saturating_add(child.press(wanted - freed));
            }
        }
        freed
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node").field("used", &self.used()).field("limit", &self.limit()).finish_non_exhaustive()
    }
}

impl Members {
    fn take_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    fn are_one_pool(&self) -> bool {
        self.pools.len() == 1 && self.children.is_empty() && self.on_pressure.is_empty()
    }

    fn pool_after(&self, last: u64) -> Option<(u64, CoreRef)> {
        let next = self.pools.partition_point(|&(id, ..)| id <= last);
        self.pools.get(next).map(|(id, _, core)| (*id, core.clone()))
    }

    fn child_after(&self, last: u64) -> Option<(u64, Arc<Node>)> {
        let next = self.children.partition_point(|&(id, _)| id <= last);
        self.children[next..].iter().find_map(|(id, child)| Some((*id, child.upgrade()?)))
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        debug_assert_eq!(self.used(), 0, "a budget ends with memory charged to it");
        self.tree.give_back_line(self.line);
        if let Some(parent) = self.parent.as_ref().filter(|_| self.min > 0) {
            parent.release(Amount::bytes(self.min));
        }
    }
}
