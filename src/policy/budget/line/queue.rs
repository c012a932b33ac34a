//! What is done to the lines of a tree under their lock.

use std::collections::TryReserveError;
use std::mem;
use std::ops::RangeFrom;
use std::sync::Arc;
use std::time::Instant;

use super::{Aftermath, Entry, Hatches, Key, Line, NO_POOL, Outcome, Pool, Queue, State, Tree};
use crate::engine::core::Core;
use crate::engine::spare::{Spare, Spares};
use crate::policy::acquire::Site;
use crate::policy::budget::demand::{Demand, Grant};
use crate::policy::budget::node::{Amount, Node, Who};
use crate::policy::error::Error;
use crate::sync::Ordering::*;

impl Queue {
    fn entry(&self, key: usize) -> &Entry {
        &self.entries[key]
    }

    fn entry_mut(&mut self, key: usize) -> &mut Entry {
        &mut self.entries[key]
    }

    pub(super) fn line(&self, number: usize) -> &Line {
        self.near.get(number).unwrap_or_else(|| &self.far[number - self.near.len()])
    }

    fn line_mut(&mut self, number: usize) -> &mut Line {
        let others = number.wrapping_sub(self.near.len());
        self.near.get_mut(number).unwrap_or_else(|| &mut self.far[others])
    }

    /// One more stands in line, or is about to; whether it is the first.
    pub(super) fn count_in(&mut self, tree: &Tree) -> bool {
        self.waiting += 1;
        if self.waiting == 1 {
            tree.waited.store(true, Relaxed);
        }
        self.waiting == 1
    }

    /// One does not, after all.
    pub(super) fn count_out(&mut self, tree: &Tree) {
        self.waiting -= 1;
        if self.waiting == 0 {
            tree.waited.store(false, Relaxed);
        }
    }

    /// Gives a pool a number.
    pub(super) fn add_pool(&mut self, pool: Pool) -> u32 {
        let number = self.free_pools.pop().unwrap_or(self.pools.len() as u32);
        if number as usize == self.pools.len() {
            self.pools.push(None);
            self.free_pools.reserve(self.pools.len() - self.free_pools.len());
            self.unblocked.reserve(self.pools.len() - self.unblocked.len());
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

    /// Who comes first of those who wait at a node: in its line, or above it for what its minimum may come to cover.
    #[inline]
    pub(super) fn first_at(&self, node: &Arc<Node>) -> Option<usize> {
        let here = self.line(node.line()).first.get();
        if node.above().load(Relaxed) == 0 {
            return here;
        }
        self.first_of(here, self.first_above(node))
    }

    /// The earlier of two.
    fn first_of(&self, one: Option<usize>, other: Option<usize>) -> Option<usize> {
        match (one, other) {
            (Some(a), Some(b)) => Some(if self.entry(a).ticket <= self.entry(b).ticket { a } else { b }),
            _ => one.or(other),
        }
    }

    /// Who comes first of those from under a node who stand above it.
    pub(super) fn first_above(&self, node: &Arc<Node>) -> Option<usize> {
        let from_here = |&key: &usize| self.standing(key).1.leaf.path().any(|below| Arc::ptr_eq(below, node));
        let firsts = node.path().skip(1).filter_map(|above| self.members(above).find(from_here));
        firsts.min_by_key(|&key| self.entry(key).ticket)
    }

    /// The line of a node.
    pub(super) fn members(&self, node: &Arc<Node>) -> impl Iterator<Item = usize> + '_ {
        std::iter::successors(self.line(node.line()).first.get(), |&key| self.entry(key).behind.get())
    }

    pub(super) fn first_ticket(&self, node: &Arc<Node>) -> Option<u64> {
        self.first_at(node).map(|key| self.entry(key).ticket)
    }

    /// The next ticket, unless there is one already.
    pub(super) fn ticket(&mut self, earlier: Option<u64>) -> u64 {
        earlier.unwrap_or_else(|| {
            self.tickets += 1;
            self.tickets
        })
    }

    /// What a newcomer gets at once, if nobody is before it; or how many steps above the leaf it must wait.
    pub(super) fn try_newcomer(&self, site: Site<'_>, newcomer: &Entry, refused: &mut Spares) -> Result<Grant, usize> {
        let ticket = newcomer.ticket;
        // The last ticket is behind all others.
        let behind_others = |first: usize| ticket == self.tickets || self.entry(first).ticket < ticket;
        if self.first_at(site.leaf).is_some_and(behind_others) {
            return Err(0);
        }
        self.try_grant(site.leaf, site.core, newcomer.demand(), ticket, refused)
    }

    /// Puts an entry in line, where it says, under a [free key](Self::free_key).
    pub(super) fn add(&mut self, mut entry: Entry, key: usize) {
        if let Some(before) = self.entries.get_mut(key) {
            entry.listed = before.listed;
            if before.pool == entry.pool && before.waits < u32::MAX {
                (entry.waits, entry.waited) = (before.waits + 1, before.waited);
            } else {
                self.count_waited(key);
            }
        }
        match self.entries.get_mut(key) {
            Some(place) => *place = entry,
            None => self.entries.push(entry),
        }
        self.link(key);
    }

    /// The key of an entry that is over and whose hatch is empty, or a new one, for which there is room then. Two are tried
    /// besides the hint, so that those that nobody fetches from are passed over and there are never many more keys than
    /// needed.
    pub(super) fn free_key(&mut self, hint: usize, tree: &Tree) -> Result<usize, TryReserveError> {
        let hatches = &tree.hatches;
        let is_over = |key: usize| self.entries.get(key).is_some_and(|entry| matches!(entry.state, State::Over));
        if is_over(hint) && hatches.at(hint).is_empty() {
            return Ok(hint);
        }
        for _ in 0..2 {
            let Some(key) = self.over.pop_front() else { break };
            let key = key as usize;
            self.entry_mut(key).listed = false;
            if matches!(self.entry(key).state, State::Over) {
                if hatches.at(key).is_empty() {
                    return Ok(key);
                }
                self.list(key);
            }
        }
        self.make_room(hatches)?;
        Ok(self.entries.len())
    }

    /// Makes room for all that is ever kept of one entry more.
    fn make_room(&mut self, hatches: &Hatches) -> Result<(), TryReserveError> {
        let key = self.entries.len();
        self.entries.try_reserve(1)?;
        self.over.try_reserve(key + 1 - self.over.len())?;
        hatches.make(key)
    }

    /// Puts a key into the list of those that are over, unless it is there yet from the last time.
    fn list(&mut self, key: usize) {
        if !mem::replace(&mut self.entry_mut(key).listed, true) {
            self.over.push_back(key as u32);
        }
    }

    /// Counts for its pool what was waited under a key.
    fn count_waited(&mut self, key: usize) {
        let entry = &mut self.entries[key];
        if let Some(Some(pool)) = self.pools.get(entry.pool as usize) {
            pool.waits.add(mem::take(&mut entry.waits), mem::take(&mut entry.waited));
        }
    }

    /// The same for all keys of a pool.
    pub(super) fn count_waits(&mut self, pool: u32) {
        for key in 0..self.entries.len() {
            if self.entry(key).pool == pool {
                self.count_waited(key);
            }
        }
    }

    /// What somebody who has come to stand at a node would need released there, if it is the first. The others need
    /// nothing before it is their turn.
    pub(super) fn missing_to(&self, key: usize, at: &Arc<Node>) -> usize {
        let is_first = self.line(at.line()).first.get() == Some(key);
        if is_first { self.missing(at).map_or(0, |(missing, _)| missing) } else { 0 }
    }

    /// All of a demand, or how many steps above the leaf it must wait.
    pub(super) fn try_grant(
        &self,
        leaf: &Arc<Node>,
        core: &Core,
        demand: &Demand,
        ticket: u64,
        refused: &mut Spares,
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
        let births = grant.fill(demand, core, |spare| refused.add(spare));
        // Something that was counted as idle may have been taken, or still be on its way here.
        if let Err(depth) = self.charge(leaf, births.saturating_sub(lacking), ticket) {
            let (spares, charged) = grant.into_parts();
            spares.filter_map(|spare| spare.shelve().err()).for_each(|spare| refused.add(spare));
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
        if let Some((requested, limit)) = pool.leaf.never_fits(entry.demand().total()) {
            self.settle(key, State::Failed(Error::NeverFits { requested, limit }), after);
            return Outcome::Settled;
        }
        let depth = match self.try_grant(&pool.leaf, &pool.core, entry.demand(), entry.ticket, &mut after.spares) {
            Ok(grant) => {
                self.settle(key, State::Granted(grant), after);
                return Outcome::Settled;
            }
            Err(depth) => depth,
        };
        if depth == entry.depth as usize {
            return Outcome::Stays;
        }
        let at = super::at(&pool.leaf, depth).clone();
        self.unlink(key);
        self.entry_mut(key).stand_at(&at, depth);
        self.link(key);
        if !at.raised().load(Relaxed) || self.missing_to(key, &at) > 0 {
            after.search(at);
        }
        Outcome::Moved
    }

    /// Tries those who come first at each node from this one to the root, until none gets what it waits for, or no room is
    /// left for what follows; and those who may have waited for one who was served.
    pub(super) fn serve(&mut self, from: &Arc<Node>, after: &mut Aftermath) {
        self.serve_path(from, after);
        while !after.is_cut {
            let Some(number) = self.unblocked.pop() else { break };
            let Some(pool) = &mut self.pools[number as usize] else { continue };
            pool.is_unblocked = false;
            let leaf = pool.leaf.clone();
            self.serve_path(&leaf, after);
            if after.is_cut {
                self.unblock(number);
            }
        }
    }

    /// Remembers that others under a pool's leaf may have waited for one who waits no more.
    fn unblock(&mut self, number: u32) {
        if let Some(pool) = &mut self.pools[number as usize] {
            if !mem::replace(&mut pool.is_unblocked, true) {
                self.unblocked.push(number);
            }
        }
    }

    fn serve_path(&mut self, from: &Arc<Node>, after: &mut Aftermath) {
        let mut progress = true;
        while mem::take(&mut progress) {
            let given = from.tree().given();
            for node in from.path() {
                while let Some(first) = self.first_at(node) {
                    if !after.has_room() {
                        after.is_cut = true;
                        return;
                    }
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
    pub(super) fn offer(&mut self, site: Site<'_>, spare: Spare, after: &mut Aftermath) {
        let Site { leaf, core, waits } = site;
        let heads = leaf.reach().map(|node| self.first_at(node));
        let Some(key) = heads.fold(None, |one, other| self.first_of(one, other)) else {
            if let Err(refused) = spare.shelve() {
                after.give_up(refused);
            }
            if core.calms_down() {
                self.lower_attention(leaf, core);
            }
            return;
        };
        core.be_restless();
        let entry = self.entry(key);
        let is_of_its_pool = waits.number() == Some(entry.pool);
        if is_of_its_pool && entry.demand().is_one_of(spare.class()) {
            let hatch = leaf.tree().hatches.at(key);
            hatch.prefetch();
            let nothing_is_free = entry.at(leaf).available() == 0;
            self.settle(key, State::Over, after);
            hatch.put(spare);
            if nothing_is_free && self.unblocked.is_empty() {
                return;
            }
        } else if is_of_its_pool && entry.demand().lacks(spare.class(), core) {
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
        if leaf.path().any(|node| self.line(node.line()).first != Key::NONE) {
            return core.be_restless();
        }
        self.changed += 1;
        leaf.path().for_each(|node| node.raised().store(false, Relaxed));
        core.lower_attention();
    }

    /// Fails those under these keys who wait for a pool's memory, until no room is left for what follows; the keys that are
    /// done are taken off.
    pub(super) fn fail(&mut self, pool: u32, keys: &mut RangeFrom<usize>, after: &mut Aftermath) {
        while keys.start < self.entries.len() {
            let entry = self.entry(keys.start);
            if entry.pool == pool && matches!(entry.state, State::Standing(..)) {
                if !after.has_room() {
                    after.is_cut = true;
                    return;
                }
                self.settle(keys.start, State::Failed(Error::Closed), after);
            }
            keys.start += 1;
        }
    }

    /// Takes a pool out of the tree for whose memory nobody waits any more.
    pub(super) fn remove_pool(&mut self, number: u32) -> Option<Pool> {
        self.count_waits(number);
        for entry in self.entries.iter_mut().filter(|entry| entry.pool == number) {
            entry.pool = NO_POOL;
        }
        self.unblocked.retain(|&unblocked| unblocked != number);
        self.free_pools.push(number);
        self.pools[number as usize].take()
    }

    /// What the head of a node's line would need released there, and for whom.
    pub(super) fn missing_at(&self, node: &Arc<Node>) -> Option<(usize, Arc<Node>)> {
        self.missing(node).map(|(missing, leaf)| (missing, leaf.clone()))
    }

    fn missing(&self, node: &Arc<Node>) -> Option<(usize, &Arc<Node>)> {
        let (entry, pool) = self.standing(self.line(node.line()).first.get()?);
        Some((node.missing(&pool.leaf, entry.demand().lacking(&pool.core)), &pool.leaf))
    }

    /// What the first of those who stand above the minimum here would need.
    pub(super) fn missing_covered(&self, leaf: &Arc<Node>) -> usize {
        let covering = leaf.reach().last().unwrap_or(leaf);
        let first = self.first_above(covering).map(|key| self.standing(key));
        first.map_or(0, |(entry, pool)| entry.demand().lacking(&pool.core).bytes)
    }

    /// Ends a wait: out of the line, and woken. Who is over finds its spare in the hatch.
    pub(super) fn settle(&mut self, key: usize, state: State, after: &mut Aftermath) {
        self.leave_line(key);
        if let State::Over = state {
            self.list(key);
        }
        let entry = &mut self.entries[key];
        entry.waited.add(after.now().saturating_duration_since(entry.since));
        if let State::Standing(_, waker) = mem::replace(&mut entry.state, state) {
            after.wake(waker);
        }
        if entry.depth > 0 {
            let (entry, pool) = self.standing(key);
            if entry.covering(&pool.leaf).next().is_some() {
                self.unblock(entry.pool);
            }
        }
    }

    /// One stands no more.
    fn leave_line(&mut self, key: usize) {
        self.unlink(key);
        self.waiting -= 1;
        if self.waiting == 0 {
            self.standing(key).1.leaf.tree().waited.store(false, Relaxed);
        }
    }

    /// How an entry stood, which is out of its line then.
    pub(super) fn give_up(&mut self, key: usize, now: Instant) -> State {
        if let State::Standing(..) = self.entry(key).state {
            self.leave_line(key);
            let entry = self.entry_mut(key);
            entry.waited.add(now.saturating_duration_since(entry.since));
        }
        self.end(key)
    }

    /// What came of a wait, whose entry is over then.
    pub(super) fn end(&mut self, key: usize) -> State {
        self.list(key);
        mem::replace(&mut self.entry_mut(key).state, State::Over)
    }

    /// Puts an entry into the line where it stands, behind those with earlier tickets.
    pub(super) fn link(&mut self, key: usize) {
        let (ticket, number) = (self.entry(key).ticket, self.entry(key).line as usize);
        let Line { first, last } = *self.line(number);
        let mut before = last;
        // The last ticket is behind all others.
        while ticket != self.tickets && before != Key::NONE && self.entries[before.0 as usize].ticket > ticket {
            before = if before == first { Key::NONE } else { self.entries[before.0 as usize].before };
        }
        let behind = match before.get() {
            Some(before) => mem::replace(&mut self.entry_mut(before).behind, Key::new(key)),
            None => mem::replace(&mut self.line_mut(number).first, Key::new(key)),
        };
        match behind.get() {
            Some(behind) => self.entry_mut(behind).before = Key::new(key),
            None => self.line_mut(number).last = Key::new(key),
        }
        let entry = self.entry_mut(key);
        (entry.before, entry.behind) = (before, behind);
        self.count_above(key, 1);
        if first == Key::NONE {
            let (entry, pool) = self.standing(key);
            entry.at(&pool.leaf).waited_at().store(true, Relaxed);
        }
    }

    fn unlink(&mut self, key: usize) {
        let Entry { before, behind, line, .. } = *self.entry(key);
        let number = line as usize;
        if self.line(number).first == Key::new(key) {
            self.line_mut(number).first = behind;
        } else {
            self.entry_mut(before.0 as usize).behind = behind;
            if let Some(behind) = behind.get() {
                self.entry_mut(behind).before = before;
            }
        }
        if behind == Key::NONE {
            self.line_mut(number).last = if self.line(number).first == Key::NONE { Key::NONE } else { before };
        }
        self.count_above(key, usize::MAX);
        if self.line(number).first == Key::NONE {
            let (entry, pool) = self.standing(key);
            entry.at(&pool.leaf).waited_at().store(false, Relaxed);
        }
    }

    /// One more, or less, stands above the nodes whose minimum may come to cover what it waits for.
    fn count_above(&self, key: usize, change: usize) {
        if self.entry(key).depth > 0 {
            let (entry, pool) = self.standing(key);
            for node in entry.covering(&pool.leaf) {
                node.above().store(node.above().load(Relaxed).wrapping_add(change), Relaxed);
            }
        }
    }

    /// Those who wait for a pool's memory, or have not fetched yet what they got.
    pub(super) fn waiters(&self, pool: u32, hatches: &Hatches) -> u64 {
        let waits = |&(key, entry): &(usize, &Entry)| {
            entry.pool == pool && (!matches!(entry.state, State::Over) || !hatches.at(key).is_empty())
        };
        self.entries.iter().enumerate().filter(waits).count() as u64
    }
}
