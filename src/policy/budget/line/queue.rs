//! What is done to the lines of a tree under their lock.

use std::mem;
use std::sync::Arc;
use std::task::Waker;

use super::{Aftermath, Entry, Key, Outcome, Place, Pool, Queue, State, Stood};
use crate::engine::core::Core;
use crate::engine::spare::Spare;
use crate::policy::acquire::Waits;
use crate::policy::budget::demand::{Demand, Grant};
use crate::policy::budget::node::{Amount, Node, Who};
use crate::policy::error::Error;
use crate::sync::{Ordering::*, fence};

impl Queue {
    pub(super) fn entry(&self, key: usize) -> &Entry {
        self.entries[key].as_ref().expect("a key is given up with its entry")
    }

    pub(super) fn entry_mut(&mut self, key: usize) -> &mut Entry {
        self.entries[key].as_mut().expect("a key is given up with its entry")
    }

    /// Gives a pool a number.
    pub(super) fn add_pool(&mut self, pool: Pool) -> u32 {
        let number = self.free_pools.pop().unwrap_or(self.pools.len() as u32);
        if number as usize == self.pools.len() {
            self.pools.push(None);
        }
        self.pools[number as usize] = Some(pool);
        number
    }

    /// The pool of somebody who stands in line.
    pub(super) fn pool_of(&self, entry: &Entry) -> &Pool {
        self.pools[entry.pool as usize].as_ref().expect("nobody waits for a pool that has left")
    }

    /// Somebody who stands in line, and its pool.
    fn standing(&self, key: usize) -> (&Entry, &Pool) {
        let entry = self.entry(key);
        (entry, self.pool_of(entry))
    }

    /// Where somebody stands.
    fn place_of(&self, key: usize) -> &Arc<Node> {
        let (entry, pool) = self.standing(key);
        entry.at(&pool.leaf)
    }

    /// Who comes first of those who wait at a node: in its line, or above it for what its minimum may come to cover.
    pub(super) fn first_at(&self, node: &Arc<Node>) -> Option<usize> {
        let here = self.lines[node.line()].first;
        if node.above().load(Relaxed) == 0 {
            return here;
        }
        here.into_iter().chain(self.first_above(node)).min_by_key(|&key| self.entry(key).ticket)
    }

    /// Who comes first of those from under a node who stand above it.
    pub(super) fn first_above(&self, node: &Arc<Node>) -> Option<usize> {
        let from_here = |&key: &usize| self.standing(key).1.leaf.path().any(|below| Arc::ptr_eq(below, node));
        let firsts = node.path().skip(1).filter_map(|above| self.members(above).find(from_here));
        firsts.min_by_key(|&key| self.entry(key).ticket)
    }

    /// The line of a node.
    pub(super) fn members(&self, node: &Arc<Node>) -> impl Iterator<Item = usize> + '_ {
        std::iter::successors(self.lines[node.line()].first, |&key| self.entry(key).behind.get())
    }

    pub(super) fn first_ticket(&self, node: &Arc<Node>) -> Option<u64> {
        self.first_at(node).map(|key| self.entry(key).ticket)
    }

    /// A newcomer: granted at once if nobody is before it, else put in line.
    pub(super) fn admit(
        &mut self,
        leaf: &Arc<Node>,
        core: &Core,
        waits: &Waits,
        demand: Demand,
        ticket: Option<u64>,
        waker: &mut Option<Waker>,
        after: &mut Aftermath,
    ) -> Result<Stood, Error> {
        if let Some((requested, limit)) = leaf.never_fits(demand.total()) {
            return Err(Error::NeverFits { requested, limit });
        }
        let ticket = ticket.unwrap_or_else(|| {
            self.tickets += 1;
            self.tickets
        });
        let Some(pool) = waits.number() else { return Err(Error::Closed) };
        if leaf.tree().count_in() {
            // With the fences of those who release or set limits: either we see what they did, or they see us. Who comes
            // after others sees what these saw, by the lock.
            fence(SeqCst);
        }
        let behind_others = self.first_ticket(leaf).is_some_and(|first| first < ticket);
        let granted = if behind_others { Err(0) } else { self.try_grant(leaf, core, &demand, ticket, after) };
        let depth = match granted {
            Ok(grant) => {
                leaf.tree().count_out();
                return Ok(Stood::Granted(grant));
            }
            Err(depth) => depth,
        };
        core.be_restless();
        let entry = Entry {
            ticket,
            demand,
            pool,
            depth: depth as u32,
            before: Key::NONE,
            behind: Key::NONE,
            state: State::Standing(waker.take().expect("one comes with each newcomer")),
        };
        let key = self.free_entries.pop().unwrap_or(self.entries.len());
        if key == self.entries.len() {
            self.entries.push(None);
        }
        self.entries[key] = Some(entry);
        self.link(key);
        Ok(Stood::Waits(Place { key, ticket }))
    }

    /// Where somebody has come to stand, if memory must be looked for there: because nobody has done so, or because it is
    /// the first.
    pub(super) fn must_search(&self, key: usize) -> Option<Arc<Node>> {
        let at = self.place_of(key);
        let searched = at.raised().load(Relaxed);
        let missing = || self.missing(at).is_some_and(|(missing, _)| missing > 0);
        (!searched || self.lines[at.line()].first == Some(key) && missing()).then(|| at.clone())
    }

    /// All of a demand, or how many steps above the leaf it must wait.
    pub(super) fn try_grant(
        &self,
        leaf: &Arc<Node>,
        core: &Core,
        demand: &Demand,
        ticket: u64,
        after: &mut Aftermath,
    ) -> Result<Grant, usize> {
        let lacking = demand.lacking(core);
        if lacking.is_nothing() {
            // Nothing is charged, but whoever came earlier may want what lies idle here.
            let is_first = |node: &Arc<Node>| self.first_ticket(node).is_none_or(|first| first >= ticket);
            if let Some(depth) = leaf.reach().position(|node| !is_first(node)) {
                return Err(depth);
            }
        } else {
            self.charge(leaf, lacking, ticket)?;
        }
        let mut grant = Grant::charged(lacking);
        let births = grant.fill(demand, core, |spare| after.give_up(spare));
        // Something that was counted as idle may have been taken, or still be on its way here.
        if let Err(depth) = self.charge(leaf, births.saturating_sub(lacking), ticket) {
            let (spares, charged) = grant.into_parts();
            spares.filter_map(|spare| spare.shelve().err()).for_each(|spare| after.give_up(spare));
            leaf.uncharge(charged);
            return Err(depth);
        }
        leaf.uncharge(lacking.saturating_sub(births));
        grant.charged = births;
        Ok(grant)
    }

    /// Charges a waiter; or how many steps above the leaf it was refused.
    pub(super) fn charge(&self, leaf: &Arc<Node>, amount: Amount, ticket: u64) -> Result<(), usize> {
        let first = |node: &Arc<Node>| self.first_ticket(node);
        let charged = leaf.charge(amount, Who::Waiter(ticket, &first));
        charged.map_err(|refusal| leaf.path().take_while(|node| !Arc::ptr_eq(node, refusal.node)).count())
    }

    /// Tries to grant what an entry, the head of its line, waits for.
    pub(super) fn attempt(&mut self, key: usize, after: &mut Aftermath) -> Outcome {
        let (entry, pool) = self.standing(key);
        if let Some((requested, limit)) = pool.leaf.never_fits(entry.demand.total()) {
            self.settle(key, State::Failed(Error::NeverFits { requested, limit }.into()), after);
            return Outcome::Settled;
        }
        let depth = match self.try_grant(&pool.leaf, &pool.core, &entry.demand, entry.ticket, after) {
            Ok(grant) => {
                self.settle(key, State::Granted(grant), after);
                return Outcome::Settled;
            }
            Err(depth) => depth,
        };
        if depth == entry.depth as usize {
            return Outcome::Stays;
        }
        self.unlink(key);
        self.entry_mut(key).depth = depth as u32;
        self.link(key);
        if let Some(at) = self.must_search(key) {
            after.more().search.push(at);
        }
        Outcome::Moved
    }

    /// Tries those who come first at each node from this one to the root, until none gets what it waits for.
    pub(super) fn serve(&mut self, from: &Arc<Node>, after: &mut Aftermath) {
        let mut progress = true;
        while mem::take(&mut progress) {
            let given = from.tree().given();
            for node in from.path() {
                while let Some(first) = self.first_at(node) {
                    match self.attempt(first, after) {
                        Outcome::Settled => progress = true,
                        Outcome::Moved => {}
                        Outcome::Stays => break,
                    }
                }
            }
            // What an attempt gave back to a parent may be enough for somebody who was tried before.
            progress |= from.tree().given() != given;
        }
    }

    /// A slot of this pool came home.
    pub(super) fn offer(&mut self, leaf: &Arc<Node>, core: &Core, spare: Spare, after: &mut Aftermath) {
        let heads = leaf.reach().filter_map(|node| self.first_at(node));
        let Some(key) = heads.min_by_key(|&key| self.entry(key).ticket) else {
            if let Err(refused) = spare.shelve() {
                after.give_up(refused);
            }
            if core.calms_down() {
                self.lower_attention(leaf, core);
            }
            return;
        };
        core.be_restless();
        let (entry, pool) = self.standing(key);
        let is_of_its_pool = pool.core.is(core);
        if is_of_its_pool && entry.demand.is_one_of(spare.class()) {
            let nothing_is_free = entry.at(leaf).available() == 0;
            self.settle(key, State::Granted(Grant::of(spare)), after);
            if nothing_is_free {
                return;
            }
        } else if is_of_its_pool && entry.demand.lacks(spare.class(), core) {
            if let Err(refused) = spare.shelve() {
                after.give_up(refused);
            }
        } else {
            // What it releases serves the line.
            return after.give_up(spare);
        }
        // What is free already may be enough now, or enough for the next.
        self.serve(leaf, after);
    }

    /// Nobody has waited for a while.
    pub(super) fn lower_attention(&mut self, leaf: &Arc<Node>, core: &Core) {
        if leaf.path().any(|node| self.lines[node.line()].first.is_some()) {
            return core.be_restless();
        }
        self.changed += 1;
        leaf.path().for_each(|node| node.raised().store(false, Relaxed));
        core.lower_attention();
    }

    /// Fails those who wait for a pool's memory, and takes it out of the tree; none when it is out already.
    pub(super) fn dismiss(&mut self, waits: &Waits, after: &mut Aftermath) -> Option<Pool> {
        let number = waits.leave()?;
        for key in 0..self.entries.len() {
            let waits = |entry: &Entry| entry.pool == number && matches!(entry.state, State::Standing(_));
            if self.entries[key].as_ref().is_some_and(waits) {
                self.settle(key, State::Failed(Error::Closed.into()), after);
            }
        }
        self.free_pools.push(number);
        self.pools[number as usize].take()
    }

    /// What the head of a node's line would need released there, and for whom.
    pub(super) fn missing_at(&self, node: &Arc<Node>) -> Option<(usize, Arc<Node>)> {
        self.missing(node).map(|(missing, leaf)| (missing, leaf.clone()))
    }

    fn missing(&self, node: &Arc<Node>) -> Option<(usize, &Arc<Node>)> {
        let (entry, pool) = self.standing(self.lines[node.line()].first?);
        Some((node.missing(&pool.leaf, entry.demand.lacking(&pool.core)), &pool.leaf))
    }

    /// What the first of those who stand above the minimum here would need.
    pub(super) fn missing_covered(&self, leaf: &Arc<Node>) -> usize {
        let covering = leaf.reach().last().unwrap_or(leaf);
        let first = self.first_above(covering).map(|key| self.standing(key));
        first.map_or(0, |(entry, pool)| entry.demand.lacking(&pool.core).bytes)
    }

    /// Ends a wait: out of the line, and woken.
    pub(super) fn settle(&mut self, key: usize, state: State, after: &mut Aftermath) {
        self.unlink(key);
        if let State::Standing(waker) = mem::replace(&mut self.entry_mut(key).state, state) {
            after.wake(waker);
        }
        let (entry, pool) = self.standing(key);
        pool.leaf.tree().count_out();
        if entry.covering(&pool.leaf).next().is_some() {
            after.more().unblocked.push(pool.leaf.clone());
        }
    }

    /// The entry, out of its line.
    pub(super) fn remove(&mut self, key: usize) -> Entry {
        if matches!(self.entry(key).state, State::Standing(_)) {
            self.unlink(key);
            self.standing(key).1.leaf.tree().count_out();
        }
        self.free_entries.push(key);
        self.entries[key].take().expect("a key is given up with its entry")
    }

    /// Puts an entry into the line where it stands, behind those with earlier tickets.
    pub(super) fn link(&mut self, key: usize) {
        let (ticket, line) = (self.entry(key).ticket, self.place_of(key).line());
        let mut before = self.lines[line].last;
        while let Some(other) = before.filter(|&other| self.entry(other).ticket > ticket) {
            before = self.entry(other).before.get();
        }
        let behind = match before {
            Some(before) => mem::replace(&mut self.entry_mut(before).behind, Some(key).into()).get(),
            None => self.lines[line].first.replace(key),
        };
        match behind {
            Some(behind) => self.entry_mut(behind).before = Some(key).into(),
            None => self.lines[line].last = Some(key),
        }
        let entry = self.entry_mut(key);
        (entry.before, entry.behind) = (before.into(), behind.into());
        let (entry, pool) = self.standing(key);
        if (before, behind) == (None, None) {
            entry.at(&pool.leaf).waited_at().store(true, Relaxed);
        }
        for node in entry.covering(&pool.leaf) {
            node.above().store(node.above().load(Relaxed) + 1, Relaxed);
        }
    }

    pub(super) fn unlink(&mut self, key: usize) {
        let (entry, pool) = self.standing(key);
        let at = entry.at(&pool.leaf);
        let (before, behind, line) = (entry.before.get(), entry.behind.get(), at.line());
        if (before, behind) == (None, None) {
            at.waited_at().store(false, Relaxed);
        }
        for node in entry.covering(&pool.leaf) {
            node.above().store(node.above().load(Relaxed) - 1, Relaxed);
        }
        match before {
            Some(before) => self.entry_mut(before).behind = behind.into(),
            None => self.lines[line].first = behind,
        }
        match behind {
            Some(behind) => self.entry_mut(behind).before = before.into(),
            None => self.lines[line].last = before,
        }
    }
}
