//! Locks that the child of a fork may find taken by a thread that is not in the child and never gives them back.
#![allow(unsafe_code)] // Leaves what a fork has caught undropped.

use std::mem::ManuallyDrop;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError, TryLockError};

use crate::memory::os;
use crate::sync::yield_now;

/// How often the child of a fork looks at what may have no owner any more.
const LOOKS: usize = 1000;

/// The process that made the first source, to know the child of a fork by.
fn first_process() -> u32 {
    static FIRST: OnceLock<u32> = OnceLock::new();
    *FIRST.get_or_init(os::process_id)
}

/// Looks until this is there; for ever, or in the child of a fork for a while. The child may have threads of its own,
/// which hold things for moments only.
pub(super) fn look<T>(mut found: impl FnMut() -> Option<T>) -> Option<T> {
    let is_child = os::process_id() != first_process();
    let mut looks = 0;
    while !is_child || looks < LOOKS {
        if let Some(found) = found() {
            return Some(found);
        }
        yield_now();
        looks += 1;
    }
    None
}

/// A lock under which nothing waits and no user code runs.
#[derive(Debug)]
pub(super) struct ForkMutex<T>(ManuallyDrop<Mutex<T>>);

impl<T> ForkMutex<T> {
    pub(super) fn new(value: T) -> Self {
        first_process();
        ForkMutex(ManuallyDrop::new(Mutex::new(value)))
    }

    /// None in the child of a fork that caught another thread with the lock in its hand.
    pub(super) fn lock(&self) -> Option<MutexGuard<'_, T>> {
        // Nothing panics under the lock, short of a broken invariant that a debug build has reported already.
        match self.0.try_lock() {
            Ok(guard) => Some(guard),
            Err(TryLockError::Poisoned(guard)) => Some(guard.into_inner()),
            Err(TryLockError::WouldBlock) if os::process_id() == first_process() => {
                Some(self.0.lock().unwrap_or_else(PoisonError::into_inner))
            }
            Err(TryLockError::WouldBlock) => look(|| self.0.try_lock().ok()),
        }
    }
}

impl<T> Drop for ForkMutex<T> {
    fn drop(&mut self) {
        // Caught by a fork in the middle of a change, it could do anything if it were freed.
        if self.lock().is_some() {
            // SAFETY: not used again.
            unsafe { ManuallyDrop::drop(&mut self.0) };
        }
    }
}
