//! This thread's magazines, of all pools, by lane.
//!
//! The hit path must find a magazine without a call, a lock or a check whether thread-locals still live. So the cache itself is a
//! constant-initialised thread-local without a destructor; a second thread-local, registered with the first magazine, empties the
//! cache when the thread exits and leaves the mark [`State::Exited`]. Whatever is dropped on the thread after that finds
//! no magazine, makes none, and goes straight to the depot.

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::cell::Cell;
use std::ptr::{self, NonNull};

use crate::engine::barrier;
use crate::engine::boxed;
use crate::engine::lanes::Lane;
use crate::engine::magazine::Magazine;
use crate::engine::seats::let_go;
use crate::engine::store;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// No magazine yet, and no exit guard.
    Fresh,
    Attached,
    Exited,
}

/// A thread's table of magazines.
#[derive(Debug)]
pub(crate) struct Cache {
    /// `len` places, null where there is no magazine. Null itself while `len` is 0.
    table: Cell<*mut *mut Magazine>,
    len: Cell<usize>,
    state: Cell<State>,
}

/// Does the exit clean-up of the thread's cache.
struct ExitGuard;

impl Drop for ExitGuard {
    fn drop(&mut self) {
        with(Cache::exit);
    }
}

thread_local! {
    static CACHE: Cache = const { Cache::new() };
    static EXIT_GUARD: ExitGuard = const { ExitGuard };
}

/// Runs `work` on this thread's cache. In a `cdylib` or a plugin the access is a call into the dynamic linker; elsewhere an
/// offset from a register.
#[inline(always)]
pub(crate) fn with<R>(work: impl FnOnce(&Cache) -> R) -> R {
    // The address first and the work afterwards, because `LocalKey::with` is not inlined around much work.
    let cache = CACHE.with(ptr::from_ref);
    // SAFETY: a thread-local without a destructor stays until its thread is gone, and the reference does not leave the thread.
    work(unsafe { &*cache })
}

impl Cache {
    pub(super) const fn new() -> Self {
        Cache { table: Cell::new(ptr::null_mut()), len: Cell::new(0), state: Cell::new(State::Fresh) }
    }

    /// The magazine of this lane, whichever store it was made for.
    #[inline(always)]
    pub(super) fn magazine(&self, lane: Lane) -> Option<&Magazine> {
        if lane.index() >= self.len.get() {
            return None;
        }
        // SAFETY: below the table's length.
        let place = unsafe { self.table.get().add(lane.index()) };
        // SAFETY: a place of the table, which only this thread reads and writes.
        let magazine = unsafe { *place };
        // SAFETY: null, or a magazine this thread holds. It is let go in `put` and `exit` alone, and neither runs while a
        // magazine borrowed from here is in use: both are slow paths of this thread that come last.
        unsafe { magazine.as_ref() }
    }

    /// Makes a magazine for this lane in place of any older one; none when the thread is exiting or there is no memory.
    pub(super) fn add(&self, lane: Lane, core_id: u64) -> Option<NonNull<Magazine>> {
        if lane == Lane::NONE || !self.is_open() || !self.reach(lane) {
            return None;
        }
        let magazine = boxed::try_new(Magazine::new(core_id, barrier::kind()))?;
        self.put(lane, magazine.as_ptr());
        Some(magazine)
    }

    /// Takes a magazine out again that found no seat.
    pub(super) fn remove(&self, lane: Lane) {
        self.put(lane, ptr::null_mut());
    }

    fn put(&self, lane: Lane, magazine: *mut Magazine) {
        // SAFETY: `reach` made the table long enough for this lane.
        let place = unsafe { self.table.get().add(lane.index()) };
        // SAFETY: a place of this thread's table.
        let old = unsafe { place.replace(magazine) };
        if let Some(old) = NonNull::new(old) {
            store::detach(old);
            // SAFETY: the table held it and holds it no more.
            unsafe { let_go(old) };
        }
    }

    /// Whether this thread may still make magazines. The first time, sees to the clean-up.
    fn is_open(&self) -> bool {
        if self.state.get() == State::Fresh {
            let guarded = cfg!(loom) || EXIT_GUARD.try_with(|_| ()).is_ok();
            self.state.set(if guarded { State::Attached } else { State::Exited });
        }
        self.state.get() == State::Attached
    }

    /// Makes the table long enough for this lane.
    fn reach(&self, lane: Lane) -> bool {
        let old_len = self.len.get();
        if lane.index() < old_len {
            return true;
        }
        let new_len = (lane.index() + 1).next_multiple_of(64).max(old_len * 2);
        let Ok(layout) = Layout::array::<*mut Magazine>(new_len) else { return false };
        // Zeroed, thus null, and by large allocators not even touched.
        // SAFETY: not zero-sized.
        let new = unsafe { alloc_zeroed(layout) }.cast::<*mut Magazine>();
        if new.is_null() {
            return false;
        }
        if old_len > 0 {
            // SAFETY: two tables, of at least `old_len` places each.
            unsafe { ptr::copy_nonoverlapping(self.table.get(), new, old_len) };
        }
        let old = self.table.replace(new);
        self.len.set(new_len);
        free_table(old, old_len);
        true
    }

    /// Sends everything home and makes sure that nothing is cached by this thread again.
    pub(super) fn exit(&self) {
        self.state.set(State::Exited);
        let (table, len) = (self.table.replace(ptr::null_mut()), self.len.replace(0));
        for index in 0..len {
            // SAFETY: a place of the table that was.
            let place = unsafe { table.add(index) };
            // SAFETY: as above; the table is private now.
            if let Some(magazine) = NonNull::new(unsafe { place.read() }) {
                store::detach(magazine);
                // SAFETY: the table held it and holds it no more.
                unsafe { let_go(magazine) };
            }
        }
        free_table(table, len);
    }
}

fn free_table(table: *mut *mut Magazine, len: usize) {
    if len > 0 {
        let layout = Layout::array::<*mut Magazine>(len).expect("it was allocated with this layout");
        // SAFETY: allocated in `reach` with this layout, and replaced.
        unsafe { dealloc(table.cast(), layout) };
    }
}
