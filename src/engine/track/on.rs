//! With the feature `track`: each slot has a record of who took it.
//!
//! The holder of a slot writes its record, and whoever lists what is out reads the records of all slots at any time. So
//! every word of it is an atomic, a slot that is not out says so in one of them, and what is listed while others work may
//! have a thread or a time of the next checkout from the same place. Records are made of zeroes, as new segments of the
//! table are.
//!
//! The time is that of a clock which is set forward once a second, or when a thread goes to the depot of a pool that tracks: to
//! read the system's would cost more than all the rest.

use std::cell::Cell;
use std::panic::Location;
use std::ptr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering::*};
use std::time::{Duration, Instant};

use crate::engine::core::Core;
use crate::engine::slot::SlotPtr;
use crate::memory::os;

/// A checkout as a slot is to remember it: where in the program it was, if the pool tracks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Checkout(Option<&'static Location<'static>>);

/// What a slot remembers.
#[derive(Debug)]
pub(crate) struct Record {
    /// Where it was taken; null while it is not out, and in pools that do not track.
    location: AtomicPtr<Location<'static>>,
    /// The thread above, the time below.
    thread_and_time: AtomicU64,
    /// Bytes that it stands for, from the moment on when it has memory.
    bytes: AtomicUsize,
}

/// What a record says of a slot that is out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Out {
    pub(crate) location: &'static Location<'static>,
    pub(crate) thread: u32,
    pub(crate) age: Duration,
    pub(crate) bytes: usize,
}

impl Core {
    /// A checkout by who called the caller.
    #[inline(always)]
    #[track_caller]
    pub(crate) fn checkout(&self) -> Checkout {
        // Not by a closure, which would be the caller.
        Checkout(if self.tracks() { Some(Location::caller()) } else { None })
    }

    pub(crate) fn tracks(&self) -> bool {
        self.limits().tracks
    }

    /// Slots that are out, as far as they were tracked.
    pub(crate) fn for_each_out(&self, mut each: impl FnMut(Out)) {
        advance();
        self.table().for_each_record(|record| record.out().into_iter().for_each(&mut each));
    }

    /// Sets the clock forward if somebody wants to know the time.
    pub(in crate::engine) fn advance_if_tracking(&self) {
        if self.tracks() {
            advance();
        }
    }
}

impl SlotPtr {
    /// Remembers who took it.
    ///
    /// # Safety
    /// The caller holds the slot.
    #[inline(always)]
    pub(crate) unsafe fn check_out(self, checkout: Checkout) {
        let Checkout(Some(location)) = checkout else { return };
        // SAFETY: held, so the table is alive.
        let record = unsafe { self.head() }.record();
        record.thread_and_time.store(u64::from(thread()) << u32::BITS | u64::from(NOW.load(Relaxed)), Relaxed);
        // Release pairs with the Acquire in `Record::out`: who sees the place sees the rest.
        record.location.store(ptr::from_ref(location).cast_mut(), Release);
    }

    /// Forgets who took it.
    ///
    /// # Safety
    /// As [`check_out`](Self::check_out).
    #[inline(always)]
    pub(crate) unsafe fn check_in(self) {
        // SAFETY: held, so the table is alive.
        let record = unsafe { self.head() }.record();
        // Relaxed: who still sees it as out is a moment late.
        record.location.store(ptr::null_mut(), Relaxed);
    }

    /// Whoever took this slot has that one in its place.
    ///
    /// # Safety
    /// As [`check_out`](Self::check_out), of both.
    pub(crate) unsafe fn moved_to(self, other: SlotPtr) {
        // SAFETY: held, so the table is alive.
        let mine = unsafe { self.head() }.record();
        // SAFETY: as above.
        let others = unsafe { other.head() }.record();
        others.thread_and_time.store(mine.thread_and_time.load(Relaxed), Relaxed);
        // Release: see `check_out`.
        others.location.store(mine.location.load(Relaxed), Release);
    }

    /// Remembers how many bytes it stands for.
    ///
    /// # Safety
    /// As [`check_out`](Self::check_out).
    pub(crate) unsafe fn weighs(self, bytes: usize) {
        // SAFETY: held, so the table is alive.
        unsafe { self.head() }.record().bytes.store(bytes, Relaxed);
    }
}

impl Record {
    fn out(&self) -> Option<Out> {
        // Acquire pairs with the Releases above.
        let location = self.location.load(Acquire);
        // SAFETY: null, or made from a reference that is valid for ever.
        let location = unsafe { location.as_ref() }?;
        let noted = self.thread_and_time.load(Relaxed);
        let (thread, then) = ((noted >> u32::BITS) as u32, noted as u32);
        let age = TICK * NOW.load(Relaxed).saturating_sub(then);
        Some(Out { location, thread, age, bytes: self.bytes.load(Relaxed) })
    }
}

/// What the clock counts. A word is enough for thirteen years.
const TICK: Duration = Duration::from_millis(100);
/// Ticks since the first time that anybody asked.
static NOW: AtomicU32 = AtomicU32::new(0);

/// Sets the clock forward.
pub(crate) fn advance() {
    static START: OnceLock<Instant> = OnceLock::new();
    if cfg!(all(target_family = "wasm", target_os = "unknown")) {
        // There is no clock there.
        return;
    }
    let ticks = START.get_or_init(Instant::now).elapsed().as_millis() / TICK.as_millis();
    // Relaxed: a number that only grows.
    NOW.fetch_max(u32::try_from(ticks).unwrap_or(u32::MAX), Relaxed);
}

/// The number of this thread, the system's where it has small ones.
#[inline(always)]
fn thread() -> u32 {
    thread_local! {
        static THREAD: Cell<u32> = const { Cell::new(0) };
    }
    // Without a destructor, so it is there to the end of the thread.
    THREAD.with(|known| match known.get() {
        0 => first_seen(known),
        thread => thread,
    })
}

#[cold]
#[inline(never)]
fn first_seen(known: &Cell<u32>) -> u32 {
    let thread = os::thread_number();
    known.set(thread);
    thread
}
