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

mod queue;

use std::mem;
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::Instant;

use crate::engine::core::{Core, CoreRef, Reach};
use crate::engine::panics;
use crate::engine::spare::Spare;
use crate::policy::acquire::Waits;
use crate::policy::budget::demand::{Demand, Grant};
use crate::policy::budget::node::Node;
use crate::policy::error::Error;
use crate::sync::{AtomicUsize, Mutex, MutexGuard, Ordering::*, fence, locked};

/// The lines of one budget tree.
pub(crate) struct Tree {
    /// Who stands in any of them, or is about to.
    waiting: AtomicUsize,
    /// How often a node gave back to its parent what its minimum could cover.
    given: AtomicUsize,
    queue: Mutex<Queue>,
}

#[derive(Default)]
struct Queue {
    tickets: u64,
    entries: Vec<Option<Entry>>,
    free_entries: Vec<usize>,
    /// All pools of the tree. An entry names its pool by the place here, because a hold on it would be two writes to
    /// memory that every thread at work on the pool reads.
    pools: Vec<Option<Pool>>,
    free_pools: Vec<u32>,
    lines: Vec<Line>,
    free_lines: Vec<usize>,
    /// How often attention was lowered in a pool of this tree, or a pool joined it.
    changed: u64,
}

/// A pool that is not shut.
struct Pool {
    leaf: Arc<Node>,
    core: CoreRef,
}

/// Keys of the first and the last entry.
#[derive(Clone, Copy, Default)]
struct Line {
    first: Option<usize>,
    last: Option<usize>,
}

/// Two neighbouring cache lines, which processors fetch together.
#[repr(align(128))]
struct Entry {
    ticket: u64,
    demand: Demand,
    /// The number of its pool. Of no meaning when the wait is over, for the pool may be closed.
    pool: u32,
    /// Where it stands, or stood: so many steps above the pool's leaf.
    depth: u32,
    before: Key,
    behind: Key,
    state: State,
}

#[cfg(all(not(loom), target_pointer_width = "64"))]
const _: () = assert!(size_of::<Option<Entry>>() == 128, "a wait touches few cache lines");

/// The key of an entry, or none.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Key(u32);

impl Key {
    const NONE: Key = Key(u32::MAX);

    fn get(self) -> Option<usize> {
        (self != Key::NONE).then_some(self.0 as usize)
    }
}

impl From<Option<usize>> for Key {
    fn from(key: Option<usize>) -> Self {
        key.map_or(Key::NONE, |key| Key(u32::try_from(key).expect("fewer waiters than that")))
    }
}

enum State {
    Standing(Waker),
    Granted(Grant),
    Failed(Box<Error>),
}

enum Outcome {
    /// It waits no more.
    Settled,
    /// It stands elsewhere.
    Moved,
    Stays,
}

/// What is done when the lock is free again. Small where one waiter is woken, which is the common case.
#[derive(Default)]
struct Aftermath {
    woken: Option<Waker>,
    more: Option<Box<More>>,
}

#[derive(Default)]
struct More {
    woken: Vec<Waker>,
    /// To be given up.
    spares: Vec<Spare>,
    /// Where somebody has come to stand who stood elsewhere.
    search: Vec<Arc<Node>>,
    /// The leaves of those who stood above a minimum, under which others may have waited for them.
    unblocked: Vec<Arc<Node>>,
}

impl Aftermath {
    fn more(&mut self) -> &mut More {
        self.more.get_or_insert_default()
    }

    fn wake(&mut self, waker: Waker) {
        match self.woken {
            None => self.woken = Some(waker),
            Some(_) => self.more().woken.push(waker),
        }
    }

    fn give_up(&mut self, spare: Spare) {
        self.more().spares.push(spare);
    }

    fn run(self) {
        self.woken.into_iter().for_each(wake);
        if let Some(more) = self.more {
            more.woken.into_iter().for_each(wake);
            drop(more.spares);
            more.search.iter().for_each(search);
            more.unblocked.iter().for_each(serve);
        }
    }
}

fn wake(waker: Waker) {
    // It is the user's, and we may be inside the engine. Who brought what was waited for has no part in it.
    panics::isolate(|| waker.wake());
}

impl Tree {
    pub(super) fn new() -> Self {
        Tree { waiting: AtomicUsize::new(0), given: AtomicUsize::new(0), queue: Mutex::new(Queue::default()) }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        locked(&self.queue)
    }

    pub(super) fn has_waiters(&self) -> bool {
        self.waiting.load(Relaxed) > 0
    }

    pub(super) fn count_given(&self) {
        self.given.fetch_add(1, Relaxed);
    }

    fn given(&self) -> usize {
        self.given.load(Relaxed)
    }

    /// One more stands in line, or is about to; whether it is the first. Changed under the lock alone.
    fn count_in(&self) -> bool {
        let others = self.waiting.load(Relaxed);
        self.waiting.store(others + 1, Relaxed);
        others == 0
    }

    /// One fewer. Changed under the lock alone.
    fn count_out(&self) {
        self.waiting.store(self.waiting.load(Relaxed) - 1, Relaxed);
    }

    /// Has a pool join the tree. Who is raising attention meanwhile looks again.
    pub(super) fn join(&self, leaf: &Arc<Node>, core: CoreRef, waits: &Waits, work: impl FnOnce()) {
        let mut queue = self.lock();
        queue.changed += 1;
        waits.join(queue.add_pool(Pool { leaf: leaf.clone(), core }));
        work();
        drop(queue);
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

/// A place in a line. Whoever has it must [`fetch`] what is granted there, or [`leave`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    key: usize,
    pub(crate) ticket: u64,
}

/// What came of a wish to stand in line.
pub(crate) enum Stood {
    /// It was granted at once.
    Granted(Grant),
    Waits(Place),
}

/// Stands in line for a demand on a pool, whose budget is `leaf`. With the ticket of an earlier place, in that order.
pub(crate) fn stand(
    leaf: &Arc<Node>,
    core: &Core,
    waits: &Waits,
    demand: Demand,
    ticket: Option<u64>,
    waker: &Waker,
) -> Result<Stood, Error> {
    let mut after = Aftermath::default();
    // Cloned, and dropped if it is not kept, without the lock.
    let mut waker = Some(waker.clone());
    let mut queue = leaf.tree().lock();
    let stood = queue.admit(leaf, core, waits, demand, ticket, &mut waker, &mut after);
    if let Ok(Stood::Waits(place)) = &stood {
        waits.begin();
        let at = queue.must_search(place.key);
        drop(queue);
        after.run();
        at.iter().for_each(search);
        press_covered(leaf);
    } else {
        drop(queue);
        after.run();
    }
    stood
}

/// What was granted to a place, or the reason why nothing will be, and the place is given up; or the waker is kept.
pub(crate) fn fetch(
    leaf: &Arc<Node>,
    waits: &Waits,
    since: Instant,
    place: Place,
    waker: &Waker,
) -> Poll<Result<Grant, Error>> {
    let now = Instant::now();
    let mut other = None;
    loop {
        let mut queue = leaf.tree().lock();
        match &mut queue.entry_mut(place.key).state {
            State::Standing(kept) if kept.will_wake(waker) => return Poll::Pending,
            State::Standing(kept) => {
                if let Some(new) = &mut other {
                    mem::swap(kept, new);
                }
            }
            State::Granted(_) | State::Failed(_) => {
                let entry = queue.remove(place.key);
                waits.end(now.saturating_duration_since(since));
                drop(queue);
                return Poll::Ready(entry.outcome());
            }
        }
        drop(queue);
        // Cloned, or dropped, without the lock.
        other = match other {
            None => Some(waker.clone()),
            Some(_) => return Poll::Pending,
        };
    }
}

/// Gives up a place, with all that may have been granted there.
pub(crate) fn leave(leaf: &Arc<Node>, core: &Core, waits: &Waits, since: Instant, place: Place) {
    let waited = since.elapsed();
    let mut queue = leaf.tree().lock();
    let entry = queue.remove(place.key);
    waits.end(waited);
    drop(queue);
    match entry.state {
        State::Standing(_) => {
            serve(leaf);
            // What lay ready for it may be of use to those who wait above, too.
            entry.at(leaf).path().for_each(press);
            press_covered(leaf);
        }
        State::Failed(_) => {}
        State::Granted(grant) => {
            let (spares, charged) = grant.into_parts();
            spares.for_each(|spare| offer(leaf, core, spare));
            if !charged.is_nothing() {
                leaf.release(charged);
            }
        }
    }
}

/// The node so many steps above a leaf.
fn at(leaf: &Arc<Node>, depth: usize) -> &Arc<Node> {
    leaf.path().nth(depth).unwrap_or(leaf)
}

/// Looks for memory for those who stand at a node.
fn search(at: &Arc<Node>) {
    raise_attention(at);
    press(at);
}

/// Has everything that comes home under this node offered to its line, and all that lies in caches now.
fn raise_attention(at: &Arc<Node>) {
    while !at.raised().load(Relaxed) {
        let before = at.tree().lock().changed;
        at.each_pool(&mut |core| {
            while !core.is_attended() {
                let before = at.tree().lock().changed;
                core.raise_attention();
                let queue = at.tree().lock();
                // Otherwise it may have been lowered in the middle.
                if queue.changed == before {
                    core.set_attended();
                }
            }
            true
        });
        let queue = at.tree().lock();
        if queue.changed == before {
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
        let Some((missing, leaf)) = at.tree().lock().missing_at(at) else { return };
        if missing == 0 || at.reclaim(missing, Reach::Depots, &leaf) == 0 {
            return;
        }
        // What was released has served the line.
    }
}

/// The same for who waits above the minimum that covers what lies idle here.
fn press_covered(leaf: &Arc<Node>) {
    let Some(covering) = leaf.reach().last().filter(|covering| !Arc::ptr_eq(covering, leaf.top())) else { return };
    let missing = leaf.tree().lock().missing_covered(leaf);
    if missing > 0 {
        // What was released has served the line.
        covering.reclaim(missing, Reach::Depots, leaf);
    }
}

/// Serves those who wait for what was released at `from`.
pub(super) fn serve(from: &Arc<Node>) {
    let mut after = Aftermath::default();
    from.tree().lock().serve(from, &mut after);
    after.run();
}

/// Serves those who wait for what a charge at `leaf` changed above a minimum: it may have given something back to a parent,
/// and idle memory that was covered by the minimum may not be any more.
pub(super) fn cover_changed(leaf: &Arc<Node>) {
    serve(leaf);
    leaf.path().for_each(press);
}

/// Gives a slot that came home to who waits for it, or to the depot.
pub(crate) fn offer(leaf: &Arc<Node>, core: &Core, spare: Spare) {
    let mut after = Aftermath::default();
    leaf.tree().lock().offer(leaf, core, spare, &mut after);
    after.run();
}

/// A pool is shut, and leaves the tree: tells all who wait for its memory.
pub(crate) fn dismiss(leaf: &Arc<Node>, waits: &Waits) {
    let mut after = Aftermath::default();
    let left = leaf.tree().lock().dismiss(waits, &mut after);
    after.run();
    // The hold on the core, without the lock.
    drop(left);
    if leaf.tree().has_waiters() {
        serve(leaf);
        leaf.path().for_each(press);
    }
}

/// Serves and presses for those who stand at a node whose limit has changed.
pub(super) fn limit_changed(node: &Arc<Node>) {
    fence(SeqCst);
    if node.tree().has_waiters() {
        serve(node);
        node.path().for_each(press);
    }
}

impl Entry {
    /// Where it stands, or stood, given the leaf of its pool.
    fn at<'a>(&self, leaf: &'a Arc<Node>) -> &'a Arc<Node> {
        at(leaf, self.depth as usize)
    }

    /// The nodes below the one where it stands that have a minimum.
    fn covering<'a>(&self, leaf: &'a Arc<Node>) -> impl Iterator<Item = &'a Arc<Node>> {
        leaf.path().take(self.depth as usize).filter(|node| node.min() > 0)
    }

    /// What it waited for, of an entry that stands no more.
    fn outcome(self) -> Result<Grant, Error> {
        match self.state {
            State::Granted(grant) => Ok(grant),
            State::Failed(error) => Err(*error),
            State::Standing(_) => unreachable!("it still stands"),
        }
    }
}
