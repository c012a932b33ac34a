//! Who waits for memory, in the order of arrival.
//!
//! Each node of a budget tree has a line. A waiter stands at the node that refused it, and takes a ticket when it comes;
//! lines are ordered by tickets. While a line stands, newcomers are not charged at its node, and what comes home in the
//! pools under it is offered to the head: a slot of the very pool and class that the head waits for is handed over as it
//! is; any other gives its memory up, and what is released stays free until the head's request fits. So what was freed
//! is the head's without being marked as such, and who cancels leaves it to the next.
//!
//! A waiter is charged along its whole path. A node that refuses it, or where somebody with an earlier ticket stands,
//! is where it stands from then on; at each node the earliest is the head. Two waiters of one pool share their path, so
//! they never change places.
//!
//! One lock guards all lines of a tree. It is taken by those who wait, and by others only while somebody waits or did a
//! moment ago. No user code runs under it: wakers are called, and slots given up, afterwards.

use std::mem;
use std::sync::Arc;
use std::task::{Poll, Waker};

use crate::engine::core::{Core, CoreRef, Reach};
use crate::engine::panics;
use crate::engine::spare::Spare;
use crate::policy::budget::demand::{Demand, Grant};
use crate::policy::budget::node::{Node, Who};
use crate::policy::error::Error;
use crate::sync::{AtomicUsize, Mutex, MutexGuard, Ordering::*, fence, locked};

/// Wakers called after one turn under the lock.
const WOKEN_AT_ONCE: usize = 16;

/// The lines of one budget tree.
pub(crate) struct Tree {
    /// Who stands in any of them, or is about to.
    waiting: AtomicUsize,
    queue: Mutex<Queue>,
}

#[derive(Default)]
struct Queue {
    tickets: u64,
    entries: Vec<Option<Entry>>,
    free_entries: Vec<usize>,
    lines: Vec<Line>,
    free_lines: Vec<usize>,
    /// How often attention was lowered in a pool of this tree.
    lowered: u64,
}

/// Keys of the first and the last entry.
#[derive(Clone, Copy, Default)]
struct Line {
    first: Option<usize>,
    last: Option<usize>,
}

struct Entry {
    ticket: u64,
    leaf: Arc<Node>,
    core: CoreRef,
    demand: Demand,
    /// Where it stands, or stood.
    at: Arc<Node>,
    before: Option<usize>,
    behind: Option<usize>,
    state: State,
}

enum State {
    Standing(Waker),
    Granted(Grant),
    Failed(Error),
}

enum Outcome {
    /// It stands there no more.
    Gone,
    /// The head of the line it stood in stays.
    Stays,
}

/// What is done when the lock is free again.
#[derive(Default)]
struct Aftermath {
    woken: [Option<Waker>; WOKEN_AT_ONCE],
    count: usize,
    /// To be given up.
    spares: Vec<Spare>,
}

impl Aftermath {
    fn is_full(&self) -> bool {
        self.count == WOKEN_AT_ONCE
    }

    fn wake(&mut self, waker: Waker) {
        self.woken[self.count] = Some(waker);
        self.count += 1;
    }

    fn run(self) {
        for waker in self.woken.into_iter().flatten() {
            // It is the user's, and we may be inside the engine.
            panics::contain(|| waker.wake());
        }
        drop(self.spares);
    }
}

impl Tree {
    pub(super) fn new() -> Self {
        Tree { waiting: AtomicUsize::new(0), queue: Mutex::new(Queue::default()) }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        locked(&self.queue)
    }

    pub(super) fn has_waiters(&self) -> bool {
        self.waiting.load(Relaxed) > 0
    }

    /// Runs what must not meet a change of the lines.
    pub(super) fn settled<R>(&self, work: impl FnOnce() -> R) -> R {
        let _queue = self.lock();
        work()
    }

    pub(super) fn new_line(&self) -> usize {
        let mut queue = self.lock();
        queue.free_lines.pop().unwrap_or_else(|| {
            queue.lines.push(Line::default());
            queue.lines.len() - 1
        })
    }

    pub(super) fn give_back_line(&self, line: usize) {
        let mut queue = self.lock();
        debug_assert!(queue.lines[line].first.is_none(), "a budget ends with a line");
        queue.free_lines.push(line);
    }
}

/// A place in a line, given up when it is dropped, with all that was granted.
pub(crate) struct Standing {
    tree: Arc<Tree>,
    key: usize,
    ticket: u64,
}

/// What came of a wish to stand in line.
pub(crate) enum Stood {
    /// It was granted at once.
    Granted(Grant),
    Waits(Standing),
}

/// Stands in line for a demand on a pool, whose budget is `leaf`. With the ticket of an earlier place, in that order.
pub(crate) fn stand(
    leaf: &Arc<Node>,
    core: &Core,
    demand: Demand,
    ticket: Option<u64>,
    waker: &Waker,
) -> Result<Stood, Error> {
    let tree = leaf.tree();
    tree.waiting.fetch_add(1, Relaxed);
    // With the fence in `Node::announce_release`: either we see what was released, or who released it sees us.
    fence(SeqCst);
    let mut after = Aftermath::default();
    let waker = waker.clone();
    let stood = tree.lock().admit(leaf, core, demand, ticket, waker, &mut after);
    after.run();
    let (key, ticket, at) = match stood {
        Ok(Admitted::Stands { key, ticket, at }) => (key, ticket, at),
        Ok(Admitted::Granted(grant)) => {
            tree.waiting.fetch_sub(1, Relaxed);
            return Ok(Stood::Granted(grant));
        }
        Err(error) => {
            tree.waiting.fetch_sub(1, Relaxed);
            return Err(error);
        }
    };
    let standing = Standing { tree: tree.clone(), key, ticket };
    raise_attention(&at);
    press(&at);
    Ok(Stood::Waits(standing))
}

enum Admitted {
    Granted(Grant),
    Stands { key: usize, ticket: u64, at: Arc<Node> },
}

/// Has everything that comes home under this node offered to its line, and all that lies in caches now.
fn raise_attention(at: &Arc<Node>) {
    while !at.raised().load(Relaxed) {
        let before = at.tree().lock().lowered;
        at.each_pool(&|_| true, &mut |core| {
            while !core.is_attended() {
                let before = at.tree().lock().lowered;
                core.raise_attention();
                let queue = at.tree().lock();
                // Otherwise it may have been lowered in the middle.
                if queue.lowered == before {
                    core.set_attended();
                }
            }
            true
        });
        let queue = at.tree().lock();
        if queue.lowered == before {
            at.raised().store(true, Relaxed);
            drop(queue);
            // What was pushed meanwhile, and had been counted before.
            serve(at);
        }
    }
}

/// Finds memory for the head of a node's line among what lies idle under it.
fn press(at: &Arc<Node>) {
    loop {
        let missing = at.tree().lock().missing_at(at);
        if missing == 0 || at.reclaim(missing, Reach::Depots) == 0 {
            return;
        }
        // What was released has served the line.
    }
}

/// Serves those who wait for what was released at `from`.
pub(super) fn serve(from: &Arc<Node>) {
    loop {
        let mut after = Aftermath::default();
        let done = from.tree().lock().serve(from, &mut after);
        after.run();
        if done {
            return;
        }
    }
}

/// Gives a slot that came home to who waits for it, or to the depot.
pub(crate) fn offer(leaf: &Arc<Node>, core: &Core, spare: Spare) {
    let mut after = Aftermath::default();
    leaf.tree().lock().offer(leaf, core, spare, &mut after);
    after.run();
}

/// Tells all who wait for memory of a pool that it is closed.
pub(crate) fn dismiss(leaf: &Arc<Node>, core: &Core) {
    // With the fence in `stand`.
    fence(SeqCst);
    if !leaf.tree().has_waiters() {
        return;
    }
    loop {
        let mut after = Aftermath::default();
        let done = leaf.tree().lock().dismiss(core, &mut after);
        after.run();
        if done {
            break;
        }
    }
    serve(leaf);
    leaf.path().for_each(press);
}

/// Serves and presses for those who stand at a node whose limit has changed.
pub(super) fn limit_changed(node: &Arc<Node>) {
    fence(SeqCst);
    if node.tree().has_waiters() {
        serve(node);
        press(node);
    }
}

impl Standing {
    pub(crate) fn ticket(&self) -> u64 {
        self.ticket
    }

    /// What was granted, or the reason why nothing will be; or the waker is kept.
    pub(crate) fn poll(&mut self, waker: &Waker) -> Poll<Result<Grant, Error>> {
        let mut other = None;
        loop {
            match &mut self.tree.lock().entry_mut(self.key).state {
                State::Standing(kept) if kept.will_wake(waker) => return Poll::Pending,
                State::Standing(kept) => {
                    if let Some(new) = &mut other {
                        mem::swap(kept, new);
                    }
                }
                State::Granted(grant) => return Poll::Ready(Ok(mem::take(grant))),
                State::Failed(error) => return Poll::Ready(Err(error.clone())),
            }
            // Cloned, or dropped, without the lock.
            other = match other {
                None => Some(waker.clone()),
                Some(_) => return Poll::Pending,
            };
        }
    }
}

impl Drop for Standing {
    fn drop(&mut self) {
        let mut queue = self.tree.lock();
        let was_head = queue.is_head(self.key);
        let entry = queue.remove(self.key);
        drop(queue);
        let Entry { leaf, core, at, state, .. } = entry;
        match state {
            State::Standing(waker) => {
                self.tree.waiting.fetch_sub(1, Relaxed);
                drop(waker);
                if was_head {
                    serve(&at);
                    press(&at);
                }
            }
            State::Granted(grant) => {
                let (spares, charged) = grant.into_parts();
                spares.for_each(|spare| offer(&leaf, &core, spare));
                if !charged.is_nothing() {
                    leaf.release(charged);
                }
            }
            State::Failed(_) => {}
        }
    }
}

impl Queue {
    fn entry(&self, key: usize) -> &Entry {
        self.entries[key].as_ref().expect("a key is given up with its entry")
    }

    fn entry_mut(&mut self, key: usize) -> &mut Entry {
        self.entries[key].as_mut().expect("a key is given up with its entry")
    }

    fn first_ticket(&self, line: usize) -> Option<u64> {
        self.lines[line].first.map(|key| self.entry(key).ticket)
    }

    fn is_head(&self, key: usize) -> bool {
        self.lines[self.entry(key).at.line()].first == Some(key)
    }

    /// A newcomer: granted at once if nobody is before it, else put in line.
    fn admit(
        &mut self,
        leaf: &Arc<Node>,
        core: &Core,
        demand: Demand,
        ticket: Option<u64>,
        waker: Waker,
        after: &mut Aftermath,
    ) -> Result<Admitted, Error> {
        if core.is_shut() {
            return Err(Error::Closed);
        }
        if let Some((requested, limit)) = leaf.never_fits(demand.total()) {
            return Err(Error::NeverFits { requested, limit });
        }
        let ticket = ticket.unwrap_or_else(|| {
            self.tickets += 1;
            self.tickets
        });
        let core = core.hold();
        let at = match self.try_grant(leaf, &core, &demand, ticket, after) {
            Ok(grant) => return Ok(Admitted::Granted(grant)),
            Err(at) => at.clone(),
        };
        core.be_restless();
        let entry = Entry {
            ticket,
            leaf: leaf.clone(),
            core,
            demand,
            at: at.clone(),
            before: None,
            behind: None,
            state: State::Standing(waker),
        };
        let key = self.free_entries.pop().unwrap_or(self.entries.len());
        if key == self.entries.len() {
            self.entries.push(None);
        }
        self.entries[key] = Some(entry);
        self.link(key);
        Ok(Admitted::Stands { key, ticket, at })
    }

    /// All of a demand, or the node where it must wait.
    fn try_grant<'a>(
        &self,
        leaf: &'a Arc<Node>,
        core: &CoreRef,
        demand: &Demand,
        ticket: u64,
        after: &mut Aftermath,
    ) -> Result<Grant, &'a Arc<Node>> {
        let first = |line| self.first_ticket(line);
        let mut grant = Grant::charged(demand.lacking(core));
        if grant.charged.is_nothing() {
            // Nothing is charged, but whoever came earlier may want what lies idle here.
            if let Some(node) = leaf.reach().find(|node| first(node.line()).is_some_and(|first| first < ticket)) {
                return Err(node);
            }
        } else {
            leaf.charge(grant.charged, Who::Waiter(ticket, &first)).map_err(|refusal| refusal.node)?;
        }
        if grant.fill(demand, core, &mut after.spares) {
            return Ok(grant);
        }
        // Whoever brings what is missing offers it next.
        let (spares, charged) = grant.into_parts();
        spares.for_each(|spare| after.spares.extend(spare.shelve().err()));
        leaf.uncharge(charged);
        Err(leaf)
    }

    /// Tries to grant what an entry, the head of its line, waits for.
    fn attempt(&mut self, key: usize, after: &mut Aftermath) -> Outcome {
        let entry = self.entry(key);
        if let Some((requested, limit)) = entry.leaf.never_fits(entry.demand.total()) {
            self.settle(key, State::Failed(Error::NeverFits { requested, limit }), after);
            return Outcome::Gone;
        }
        let node = match self.try_grant(&entry.leaf, &entry.core, &entry.demand, entry.ticket, after) {
            Ok(grant) => {
                self.settle(key, State::Granted(grant), after);
                return Outcome::Gone;
            }
            Err(node) => node,
        };
        if Arc::ptr_eq(node, &entry.at) {
            return Outcome::Stays;
        }
        let node = node.clone();
        self.unlink(key);
        self.entry_mut(key).at = node;
        self.link(key);
        Outcome::Gone
    }

    /// True when all that can be done is done; false when there are many to wake first.
    fn serve(&mut self, from: &Arc<Node>, after: &mut Aftermath) -> bool {
        for node in from.path() {
            while let Some(head) = self.lines[node.line()].first {
                if after.is_full() {
                    return false;
                }
                match self.attempt(head, after) {
                    Outcome::Gone => {}
                    Outcome::Stays => break,
                }
            }
        }
        true
    }

    /// A slot of this pool came home.
    fn offer(&mut self, leaf: &Arc<Node>, core: &Core, spare: Spare, after: &mut Aftermath) {
        let heads = leaf.reach().filter_map(|node| self.lines[node.line()].first);
        let Some(key) = heads.min_by_key(|&key| self.entry(key).ticket) else {
            after.spares.extend(spare.shelve().err());
            if core.calms_down() {
                self.lower_attention(leaf, core);
            }
            return;
        };
        core.be_restless();
        let entry = self.entry(key);
        if !spare.is_of(&entry.core) || !entry.demand.includes(spare.class()) {
            after.spares.push(spare);
        } else if entry.demand.is_one_of(spare.class()) {
            self.settle(key, State::Granted(Grant::of(spare)), after);
        } else {
            after.spares.extend(spare.shelve().err());
            self.attempt(key, after);
        }
    }

    /// Nobody has waited for a while.
    fn lower_attention(&mut self, leaf: &Arc<Node>, core: &Core) {
        if leaf.path().any(|node| self.lines[node.line()].first.is_some()) {
            return core.be_restless();
        }
        self.lowered += 1;
        leaf.path().for_each(|node| node.raised().store(false, Relaxed));
        core.lower_attention();
    }

    /// Fails those who wait for a pool's memory; true when there are no more.
    fn dismiss(&mut self, core: &Core, after: &mut Aftermath) -> bool {
        for key in 0..self.entries.len() {
            let waits = |entry: &Entry| entry.core.is(core) && matches!(entry.state, State::Standing(_));
            if self.entries[key].as_ref().is_some_and(waits) {
                if after.is_full() {
                    return false;
                }
                self.settle(key, State::Failed(Error::Closed), after);
            }
        }
        true
    }

    /// What the head of a node's line would need released there.
    fn missing_at(&self, node: &Arc<Node>) -> usize {
        let Some(key) = self.lines[node.line()].first else { return 0 };
        let entry = self.entry(key);
        node.missing(entry.demand.lacking(&entry.core))
    }

    /// Ends a wait: out of the line, and woken.
    fn settle(&mut self, key: usize, state: State, after: &mut Aftermath) {
        self.unlink(key);
        let entry = self.entry_mut(key);
        if let State::Standing(waker) = mem::replace(&mut entry.state, state) {
            after.wake(waker);
        }
        entry.leaf.tree().waiting.fetch_sub(1, Relaxed);
    }

    /// The entry, out of its line.
    fn remove(&mut self, key: usize) -> Entry {
        if matches!(self.entry(key).state, State::Standing(_)) {
            self.unlink(key);
        }
        self.free_entries.push(key);
        self.entries[key].take().expect("a key is given up with its entry")
    }

    /// Puts an entry into the line where it stands, behind those with earlier tickets.
    fn link(&mut self, key: usize) {
        let (ticket, line) = (self.entry(key).ticket, self.entry(key).at.line());
        let mut before = self.lines[line].last;
        while let Some(other) = before.filter(|&other| self.entry(other).ticket > ticket) {
            before = self.entry(other).before;
        }
        let behind = match before {
            Some(before) => self.entry_mut(before).behind.replace(key),
            None => self.lines[line].first.replace(key),
        };
        match behind {
            Some(behind) => self.entry_mut(behind).before = Some(key),
            None => self.lines[line].last = Some(key),
        }
        let entry = self.entry_mut(key);
        (entry.before, entry.behind) = (before, behind);
        entry.at.waiting().fetch_add(1, Relaxed);
    }

    fn unlink(&mut self, key: usize) {
        let entry = self.entry_mut(key);
        let (before, behind, line) = (entry.before.take(), entry.behind.take(), entry.at.line());
        entry.at.waiting().fetch_sub(1, Relaxed);
        match before {
            Some(before) => self.entry_mut(before).behind = behind,
            None => self.lines[line].first = behind,
        }
        match behind {
            Some(behind) => self.entry_mut(behind).before = before,
            None => self.lines[line].last = before,
        }
    }
}
