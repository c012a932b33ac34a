//! The one switch between `std` and [loom](https://docs.rs/loom): the engine and the budgets take their atomics and locks from
//! here.
//!
//! Loom explores every interleaving of a small model, so the sizes it sees are small too; they stand here and nowhere
//! else.

#[cfg(loom)]
pub(crate) use loom::{
    cell::Cell,
    sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence},
    sync::{Mutex, MutexGuard},
    thread::yield_now,
};
#[cfg(not(loom))]
pub(crate) use std::{
    cell::Cell,
    sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence},
    sync::{Mutex, MutexGuard},
    thread::yield_now,
};

use std::sync::{PoisonError, TryLockError};

#[cfg(not(loom))]
thread_local! {
    /// The key under which this thread was last handed something that it had waited for, in any tree of budgets.
    pub(crate) static LAST_KEY: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}
// Loom's macro knows no `const` blocks.
#[cfg(loom)]
loom::thread_local! {
    pub(crate) static LAST_KEY: std::cell::Cell<usize> = std::cell::Cell::new(0);
}

/// Stands behind a SeqCst write on which a thread then looks at what others wrote so. Loom takes such accesses for AcqRel
/// and knows SeqCst of fences alone.
#[inline(always)]
pub(crate) fn seqcst_for_loom() {
    #[cfg(loom)]
    fence(Ordering::SeqCst);
}

/// Locks. No user code runs under the crate's locks, so a panic under one is the crate's own, and what it guards as good
/// as before.
pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Locks, unless somebody else has.
pub(crate) fn try_locked<T>(mutex: &Mutex<T>) -> Option<MutexGuard<'_, T>> {
    match mutex.try_lock() {
        Ok(guard) => Some(guard),
        Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
        Err(TryLockError::WouldBlock) => None,
    }
}

/// Places in a magazine, at most.
pub(crate) const DEPTH: usize = if cfg!(loom) { 3 } else { 64 };
/// Slots in a batch, at most. Where slots have records, these take the place of some.
pub(crate) const BATCH: usize = match (cfg!(loom), cfg!(feature = "track")) {
    (true, _) => 2,
    (false, true) => 10,
    (false, false) => 16,
};
/// Hatches in the first row of a tree's.
pub(crate) const FIRST_HATCHES: usize = if cfg!(loom) { 2 } else { 16 };
/// Waiters that are served in one turn of their lines' lock, at most.
pub(crate) const WOKEN: usize = if cfg!(loom) { 1 } else { 4 };
/// Slots in the first segment of a slot table.
pub(crate) const FIRST_SEGMENT: u32 = if cfg!(loom) { 4 } else { 8 };

/// A place in a magazine. Owner and robber never use one at the same time, but a relaxed atomic costs nothing and
/// spares the argument for every stale glance; under loom it is a plain cell, so that models report any use that the
/// protocol does not order.
#[cfg(not(loom))]
#[derive(Debug)]
pub(crate) struct Place<T>(AtomicPtr<T>);

#[cfg(not(loom))]
impl<T> Place<T> {
    pub(crate) const fn empty() -> Self {
        Place(AtomicPtr::new(std::ptr::null_mut()))
    }

    #[inline(always)]
    pub(crate) fn get(&self) -> *mut T {
        self.0.load(Ordering::Relaxed)
    }

    #[inline(always)]
    pub(crate) fn set(&self, value: *mut T) {
        self.0.store(value, Ordering::Relaxed);
    }
}

#[cfg(loom)]
#[derive(Debug)]
pub(crate) struct Place<T>(loom::cell::Cell<*mut T>);

#[cfg(loom)]
impl<T> Place<T> {
    pub(crate) fn empty() -> Self {
        Place(loom::cell::Cell::new(std::ptr::null_mut()))
    }

    pub(crate) fn get(&self) -> *mut T {
        self.0.get()
    }

    pub(crate) fn set(&self, value: *mut T) {
        self.0.set(value);
    }
}
