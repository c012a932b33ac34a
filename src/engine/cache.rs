//! This thread's magazines, of all pools, by lane.
//!
//! The hit path must find a magazine without a call, a lock or a check whether thread-locals still live. So the cache
//! itself is a constant-initialised thread-local without a destructor; a second thread-local, registered with the first
//! magazine, empties the cache when the thread exits and leaves the mark [`State::Exited`]. Whatever is dropped on the
//! thread after that finds no magazine, makes none, and goes straight to the depot.

use std::alloc::{Layout, alloc, dealloc};
use std::cell::Cell;
use std::marker::PhantomData;
use std::ptr::{self, NonNull};

use crate::engine::barrier;
use crate::engine::boxed;
use crate::engine::lanes::Lane;
use crate::engine::magazine::{Magazine, vacant};
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
    /// The number of places, and behind it the places, with [`vacant`] where there is no magazine.
    table: Cell<*const Table>,
    state: Cell<State>,
}

/// The head of a table. In the same allocation follow `len` pointers to magazines.
#[repr(C)]
#[derive(Debug)]
struct Table {
    len: usize,
}

/// What threads have before their first magazine, so that the hit path needs no check for it.
static NO_TABLE: Table = Table { len: 0 };

impl Table {
    fn layout(len: usize) -> Option<Layout> {
        let places = Layout::array::<*mut Magazine>(len).ok()?;
        Some(Layout::new::<Table>().extend(places).ok()?.0)
    }

    /// An empty table; none when there is no memory.
    fn try_new(len: usize) -> Option<NonNull<Table>> {
        // SAFETY: not zero-sized.
        let table = NonNull::new(unsafe { alloc(Self::layout(len)?) }.cast::<Table>())?;
        // SAFETY: fresh, and large enough.
        unsafe { table.write(Table { len }) };
        for index in 0..len {
            // SAFETY: made above, and below its length.
            let place = unsafe { Table::place(table.as_ptr(), index) };
            // SAFETY: a place of the table.
            unsafe { place.write(vacant()) };
        }
        Some(table)
    }

    /// # Safety
    /// `table` is one made by `try_new`, or [`NO_TABLE`] and then not written to; `index` is below its length.
    #[inline(always)]
    unsafe fn place(table: *const Table, index: usize) -> *mut *mut Magazine {
        // SAFETY: the end of the head, at most one past the allocation.
        let places = unsafe { table.add(1) }.cast::<*mut Magazine>().cast_mut();
        // SAFETY: the places follow the head, both aligned as pointers are.
        unsafe { places.add(index) }
    }

    /// # Safety
    /// `table` is one made by `try_new` and not used any more, or [`NO_TABLE`].
    unsafe fn free(table: *const Table) {
        // SAFETY: by the caller.
        let len = unsafe { (*table).len };
        if len > 0 {
            let layout = Self::layout(len).expect("it was allocated with this layout");
            // SAFETY: allocated in `try_new` with this layout.
            unsafe { dealloc(table.cast_mut().cast(), layout) };
        }
    }
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

/// Runs `work` on this thread's cache. In a `cdylib` or a plugin the access is a call into the dynamic linker;
/// elsewhere an offset from a register.
#[inline(always)]
pub(crate) fn with<R>(work: impl FnOnce(&Cache) -> R) -> R {
    // The address first and the work afterwards, because `LocalKey::with` is not inlined around much work.
    let cache = CACHE.with(ptr::from_ref);
    // SAFETY: a thread-local without a destructor stays until its thread is gone, and the reference does not leave the
    // thread.
    work(unsafe { &*cache })
}

/// This thread's cache, for cold paths: found again there, because to pass it on would cost the hit path instructions.
#[derive(Clone, Copy)]
pub(super) struct AtHand<'c> {
    /// Models have caches of their own, since loom's threads share one thread of the system.
    #[cfg(loom)]
    cache: &'c Cache,
    lifetime: PhantomData<&'c Cache>,
}

impl AtHand<'_> {
    pub(super) fn with<R>(self, work: impl FnOnce(&Cache) -> R) -> R {
        #[cfg(loom)]
        return work(self.cache);
        #[cfg(not(loom))]
        return with(work);
    }
}

impl Cache {
    #[inline(always)]
    pub(super) fn at_hand(&self) -> AtHand<'_> {
        AtHand {
            #[cfg(loom)]
            cache: self,
            lifetime: PhantomData,
        }
    }

    pub(crate) const fn new() -> Self {
        Cache { table: Cell::new(&NO_TABLE), state: Cell::new(State::Fresh) }
    }

    #[inline(always)]
    fn len(&self) -> usize {
        // SAFETY: always NO_TABLE or a table of our own.
        unsafe { (*self.table.get()).len }
    }

    /// The magazine of this lane, whichever store it was made for, be it the vacant one.
    #[inline(always)]
    pub(super) fn magazine(&self, lane: Lane) -> Option<&Magazine> {
        if lane.index() >= self.len() {
            return None;
        }
        // SAFETY: below the table's length.
        let place = unsafe { Table::place(self.table.get(), lane.index()) };
        // SAFETY: a place of the table, which only this thread reads and writes.
        let magazine = unsafe { *place };
        if cfg!(loom) && magazine == vacant() {
            return None;
        }
        // SAFETY: the vacant one, or a magazine this thread holds. It is let go in `put` and `exit` alone, and neither runs while
        // a magazine borrowed from here is in use: both are slow paths of this thread that come last.
        Some(unsafe { &*magazine })
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
        self.put(lane, vacant());
    }

    fn put(&self, lane: Lane, magazine: *mut Magazine) {
        // SAFETY: `reach` made the table long enough for this lane.
        let place = unsafe { Table::place(self.table.get(), lane.index()) };
        // SAFETY: a place of this thread's table.
        let old = unsafe { place.replace(magazine) };
        // SAFETY: the table held it and holds it no more.
        unsafe { give_up(old) };
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
        let old_len = self.len();
        if lane.index() < old_len {
            return true;
        }
        let Some(new) = Table::try_new((lane.index() + 1).next_multiple_of(64).max(old_len * 2)) else { return false };
        // SAFETY: place 0 of a table, if only to copy nothing from it.
        let from = unsafe { Table::place(self.table.get(), 0) };
        // SAFETY: as above.
        let to = unsafe { Table::place(new.as_ptr(), 0) };
        // SAFETY: two tables, of at least `old_len` places each.
        unsafe { ptr::copy_nonoverlapping(from, to, old_len) };
        let old = self.table.replace(new.as_ptr());
        // SAFETY: replaced, and its places moved.
        unsafe { Table::free(old) };
        true
    }

    /// Sends everything home and makes sure that nothing is cached by this thread again.
    pub(crate) fn exit(&self) {
        self.state.set(State::Exited);
        let len = self.len();
        let table = self.table.replace(&NO_TABLE);
        for index in 0..len {
            // SAFETY: below the length of the table that was.
            let place = unsafe { Table::place(table, index) };
            // SAFETY: as above; the table is private now.
            let magazine = unsafe { place.read() };
            // SAFETY: the table held it and holds it no more.
            unsafe { give_up(magazine) };
        }
        // SAFETY: ours, and replaced.
        unsafe { Table::free(table) };
    }
}

/// Ends a magazine's attachment and the thread's hold on it.
///
/// # Safety
/// The vacant one, or a magazine that the thread's table held and holds no more.
unsafe fn give_up(magazine: *mut Magazine) {
    if magazine == vacant() {
        return;
    }
    // SAFETY: the vacant one under loom alone is null.
    let magazine = unsafe { NonNull::new_unchecked(magazine) };
    store::detach(magazine);
    // SAFETY: the caller's promise.
    unsafe { let_go(magazine) };
}
