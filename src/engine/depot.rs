//! The depot: idle slots that all threads share, in whole batches.
//!
//! A stack of batches after R. K. Treiber ("Systems Programming: Coping with Parallelism", IBM RJ 5118, 1986), each
//! batch led by a slot that lists the others, as the depot of J. Bonwick and J. Adams ("Magazines and Vmem", USENIX ATC
//! 2001) holds whole magazines. An exchange is one compare-and-swap, however many batches it moves. No thread ever
//! waits for another.

use std::fmt;

use crate::engine::slot::SlotPtr;
use crate::engine::table::{INDEX_BITS, SlotTable};
use crate::sync::{AtomicU64, AtomicUsize, BATCH, DEPTH, Ordering::*};

/// The head of a stack: the index of the topmost batch's leader, and a tag against ABA.
///
/// The pop that is in danger has read a head and its leader's `below`, and then sleeps while others pop that leader and
/// push it back over something else. Each pop counts the tag up, so the sleeper's compare-and-swap fails unless the tag
/// has gone once around: 2^35 pops. At 2.5 x 10^7 exchanges a second on one depot, more than one contended cache line
/// allows, that is 23 minutes of sleep between two instructions, and it must end at the very tick. 28 bits of index are
/// 2^28 slots a pool. Pushes need no tag: a push in between leaves either another index on top or, after a pop, another
/// tag. The bit between index and tag is [`ATTENTION`](Self::ATTENTION).
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Link(u64);

impl Link {
    const EMPTY: Link = Link(0);
    const INDEX: u64 = (1 << INDEX_BITS) - 1;
    /// Somebody waits for memory: what comes home is offered to the keeper first. In the head, because whoever pushes may
    /// not look at anything else afterwards.
    const ATTENTION: u64 = 1 << INDEX_BITS;
    const TAG_ONE: u64 = Self::ATTENTION << 1;
    /// On top of a depot that takes nothing any more.
    const CLOSED: Link = Link(Self::INDEX);

    fn index(self) -> u32 {
        (self.0 & Self::INDEX) as u32
    }

    fn is_empty(self) -> bool {
        self.index() == 0
    }

    fn is_closed(self) -> bool {
        self.index() as u64 == Self::INDEX
    }

    fn has_attention(self) -> bool {
        self.0 & Self::ATTENTION != 0
    }

    fn pushed(self, index: u32) -> Link {
        Link(self.0 & !Self::INDEX | index as u64)
    }

    fn popped(self, index: u32) -> Link {
        Link((self.0 & !Self::INDEX).wrapping_add(Self::TAG_ONE) | index as u64)
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.index() {
            0 => write!(f, "empty"),
            _ if self.is_closed() => write!(f, "closed"),
            index => write!(f, "#{index} tag {}", self.0 / Self::TAG_ONE),
        }
    }
}

/// What came of a push.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Pushed {
    /// The slots are the depot's, or already somebody else's: the caller must not touch them, nor their core.
    Taken,
    /// The depot is closed and the slots are still the caller's.
    Closed,
    /// Somebody waits for memory, and the slots are still the caller's.
    Attention,
}

/// Whether a push heeds that somebody waits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Heed {
    Attention,
    /// Who waits has been asked.
    Nothing,
}

/// Who wants to know how low a depot has been.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Watcher {
    Decay,
    Clock,
}

/// Idle slots of one store.
#[repr(align(128))]
pub(super) struct Depot {
    head: AtomicU64,
    /// Slots inside. Counted up before a push and down after a pop, so never below what is there; on the head's cache
    /// line, which an exchange fetches anyway.
    level: AtomicUsize,
    /// Compare-and-swaps that lost a race.
    retries: AtomicU64,
    /// For each watcher, the lowest level since it [looked](Self::ebb): so many slots nobody needed.
    lows: [AtomicUsize; 2],
    /// Slots that threads sent home, from each side. Counted where there are several banks.
    returns: [AtomicU64; 2],
}

/// From which side slots come home to a depot.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Side {
    /// From a thread on the node of their memory.
    Near,
    /// From a thread on another.
    Far,
}

impl Depot {
    pub(super) fn new() -> Self {
        Depot {
            head: AtomicU64::new(Link::EMPTY.0),
            level: AtomicUsize::new(0),
            retries: AtomicU64::new(0),
            lows: [AtomicUsize::new(0), AtomicUsize::new(0)],
            returns: [AtomicU64::new(0), AtomicU64::new(0)],
        }
    }

    /// Counts slots that are about to be pushed.
    pub(super) fn announce(&self, slots: usize) {
        // SeqCst: see `room`.
        self.level.fetch_add(slots, SeqCst);
    }

    /// Uncounts slots that were announced and will not be pushed.
    pub(super) fn withdraw(&self, slots: usize) {
        self.level.fetch_sub(slots, Relaxed);
    }

    /// Puts these announced slots, newest last, on top in batches of at most `batch`. One compare-and-swap.
    ///
    /// By pointer, because the depot may be gone before this returns.
    ///
    /// # Safety
    /// The caller holds the slots, all of one table. Nothing the slots keep alive may be touched after
    /// [`Pushed::Taken`].
    pub(super) unsafe fn push(depot: *const Depot, slots: &[SlotPtr], batch: usize, heed: Heed) -> Pushed {
        let Some((bottom, followers, top)) = link_batches(slots, batch) else { return Pushed::Taken };
        // SAFETY: the slots keep the depot until the exchange succeeds, and the reference is not used after that.
        let this = unsafe { &*depot };
        // SAFETY: the caller holds the slots.
        let (bottom, top) = (unsafe { bottom.head() }, unsafe { top.head() }.index());
        // Acquire, here and on failure: the index goes on into `below`, and with it what makes its slot readable (see
        // `walk`).
        let mut now = Link(this.head.load(Acquire));
        loop {
            if now.is_closed() {
                return Pushed::Closed;
            }
            if now.has_attention() && heed == Heed::Attention {
                return Pushed::Attention;
            }
            bottom.put_on(now.index(), followers);
            // Release pairs with the Acquire in `pop`: whatever was written to the slots and to what they hold is seen
            // there.
            match this.head.compare_exchange_weak(now.0, now.pushed(top).0, Release, Acquire) {
                Ok(_) => {
                    #[cfg(test)]
                    crate::engine::tally::exchange();
                    return Pushed::Taken;
                }
                Err(other) => now = this.lost(other),
            }
        }
    }

    /// Takes up to `batches` batches from the top, newest last, into `out`, because they are needed; how many slots. One
    /// compare-and-swap.
    ///
    /// # Safety
    /// `table` is the one whose slots are pushed here.
    pub(super) unsafe fn pop(&self, table: &SlotTable, batches: usize, out: &mut Loot) -> usize {
        // SAFETY: the caller's promise.
        let (taken, left) = unsafe { self.pop_unneeded(table, batches, out) };
        for low in &self.lows {
            // Relaxed: a number. Seldom a new mark, so mostly a load.
            if left < low.load(Relaxed) {
                low.fetch_min(left, Relaxed);
            }
        }
        taken
    }

    /// So many slots that were popped as unneeded do not come back.
    pub(super) fn sink(&self, slots: usize) {
        for low in &self.lows {
            let sunk = low.fetch_update(Relaxed, Relaxed, |low| Some(low.saturating_sub(slots)));
            sunk.expect("the closure has an answer to everything");
        }
    }

    /// As [`pop`](Self::pop), but what is taken nobody needed; and how many slots are left.
    ///
    /// # Safety
    /// As `pop`.
    pub(super) unsafe fn pop_unneeded(&self, table: &SlotTable, batches: usize, out: &mut Loot) -> (usize, usize) {
        // Acquire pairs with the pushes' Release. Every write to `head` is a read-modify-write, so the value read
        // continues the release sequences of all pushes below it, and the leaders further down are visible too.
        let mut now = Link(self.head.load(Acquire));
        loop {
            if now.is_empty() || now.is_closed() {
                return (0, 0);
            }
            let mut leaders = [None; DEPTH / BATCH];
            // SAFETY: `now` was read from the head with Acquire.
            let below = unsafe { walk(table, now, &mut leaders[..batches.clamp(1, DEPTH / BATCH)]) };
            match self.head.compare_exchange_weak(now.0, now.popped(below).0, Acquire, Acquire) {
                Ok(_) => {
                    #[cfg(test)]
                    crate::engine::tally::exchange();
                    // SAFETY: the tag proves that no pop came between, so the leaders walked were the topmost: they are
                    // ours.
                    let n = unsafe { unpack(table, &leaders, out) };
                    return (n, self.level.fetch_sub(n, Relaxed).saturating_sub(n));
                }
                Err(other) => now = self.lost(other),
            }
        }
    }

    /// From now on, pushes that heed it are refused.
    pub(super) fn raise_attention(&self) {
        // AcqRel, as all writes of the head: the release sequences of the pushes go on.
        self.head.fetch_or(Link::ATTENTION, AcqRel);
    }

    pub(super) fn lower_attention(&self) {
        self.head.fetch_and(!Link::ATTENTION, AcqRel);
    }

    #[cold]
    fn lost(&self, other: u64) -> Link {
        self.retries.fetch_add(1, Relaxed);
        Link(other)
    }

    /// Closes the depot for good and passes all that was in it to `each`.
    ///
    /// # Safety
    /// `table` is the one whose slots are pushed here, and stays while `each` runs.
    pub(super) unsafe fn close(&self, table: &SlotTable, mut each: impl FnMut(SlotPtr)) {
        // Acquire as in `pop`. Who pushes later reads CLOSED and keeps its slots, so nothing is left behind.
        let mut now = Link(self.head.swap(Link::CLOSED.0, Acquire));
        while !now.is_empty() && !now.is_closed() {
            let (mut leader, mut out) = ([None; 1], Loot::new());
            // SAFETY: the swap took the whole stack, so `now` and all below it are ours.
            let below = unsafe { walk(table, now, &mut leader) };
            // SAFETY: as above.
            let n = unsafe { unpack(table, &leader, &mut out) };
            self.level.fetch_sub(n, Relaxed);
            out.drain().for_each(&mut each);
            now = Link::EMPTY.pushed(below);
        }
    }

    /// Slots inside; exact when nobody pushes or pops.
    pub(super) fn level(&self) -> usize {
        // SeqCst: see `room`.
        self.level.load(SeqCst)
    }

    /// The lowest level since this watcher's last call. Not at the same time as another call of this watcher.
    pub(super) fn ebb(&self, watcher: Watcher) -> usize {
        let (low, level) = (&self.lows[watcher as usize], self.level());
        // Mostly so already, and a store would take the cache line from the other threads.
        if low.load(Relaxed) == level { level } else { low.swap(level, Relaxed) }
    }

    pub(super) fn retries(&self) -> u64 {
        self.retries.load(Relaxed)
    }

    /// Counts slots that are about to come home.
    pub(super) fn count_returns(&self, side: Side, slots: usize) {
        self.returns[side as usize].fetch_add(slots as u64, Relaxed);
    }

    pub(super) fn returns(&self, side: Side) -> u64 {
        self.returns[side as usize].load(Relaxed)
    }
}

/// Writes the batches of `slots` and links them, the newest on top: (bottom leader, its followers, top leader).
fn link_batches(slots: &[SlotPtr], batch: usize) -> Option<(SlotPtr, usize, SlotPtr)> {
    let mut below = 0;
    let mut leaders = slots.chunks(batch).map(|chunk| {
        let (&leader, followers) = chunk.split_last().expect("chunks are not empty");
        // SAFETY: `push`'s caller holds the slots.
        let head = unsafe { leader.head() };
        head.lead(followers, below);
        below = head.index();
        leader
    });
    let bottom = leaders.next()?;
    Some((bottom, slots.len().min(batch) - 1, leaders.last().unwrap_or(bottom)))
}

/// Reads the leaders from `top` down, as many as fit; the index below the last.
///
/// # Safety
/// `top` was read from a depot's head with Acquire, is neither empty nor closed, and the depot's slots are `table`'s.
/// The leaders may be stale: only their `below`, an atomic in memory that stays, is read.
unsafe fn walk(table: &SlotTable, top: Link, leaders: &mut [Option<SlotPtr>]) -> u32 {
    let mut index = top.index();
    for place in leaders {
        if index == 0 {
            break;
        }
        // SAFETY: `add` returned every index that ever was in the stack, before it was pushed; that push happens before
        // this call by the Acquire on the head or on the `below` it was read from, be the value ever so stale.
        let leader = unsafe { table.slot(index) };
        *place = Some(leader);
        // SAFETY: the table is alive, and headers with it.
        index = unsafe { leader.head() }.below();
    }
    index
}

/// Writes the members of these batches, oldest first, into `out`; how many.
///
/// # Safety
/// The caller holds the leaders and so their followers.
unsafe fn unpack(table: &SlotTable, leaders: &[Option<SlotPtr>], out: &mut Loot) -> usize {
    let before = out.len();
    for &leader in leaders.iter().rev().flatten() {
        // SAFETY: the caller holds the leader.
        for index in unsafe { leader.head() }.followers() {
            // SAFETY: a follower's index came from its slot, in `lead`, before the push.
            out.add(unsafe { table.slot(index) });
        }
        out.add(leader);
    }
    out.len() - before
}

/// Slots on their way between a magazine and a depot, newest last: at most a magazine full.
pub(crate) struct Loot {
    slots: [std::mem::MaybeUninit<SlotPtr>; DEPTH],
    len: usize,
}

impl Loot {
    pub(crate) fn new() -> Self {
        Loot { slots: [const { std::mem::MaybeUninit::uninit() }; DEPTH], len: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// # Panics
    /// When full: more than a magazine was moved at once, a mistake of the engine.
    pub(super) fn add(&mut self, slot: SlotPtr) {
        self.slots[self.len].write(slot);
        self.len += 1;
    }

    pub(crate) fn take_newest(&mut self) -> Option<SlotPtr> {
        self.len = self.len.checked_sub(1)?;
        // SAFETY: `add` initialised every place below the old length.
        Some(unsafe { self.slots[self.len].assume_init_read() })
    }

    /// Empties it: the slots in it were not, or are no more, ours.
    pub(crate) fn forget(&mut self) {
        self.len = 0;
    }

    pub(crate) fn as_slice(&self) -> &[SlotPtr] {
        let (slots, len) = (self.slots.as_ptr().cast(), self.len);
        // SAFETY: `add` initialised the places below `len`, and a `MaybeUninit<SlotPtr>` is laid out as a `SlotPtr`.
        unsafe { std::slice::from_raw_parts(slots, len) }
    }

    /// Empties it, newest first.
    pub(crate) fn drain(&mut self) -> impl Iterator<Item = SlotPtr> + '_ {
        std::iter::from_fn(|| self.take_newest())
    }
}
