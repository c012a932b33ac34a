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
//! A waiter has an entry, under a key, and a *hatch* of the same key, where a slot that is handed over is put: so it is
//! fetched without the lock. What else comes of a wait stays in the entry until it is fetched. A key is used again when
//! both are done with, most often by the thread that fetched something under it last: then the cache lines of entry and
//! hatch are that processor's, and in the lock's turn of a newcomer nothing must come from another but what the lock itself
//! lies on.
//!
//! One lock guards all lines of a tree. It is taken by those who wait, and by others only while somebody waits or did a
//! moment ago. No user code runs under it: wakers are called, and slots given up, afterwards.
//!
//! Who serves others may be returning a buffer and must not fail, so it allocates nothing. Those who come to wait make the
//! room for what is done to them; what is left to do after the lock has few places, and who has filled them takes the lock
//! again for the rest.

mod hatches;
mod queue;

use std::collections::VecDeque;
use std::mem;
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::Instant;

use crate::engine::core::{CoreRef, Reach};
use crate::engine::spare::{Spare, Spares};
use crate::panics;
use crate::policy::acquire::{Site, Waited, Waits};
use crate::policy::budget::demand::{Demand, Grant};
use crate::policy::budget::line::hatches::Hatches;
use crate::policy::budget::node::Node;
use crate::policy::error::Error;
use crate::sync::{AtomicBool, AtomicUsize, LAST_KEY, Mutex, MutexGuard, Ordering::*, WOKEN, fence, locked};

/// The lines of one budget tree.
pub(crate) struct Tree {
    hatches: Hatches,
    /// Somebody stands in one of the lines, or is about to. Changed under the lock.
    waited: AtomicBool,
    /// How often a node gave back to its parent what its minimum could cover.
    given: AtomicUsize,
    busy: Busy,
}

/// What every wait writes to. It begins a cache line, in which the most of it is.
#[repr(align(128))]
struct Busy(Mutex<Queue>);

#[derive(Default)]
#[repr(C)]
struct Queue {
    tickets: u64,
    /// Who stands in any line, or is about to.
    waiting: usize,
    /// The lines of the first nodes.
    near: [Line; 4],
    /// Those of others.
    far: Vec<Line>,
    entries: Vec<Entry>,
    /// Keys of entries that are over, or were. Has room for all.
    over: VecDeque<u32>,
    /// All pools of the tree. An entry names its pool by the place here, because a hold on it would be two writes to
    /// memory that every thread at work on the pool reads.
    pools: Vec<Option<Pool>>,
    /// Has room for all.
    free_pools: Vec<u32>,
    /// Pools of those who stood above a minimum until a moment ago: others may have waited for them under it. Has room for
    /// all.
    unblocked: Vec<u32>,
    /// Has room for all.
    free_lines: Vec<usize>,
    /// How often attention was lowered in a pool of this tree, or a pool joined it.
    changed: u64,
    /// Lines there are, whether a node has them or not.
    made_lines: usize,
}

/// A pool that is not shut.
struct Pool {
    leaf: Arc<Node>,
    core: CoreRef,
    waits: Arc<Waits>,
    /// It is in the list of those.
    is_unblocked: bool,
}

/// Keys of the first and the last entry.
#[derive(Clone, Copy, Default)]
struct Line {
    first: Key,
    last: Key,
}

/// Two neighbouring cache lines, which processors fetch together.
#[repr(align(128))]
struct Entry {
    ticket: u64,
    since: Instant,
    /// The number of its pool, or [`NO_POOL`] when that has left the tree.
    pool: u32,
    /// Where it stands, or stood: so many steps above the pool's leaf.
    depth: u16,
    /// The key is in the list of those that are over.
    listed: bool,
    /// That node's line.
    line: u32,
    /// Of no meaning for the first in line: so nothing is written to it when it becomes that.
    before: Key,
    behind: Key,
    state: State,
    /// So often this pool's users have waited under this key, as far as it is not counted in [`Waits`]; and how long those
    /// waits were that are over. Here, because what every wait writes to should not be on a cache line of its own.
    waits: u32,
    waited: Waited,
}

const NO_POOL: u32 = u32::MAX;

#[cfg(all(not(loom), target_pointer_width = "64"))]
const _: () = assert!(size_of::<Entry>() == 128, "a wait touches few cache lines");

/// The key of an entry, or none.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Key(u32);

impl Default for Key {
    fn default() -> Self {
        Key::NONE
    }
}

impl Key {
    const NONE: Key = Key(u32::MAX);

    fn new(key: usize) -> Self {
        Key(u32::try_from(key).expect("fewer waiters than that"))
    }

    fn get(self) -> Option<usize> {
        (self != Key::NONE).then_some(self.0 as usize)
    }
}

enum State {
    Standing(Demand, Waker),
    Granted(Grant),
    Failed(Error),
    /// What it got was put into its hatch, or has been fetched.
    Over,
}

enum Outcome {
    /// It waits no more.
    Settled,
    /// It stands elsewhere.
    Moved,
    Stays,
}

/// What is done when the lock is free again.
#[derive(Default)]
struct Aftermath {
    /// When waits end that end now. Read before the lock is taken where one probably will.
    now: Option<Instant>,
    woken: [Option<Waker>; WOKEN],
    /// To be given up.
    spares: Spares,
    /// Where somebody has come to stand who stood elsewhere.
    search: Option<Arc<Node>>,
    /// For want of room here not all were served that might be.
    is_cut: bool,
}

impl Aftermath {
    /// Before the lock is taken to give what this leaf's pool has to those who wait.
    fn of(leaf: &Arc<Node>) -> Self {
        Aftermath { now: leaf.is_queued().then(Instant::now), ..Aftermath::default() }
    }

    fn now(&mut self) -> Instant {
        *self.now.get_or_insert_with(Instant::now)
    }

    /// Whether all that one attempt may leave to do fits in.
    fn has_room(&self) -> bool {
        self.woken[WOKEN - 1].is_none() && self.search.is_none() && self.spares.is_empty()
    }

    fn wake(&mut self, waker: Waker) {
        let place = self.woken.iter_mut().find(|place| place.is_none());
        *place.expect("there is room, or nobody is served") = Some(waker);
    }

    fn search(&mut self, at: Arc<Node>) {
        debug_assert!(self.search.is_none(), "there is room, or nobody is served");
        self.search = Some(at);
    }

    fn give_up(&mut self, spare: Spare) {
        self.spares.add(spare);
    }

    /// Does it; whether there are others to be served.
    #[must_use]
    #[inline]
    fn run(self) -> bool {
        self.woken.into_iter().flatten().for_each(wake);
        drop(self.spares);
        self.search.iter().for_each(search);
        self.is_cut
    }
}

fn wake(waker: Waker) {
    // It is the user's, and we may be inside the engine. Who brought what was waited for has no part in it.
    panics::isolate(|| waker.wake());
}

impl Tree {
    pub(super) fn new() -> Self {
        let busy = Busy(Mutex::new(Queue::default()));
        Tree { hatches: Hatches::new(), waited: AtomicBool::new(false), given: AtomicUsize::new(0), busy }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        locked(&self.busy.0)
    }

    pub(super) fn has_waiters(&self) -> bool {
        self.waited.load(Relaxed)
    }

    pub(super) fn count_given(&self) {
        self.given.fetch_add(1, Relaxed);
    }

    fn given(&self) -> usize {
        self.given.load(Relaxed)
    }

    /// Has a pool join the tree. Who is raising attention meanwhile looks again.
    pub(super) fn join(&self, leaf: &Arc<Node>, core: CoreRef, waits: &Arc<Waits>, work: impl FnOnce()) {
        let mut queue = self.lock();
        queue.changed += 1;
        waits.join(queue.add_pool(Pool { leaf: leaf.clone(), core, waits: waits.clone(), is_unblocked: false }));
        work();
        drop(queue);
    }

    /// Brings up to date what a pool's users have waited; how many wait, or have not fetched yet what they got.
    pub(super) fn count_waits(&self, waits: &Waits) -> u64 {
        let mut queue = self.lock();
        waits.number().map_or(0, |pool| {
            queue.count_waits(pool);
            queue.waiters(pool, &self.hatches)
        })
    }

    pub(super) fn new_line(&self) -> usize {
        let mut queue = self.lock();
        queue.free_lines.pop().unwrap_or_else(|| {
            queue.made_lines += 1;
            let missing = queue.made_lines - queue.free_lines.len();
            queue.free_lines.reserve(missing);
            if queue.made_lines > queue.near.len() {
                queue.far.push(Line::default());
            }
            queue.made_lines - 1
        })
    }

    pub(super) fn give_back_line(&self, line: usize) {
        let mut queue = self.lock();
        debug_assert!(queue.line(line).first == Key::NONE, "a budget ends with a line");
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

/// Stands in line for a demand on a pool. With the ticket of an earlier place, in that order.
pub(crate) fn stand(site: Site<'_>, demand: Demand, ticket: Option<u64>, waker: &Waker) -> Result<Stood, Error> {
    let Site { leaf, core, waits } = site;
    let total = demand.total();
    let never = || leaf.never_fits(total).map(|(requested, limit)| Error::NeverFits { requested, limit });
    if let Some(error) = never() {
        return Err(error);
    }
    // Dropped without the lock, as the others.
    let mut refused = Spares::default();
    // Cloned, and dropped if it is not kept, without the lock.
    let mut entry = Entry::new(leaf, demand, waker.clone());
    let hint = LAST_KEY.with(|last| last.get());
    let mut queue = leaf.tree().lock();
    entry.pool = waits.number().ok_or(Error::Closed)?;
    entry.ticket = queue.ticket(ticket);
    if queue.count_in(leaf.tree()) {
        // With the fences of those who release or set limits: either we see what they did, or they see us. Who comes
        // after others sees what these saw, by the lock.
        fence(SeqCst);
        if let Some(error) = never() {
            queue.count_out(leaf.tree());
            return Err(error);
        }
    }
    let ticket = entry.ticket;
    let depth = match queue.try_newcomer(site, &entry, &mut refused) {
        Ok(grant) => {
            queue.count_out(leaf.tree());
            return Ok(Stood::Granted(grant));
        }
        Err(depth) => depth,
    };
    let Ok(key) = queue.free_key(hint, leaf.tree()) else {
        queue.count_out(leaf.tree());
        return Err(Error::OutOfMemory { requested: total.bytes });
    };
    core.be_restless();
    let at = at(leaf, depth);
    entry.stand_at(at, depth);
    queue.add(entry, key);
    let searched = at.raised().load(Relaxed);
    let missing = queue.missing_to(key, at);
    drop(queue);
    drop(refused);
    // Where there is no other pool, its own depots are all that may hold something by now.
    if !searched || missing > 0 && !(at.is_sole() && core.reclaim(missing, Reach::Depots) == 0) {
        search(at);
    }
    if leaf.is_covered() {
        press_covered(leaf);
    }
    Ok(Stood::Waits(Place { key, ticket }))
}

/// What was granted to a place, or the reason why nothing will be, and the place is given up; or the waker is kept.
pub(crate) fn fetch(leaf: &Arc<Node>, place: Place, waker: &Waker) -> Poll<Result<Grant, Error>> {
    match leaf.tree().hatches.at(place.key).take() {
        Some(spare) => {
            // Free now, and its entry and hatch are in this processor's cache.
            LAST_KEY.with(|last| last.set(place.key));
            Poll::Ready(Ok(Grant::of(spare)))
        }
        None => fetch_slowly(leaf, place, waker),
    }
}

/// When nothing lies in the hatch.
#[cold]
fn fetch_slowly(leaf: &Arc<Node>, place: Place, waker: &Waker) -> Poll<Result<Grant, Error>> {
    let mut other = None;
    loop {
        let mut queue = leaf.tree().lock();
        match &mut queue.entries[place.key].state {
            State::Standing(_, kept) if kept.will_wake(waker) => return Poll::Pending,
            State::Standing(_, kept) => {
                if let Some(new) = &mut other {
                    mem::swap(kept, new);
                }
            }
            _ => {
                let state = queue.end(place.key);
                drop(queue);
                return Poll::Ready(state.outcome(leaf, place));
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
pub(crate) fn leave(site: Site<'_>, place: Place) {
    let leaf = site.leaf;
    let now = Instant::now();
    let mut queue = leaf.tree().lock();
    let depth = queue.entries[place.key].depth;
    let state = queue.give_up(place.key, now);
    drop(queue);
    if let State::Standing(..) = state {
        drop(state);
        serve(leaf);
        // What lay ready for it may be of use to those who wait above, too.
        at(leaf, depth as usize).path().for_each(press);
        press_covered(leaf);
    } else if let Ok(grant) = state.outcome(leaf, place) {
        let (spares, charged) = grant.into_parts();
        spares.for_each(|spare| offer(site, spare));
        if !charged.is_nothing() {
            leaf.release(charged);
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
    loop {
        let mut after = Aftermath::default();
        from.tree().lock().serve(from, &mut after);
        if !after.run() {
            return;
        }
    }
}

/// Serves those who wait for what a charge at `leaf` changed above a minimum: it may have given something back to a parent,
/// and idle memory that was covered by the minimum may not be any more.
pub(super) fn cover_changed(leaf: &Arc<Node>) {
    serve(leaf);
    leaf.path().for_each(press);
}

/// Gives a slot that came home to who waits for it, or to the depot.
pub(crate) fn offer(site: Site<'_>, spare: Spare) {
    let tree = site.leaf.tree();
    let mut after = Aftermath::of(site.leaf);
    tree.lock().offer(site, spare, &mut after);
    if after.run() {
        serve(site.leaf);
    }
}

/// A pool is shut, and leaves the tree: tells all who wait for its memory.
pub(crate) fn dismiss(leaf: &Arc<Node>, waits: &Waits) {
    let queue = leaf.tree().lock();
    // Nobody comes to wait for it from now on.
    let number = waits.leave();
    drop(queue);
    if let Some(pool) = number {
        let mut keys = 0..;
        loop {
            let mut after = Aftermath::default();
            leaf.tree().lock().fail(pool, &mut keys, &mut after);
            if !after.run() {
                break;
            }
        }
        let left = leaf.tree().lock().remove_pool(pool);
        // The hold on the core, without the lock.
        drop(left);
    }
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
    /// Of somebody who comes to stand in line for a pool with this leaf.
    fn new(leaf: &Node, demand: Demand, waker: Waker) -> Self {
        Entry {
            ticket: 0,
            since: Instant::now(),
            pool: NO_POOL,
            depth: 0,
            listed: false,
            line: leaf.line() as u32,
            before: Key::NONE,
            behind: Key::NONE,
            state: State::Standing(demand, waker),
            waits: 1,
            waited: Waited::default(),
        }
    }

    fn stand_at(&mut self, at: &Node, depth: usize) {
        (self.depth, self.line) = (depth as u16, at.line() as u32);
    }

    /// What is waited for, while it stands.
    fn demand(&self) -> &Demand {
        let State::Standing(demand, _) = &self.state else { unreachable!("it stands no more") };
        demand
    }

    /// Where it stands, or stood, given the leaf of its pool.
    fn at<'a>(&self, leaf: &'a Arc<Node>) -> &'a Arc<Node> {
        at(leaf, self.depth as usize)
    }

    /// The nodes below the one where it stands that have a minimum.
    fn covering<'a>(&self, leaf: &'a Arc<Node>) -> impl Iterator<Item = &'a Arc<Node>> {
        leaf.path().take(self.depth as usize).filter(|node| node.min() > 0)
    }
}

impl State {
    /// What was waited for, of an entry that stands no more and had this place.
    fn outcome(self, leaf: &Arc<Node>, place: Place) -> Result<Grant, Error> {
        match self {
            State::Granted(grant) => Ok(grant),
            State::Failed(error) => Err(error),
            State::Over => {
                let spare = leaf.tree().hatches.at(place.key).take();
                Ok(Grant::of(spare.expect("who has a place fetches once")))
            }
            State::Standing(..) => unreachable!("it still stands"),
        }
    }
}
