//! Panics of what slots hold.
//!
//! A destructor that panics must not unwind through the engine, which has other slots in hand. So what runs user code is
//! contained, and the first panic goes on when the engine is done and every slot has its place.

use std::any::Any;
use std::cell::Cell;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::thread;

thread_local! {
    static PENDING: Cell<Option<Box<dyn Any + Send>>> = const { Cell::new(None) };
    /// Whether something may be in the other. Looked at more cheaply, as it needs no destructor.
    static IS_PENDING: Cell<bool> = const { Cell::new(false) };
}

/// Runs user code, and keeps its panic for [`resume`]. As the thread ends, or panics already, or another panic is kept,
/// all that is left of a panic is what the hook printed.
pub(crate) fn contain<R>(work: impl FnOnce() -> R) -> Option<R> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(result) => Some(result),
        Err(panic) => {
            keep(panic);
            None
        }
    }
}

/// Runs user code of somebody else. All that is left of a panic is what the hook printed.
pub(crate) fn isolate(work: impl FnOnce()) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(work)) {
        dispose(panic);
    }
}

#[cold]
fn keep(panic: Box<dyn Any + Send>) {
    let mut panic = Some(panic);
    let mut keep_first = |pending: &Cell<Option<_>>| pending.set(pending.take().or_else(|| panic.take()));
    if !thread::panicking() {
        IS_PENDING.set(true);
        let _ = PENDING.try_with(&mut keep_first); // An error as the thread ends: nobody can be told then.
    }
    if let Some(panic) = panic {
        dispose(panic);
    }
}

/// Ends a panic that nobody can be told of.
fn dispose(panic: Box<dyn Any + Send>) {
    if let Err(of_its_destructor) = catch_unwind(AssertUnwindSafe(|| drop(panic))) {
        // There is no end to destructors that panic.
        mem::forget(of_its_destructor);
    }
}

/// Goes on with a panic that was contained. For faces, at the end of what may run user code, when nothing is in hand but
/// what may be dropped.
#[inline]
pub(crate) fn resume() {
    if IS_PENDING.get() {
        resume_pending();
    }
}

#[cold]
fn resume_pending() {
    IS_PENDING.set(false);
    if let Ok(Some(panic)) = PENDING.try_with(Cell::take) {
        if thread::panicking() {
            dispose(panic);
        } else {
            resume_unwind(panic)
        }
    }
}
