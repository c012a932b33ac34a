//! A thread's magazine: a stack of idle slots that its owner uses with one store per operation and that any thread may
//! rob.
//!
//! The simple magazine is an array and a length under a lock. This one has no lock, because a lock costs its owner two
//! read-modify-writes per operation. Instead each operation of the owner is a *tentative commit*: one store of `word`,
//! which packs the length with the hit counter, and then one look at `att`. While nobody wants anything `att` is 0 and
//! the operation stands. Only the owner writes `word`; everybody writes `att`, by read-modify-writes, on slow paths.
//!
//! | state of `att` | meaning | who leaves it, how |
//! |---|---|---|
//! | OPEN | the owner's | a robber: compare-and-swap to ASKED |
//! | ASKED | a robber asks; no length is agreed yet | whoever is first: compare-and-swap to TAKEN with a length |
//! | TAKEN(n) | the lowest n slots are the robber's, which copies them | the robber: to EMPTY(n) |
//! | EMPTY(n) | copied; nothing is here, however long the owner sleeps | the owner: length to 0, then to OPEN |
//!
//! # Why nothing is lost or given out twice
//!
//! 1. The barrier (see [`barrier`]) lies between ASKED and the robber's read of `word`. So for each operation of the
//!    owner, either its look at `att` sees ASKED or a later state, or the robber reads that operation's commit or a
//!    later one. An owner that saw something settles before its next operation; hence the robber reads the word before
//!    or after *one* operation.
//! 2. The two lengths around one operation differ. If the robber is first to name a length, the owner compares: named
//!    its new length, the operation happened before the robbery; named the old one, it did not happen. If the owner is
//!    first, it names its new length and the operation stands. One compare-and-swap decides and both read the same
//!    number.
//! 3. While TAKEN(n), the owner has length n. Its further tentative operations end at other lengths, so none looks
//!    done, and a push writes to places from n on, above what is being copied. It writes lower places only after it has
//!    read EMPTY.
//! 4. A second robbery needs OPEN, which only the owner makes after it has repaired `word`. So an owner that slept
//!    through a robbery still finds the state it compares with: at most one robbery per opening.
//! 5. The counter is above the length in the same word, has one writer, and is undone with an operation that did not
//!    happen.
//! 6. Request bits are set by read-modify-writes and kept by every transition. After setting one, a barrier and a
//!    robbery, each push either was robbed or saw the bit: no push slips past a pool that closes.
//!
//! The owner looks at `att` after its commit, when its slot, and with it the pool's core, may be gone. Therefore a
//! magazine belongs to its thread and outlives any pool; see [`cache`](super::cache).

mod words;

use std::fmt;
use std::ops::Range;
use std::ptr;

use crate::engine::barrier::{self, Barrier};
use crate::engine::depot::Loot;
use crate::engine::seats::Seat;
use crate::engine::slot::{Head, SlotPtr};
use crate::engine::store::Store;
use crate::sync::{AtomicPtr, AtomicU32, AtomicU64, DEPTH, Ordering::*, Place, fence};
use words::{Att, Word};

/// What came of a push.
pub(super) enum Push {
    /// The slot is the magazine's, or already a robber's: the caller must not touch it.
    Done,
    /// Full: the slot is still the caller's.
    Refused,
    /// Somebody wants something: see [`Magazine::settle_push`].
    Unsettled(Unsettled),
}

/// A commit that met a request.
pub(super) struct Unsettled {
    old: Word,
    new: Word,
}

/// Whether slots may stay in a magazine.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Stay {
    Open,
    /// The pool is closed, or somebody waits for memory: the owner must empty the magazine.
    Leave,
}

/// See the module's text. `repr(C)` keeps what a hit touches on one cache line as long as few slots are in.
#[repr(C, align(128))]
pub(crate) struct Magazine {
    word: AtomicU64,
    att: AtomicU32,
    /// Slots it may hold. The owner's.
    limit: AtomicU32,
    places: [Place<Head>; DEPTH],
    /// The id of the core this magazine was made for. Lanes are used again, ids are not.
    core_id: u64,
    /// The store it is attached to, null from the moment owner or closer took the attachment away.
    link: AtomicPtr<Store>,
    /// Where the store finds it.
    seat: AtomicPtr<Seat>,
    /// Gets that the owner served from the depot through this magazine. The owner's.
    depot_hits: AtomicU64,
    /// Slots that the owner was handed while it waited. The owner's.
    handed_over: AtomicU64,
    /// The word when the core's last tick looked. The tick's.
    seen: AtomicU64,
    /// Misses to let pass before the limit is raised again. The owner's.
    patience: AtomicU32,
    /// The owner, and the seat.
    holders: AtomicU32,
}

#[cfg(all(not(loom), target_pointer_width = "64"))]
const _: () = assert!(size_of::<Magazine>() == 640, "the crate's documentation says what a thread pays");

/// What stands in a thread's table where there is no magazine: empty and without room, so that a hit path that comes by here leaves it
/// untouched and needs no check of its own. No core has its id.
#[cfg(not(loom))]
static VACANT: Magazine = Magazine::new(0, Barrier::Asymmetric);

/// The address of no magazine.
#[cfg(not(loom))]
#[inline(always)]
pub(super) fn vacant() -> *mut Magazine {
    ptr::from_ref(&VACANT).cast_mut()
}

#[cfg(loom)]
// SAFETY: what the models check: `Place` is a plain cell there, and everything else is atomic.
unsafe impl Sync for Magazine {}
#[cfg(loom)]
// SAFETY: as above.
unsafe impl Send for Magazine {}

impl Magazine {
    /// A magazine held by its owner alone.
    #[cfg(not(loom))]
    pub(super) const fn new(core_id: u64, kind: Barrier) -> Self {
        Magazine {
            word: AtomicU64::new(0),
            att: AtomicU32::new(Att::at_birth(kind)),
            limit: AtomicU32::new(0),
            places: [const { Place::empty() }; DEPTH],
            core_id,
            link: AtomicPtr::new(ptr::null_mut()),
            seat: AtomicPtr::new(ptr::null_mut()),
            depot_hits: AtomicU64::new(0),
            handed_over: AtomicU64::new(0),
            seen: AtomicU64::new(0),
            patience: AtomicU32::new(0),
            holders: AtomicU32::new(1),
        }
    }

    #[inline(always)]
    fn word(&self) -> Word {
        Word(self.word.load(Relaxed))
    }

    /// Owner: commits `new`, tentatively.
    ///
    /// Release, of pops too, pairs with the robber's Acquire read of `word`: what the owner wrote to slots and places
    /// before is seen by the robber. A pop's commit must be Release as well because it, not the push before it, may
    /// be what the robber reads, and a plain store does not continue the earlier store's release sequence.
    #[inline(always)]
    fn commit(&self, new: Word) {
        self.word.store(new.0, Release);
        barrier::light();
    }

    /// Owner: nobody wanted anything at this look.
    ///
    /// Relaxed suffices: 0 means OPEN, which is the owner's own writing. On Arm an Acquire load would also stall behind
    /// the Release store before it.
    #[inline(always)]
    fn undisturbed(&self) -> bool {
        self.att.load(Relaxed) == 0
    }

    /// Owner: the newest slot, unless the magazine is empty or was robbed.
    #[inline(always)]
    pub(super) fn pop(&self) -> Option<SlotPtr> {
        let old = self.word();
        let len = old.len();
        if len == 0 {
            return None;
        }
        // SAFETY: the owner commits no length above DEPTH.
        let slot = unsafe { self.places.get_unchecked(len - 1) }.get();
        let new = old.popped(1);
        self.commit(new);
        if self.undisturbed() || self.settle(old, new) {
            // SAFETY: places below the length were written by pushes, with slots.
            return Some(SlotPtr::from_raw(unsafe { ptr::NonNull::new_unchecked(slot) }));
        }
        None
    }

    /// Owner: puts a slot on top.
    #[inline(always)]
    pub(super) fn push(&self, slot: SlotPtr) -> Push {
        let old = self.word();
        let len = old.len();
        if len >= self.limit.load(Relaxed) as usize {
            return Push::Refused;
        }
        // SAFETY: below the limit, which is at most DEPTH.
        let place = unsafe { self.places.get_unchecked(len) };
        // The thread that took a slot mostly brings it back: a load and a comparison are cheaper than a store.
        if place.get() != slot.as_ptr() {
            place.set(slot.as_ptr());
        }
        let new = old.pushed(1);
        self.commit(new);
        if self.undisturbed() { Push::Done } else { Push::Unsettled(Unsettled { old, new }) }
    }

    /// Owner: what became of a push that met a request. None: the slot is still the caller's.
    #[cold]
    pub(super) fn settle_push(&self, push: Unsettled) -> Option<Stay> {
        let stands = self.settle(push.old, push.new);
        stands.then(|| if Att(self.att.load(Relaxed)).has(Att::LEAVE) { Stay::Leave } else { Stay::Open })
    }

    /// Owner: the operation from `old` to `new` met a request. Did it happen?
    #[cold]
    #[inline(never)]
    fn settle(&self, old: Word, new: Word) -> bool {
        debug_assert_ne!(old.len(), new.len(), "equal lengths could not be told apart");
        let mut att = Att(self.att.load(Relaxed));
        if att.has(Att::FENCED) {
            // The owner's half of the symmetric barrier: the commit before, the look that counts behind it.
            fence(SeqCst);
        }
        loop {
            // Acquire pairs with the robber's Release of EMPTY: its copying is over before the owner writes a place
            // again.
            att.0 = self.att.load(Acquire);
            match att.state() {
                // Request bits only.
                Att::OPEN => return true,
                Att::ASKED => {
                    let agreed = att.taken(new.len());
                    // Release pairs with the Acquire of the robber's failed exchange: it copies what this operation
                    // wrote.
                    if self.att.compare_exchange(att.0, agreed.0, Release, Relaxed).is_ok() {
                        return true;
                    }
                }
                state => {
                    let happened = att.len() == new.len();
                    let word = if happened { new } else { old };
                    if state == Att::EMPTY {
                        self.reopen(word)
                    } else {
                        self.word.store(word.0, Relaxed)
                    }
                    return happened;
                }
            }
        }
    }

    /// Owner: makes a magazine that was robbed its own again.
    fn reopen(&self, word: Word) {
        self.word.store(word.emptied().0, Relaxed);
        // Release pairs with the Acquire of the next robber's ASKED: it must not read the length from before.
        self.att.fetch_and(Att::REQUESTS, Release);
    }

    /// Owner, before anything slow: opens it again after a robbery. False while a robber copies; then the owner goes
    /// past it, to the depot.
    fn is_mine(&self) -> bool {
        // Acquire as in `settle`.
        match Att(self.att.load(Acquire)).state() {
            Att::EMPTY => {
                self.reopen(self.word());
                true
            }
            Att::TAKEN => false,
            _ => true,
        }
    }

    /// Owner: takes everything out, oldest first; nothing if it was robbed.
    pub(super) fn take_all(&self) -> Loot {
        if !self.is_mine() {
            return Loot::new();
        }
        let mut out = Loot::new();
        let old = self.word();
        self.take_out(old, old.emptied(), &mut out);
        out
    }

    /// Owner: up to `count` of the newest slots, newest last, into `out`, which is empty; nothing if it was robbed.
    pub(super) fn pop_many(&self, count: usize, out: &mut Loot) {
        if self.is_mine() {
            let old = self.word();
            self.take_out(old, old.popped(old.len().min(count)), out);
        }
    }

    /// Owner: what `new` has no more of what `old` had, into `out`, which is empty.
    fn take_out(&self, old: Word, new: Word, out: &mut Loot) {
        if new.len() == old.len() {
            return;
        }
        self.copy(new.len()..old.len(), out);
        self.commit(new);
        if !self.undisturbed() && !self.settle(old, new) {
            out.forget();
        }
    }

    /// Owner: so many of those that were popped were not what was asked for.
    pub(super) fn uncount_hits(&self, count: usize) {
        let word = self.word();
        // Release as in `commit`: a robber may read this store in its place. The length is as it was.
        self.word.store(word.0.wrapping_sub(Word::ONE_HIT.wrapping_mul(count as u64)), Release);
    }

    /// Slots there is room for, unless it was robbed.
    pub(super) fn room(&self) -> usize {
        self.limit().saturating_sub(self.word().len())
    }

    /// Owner: puts these slots on top, newest last. All or nothing; none when it cannot.
    pub(super) fn push_many(&self, slots: &[SlotPtr]) -> Option<Stay> {
        if slots.is_empty() {
            return Some(Stay::Open);
        }
        if !self.is_mine() || slots.len() > self.room() {
            return None;
        }
        let old = self.word();
        for (place, slot) in self.places[old.len()..].iter().zip(slots) {
            place.set(slot.as_ptr());
        }
        let new = old.pushed(slots.len());
        self.commit(new);
        if self.undisturbed() { Some(Stay::Open) } else { self.settle_push(Unsettled { old, new }) }
    }

    /// Owner: `pop` for slow paths, after a robbery too.
    pub(super) fn pop_again(&self) -> Option<SlotPtr> {
        if self.is_mine() { self.pop() } else { None }
    }

    /// Owner: `push` for slow paths, after a robbery too.
    pub(super) fn push_again(&self, slot: SlotPtr) -> Option<Stay> {
        match if self.is_mine() { self.push(slot) } else { Push::Refused } {
            Push::Done => Some(Stay::Open),
            Push::Refused => None,
            Push::Unsettled(push) => self.settle_push(push),
        }
    }

    fn copy(&self, places: Range<usize>, out: &mut Loot) {
        for place in &self.places[places] {
            let slot = ptr::NonNull::new(place.get()).expect("a place below the length holds a slot");
            out.add(SlotPtr::from_raw(slot));
        }
    }

    /// Robber, first step: asks. False: there is nothing to take, or another robber takes it.
    pub(super) fn ask(&self) -> bool {
        let mut att = Att(self.att.load(Relaxed));
        while att.state() == Att::OPEN {
            // Acquire pairs with the owner's Release in `reopen`.
            match self.att.compare_exchange(att.0, att.0 | Att::ASKED, Acquire, Relaxed) {
                Ok(_) => return true,
                Err(now) => att.0 = now,
            }
        }
        false
    }

    /// Robber, after [`ask`](Self::ask) said yes and [`barrier::heavy`]: takes everything, waits for nobody.
    ///
    /// `ordered`: the barrier has happened. Without it the robber cannot know the length: it takes the request back,
    /// unless the owner has agreed to one already, which is sound by itself.
    pub(super) fn take(&self, ordered: bool) -> Loot {
        // Acquire pairs with the owner's commit.
        let len = Word(self.word.load(Acquire)).len();
        // Acquire, here and on failure: the owner agreed, and its last operation is inside.
        let mut att = Att(self.att.load(Acquire));
        while att.state() == Att::ASKED {
            let next = if ordered { att.taken(len) } else { att.opened() };
            // Relaxed on success: a length of the robber's tells the owner nothing but itself, and a withdrawn request
            // nothing.
            match self.att.compare_exchange(att.0, next.0, Relaxed, Acquire) {
                Ok(_) => att = next,
                Err(now) => att.0 = now,
            }
        }
        let mut out = Loot::new();
        if att.state() == Att::TAKEN {
            self.copy(0..att.len(), &mut out);
            // TAKEN to EMPTY. Release pairs with the owner's Acquire look: places are copied before it writes them
            // again.
            self.att.fetch_or(Att::EMPTY, Release);
        }
        out
    }

    /// Raises the closed bit. A robbery must follow.
    pub(super) fn request_close(&self) {
        // Relaxed: the barrier of the robbery that follows orders it.
        self.att.fetch_or(Att::CLOSED, Relaxed);
    }

    /// Raises the attention bit. A robbery must follow, or the caller is the owner.
    pub(super) fn request_attention(&self) {
        // AcqRel: pairs with `dismiss_attention`.
        self.att.fetch_or(Att::ATTENTION, AcqRel);
    }

    /// Takes the attention bit back.
    pub(super) fn dismiss_attention(&self) {
        // AcqRel: an owner whose dismissal comes after another's request sees what that one wrote before it.
        self.att.fetch_and(!Att::ATTENTION, AcqRel);
    }

    pub(super) fn has_attention(&self) -> bool {
        Att(self.att.load(Relaxed)).has(Att::ATTENTION)
    }

    /// Slots inside and hits so far, for statistics; exact when nobody works on it.
    pub(super) fn snapshot(&self) -> (usize, u64) {
        let word = self.word();
        let robbed = Att(self.att.load(Acquire)).state() == Att::EMPTY;
        (if robbed { 0 } else { word.len() }, word.hits())
    }

    /// Whether something is here that the owner has not touched since the last call. Not at the same time as another call of
    /// this.
    pub(super) fn lies_still(&self) -> bool {
        let word = self.word();
        let seen = self.seen.swap(word.0, Relaxed);
        seen == word.0 && self.snapshot().0 > 0
    }

    pub(super) fn core_id(&self) -> u64 {
        self.core_id
    }

    pub(super) fn limit(&self) -> usize {
        self.limit.load(Relaxed) as usize
    }

    /// Owner.
    pub(super) fn set_limit(&self, limit: usize) {
        debug_assert!(limit <= DEPTH);
        self.limit.store(limit as u32, Relaxed);
    }

    /// Owner: whether it is time to ask for a higher limit again.
    pub(super) fn may_ask_for_places(&self) -> bool {
        let patience = self.patience.load(Relaxed);
        self.patience.store(patience.saturating_sub(1), Relaxed);
        patience == 0
    }

    /// Owner: lets so many misses pass first.
    pub(super) fn be_patient(&self, misses: u32) {
        self.patience.store(misses, Relaxed);
    }

    /// Owner: one more get that the depot served.
    pub(super) fn count_depot_hit(&self) {
        self.depot_hits.store(self.depot_hits.load(Relaxed) + 1, Relaxed);
    }

    /// Owner: one more slot that was handed over.
    pub(super) fn count_handed_over(&self) {
        self.handed_over.store(self.handed_over.load(Relaxed) + 1, Relaxed);
    }

    pub(super) fn handed_over(&self) -> u64 {
        self.handed_over.load(Relaxed)
    }

    pub(super) fn depot_hits(&self) -> u64 {
        self.depot_hits.load(Relaxed)
    }

    pub(super) fn link(&self) -> &AtomicPtr<Store> {
        &self.link
    }

    pub(super) fn seat(&self) -> &AtomicPtr<Seat> {
        &self.seat
    }

    pub(super) fn holders(&self) -> &AtomicU32 {
        &self.holders
    }
}

impl fmt::Debug for Magazine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Magazine")
            .field("word", &self.word())
            .field("att", &Att(self.att.load(Relaxed)))
            .field("limit", &self.limit())
            .field("core_id", &self.core_id)
            .finish_non_exhaustive()
    }
}

/// Loom's atomics have no constant constructors, so models have neither constant magazines nor a vacant one.
#[cfg(loom)]
mod model {
    use super::*;

    impl Magazine {
        pub(in crate::engine) fn new(core_id: u64, kind: Barrier) -> Self {
            Magazine {
                word: AtomicU64::new(0),
                att: AtomicU32::new(Att::at_birth(kind)),
                limit: AtomicU32::new(0),
                places: std::array::from_fn(|_| Place::empty()),
                core_id,
                link: AtomicPtr::new(ptr::null_mut()),
                seat: AtomicPtr::new(ptr::null_mut()),
                depot_hits: AtomicU64::new(0),
                handed_over: AtomicU64::new(0),
                seen: AtomicU64::new(0),
                patience: AtomicU32::new(0),
                holders: AtomicU32::new(1),
            }
        }
    }

    pub(in crate::engine) fn vacant() -> *mut Magazine {
        ptr::null_mut()
    }
}

#[cfg(loom)]
pub(super) use model::vacant;
