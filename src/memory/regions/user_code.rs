//! Code of the user's that memory calls: methods of sources, and watchers.
//!
//! It runs with no lock held, and may use pools. A panic of it ends here: all that is left is what the hook printed.

use std::cell::{Cell, RefCell};
use std::collections::{TryReserveError, VecDeque};

use crate::panics;

/// Something that watchers are to be told of.
pub(super) type Task = Box<dyn FnOnce()>;

thread_local! {
    /// How many methods of sources this thread is in.
    static SOURCES: Cell<u32> = const { Cell::new(0) };
    /// Whether this thread is in a watcher.
    static IS_TELLING: Cell<bool> = const { Cell::new(false) };
    /// What watchers are told of when this thread is out of the one it is in.
    static LATER: RefCell<VecDeque<Task>> = const { RefCell::new(VecDeque::new()) };
}

/// Calls a method of a source. None if it panicked.
pub(in crate::memory) fn source<R>(work: impl FnOnce() -> R) -> Option<R> {
    let mut result = None;
    SOURCES.set(SOURCES.get() + 1);
    panics::isolate(|| result = Some(work()));
    SOURCES.set(SOURCES.get() - 1);
    result
}

/// Whether this thread is in a source's method.
pub(super) fn is_source() -> bool {
    SOURCES.get() > 0
}

/// Makes room for a task, if [`tell`] would put it off.
pub(super) fn reserve() -> Result<(), TryReserveError> {
    if !IS_TELLING.get() {
        return Ok(());
    }
    LATER.try_with(|later| later.borrow_mut().try_reserve(1)).unwrap_or(Ok(()))
}

/// Tells watchers, or if this thread is in one of them, when it is out again: otherwise one that takes a buffer
/// whenever it is told of memory would never come to an end.
pub(super) fn tell(task: impl FnOnce() + 'static) {
    if !IS_TELLING.get() {
        return tell_now(task);
    }
    let mut task: Option<Task> = Some(Box::new(task));
    let put_off = LATER.try_with(|later| later.borrow_mut().push_back(task.take().expect("not yet put off")));
    if put_off.is_err() {
        // The thread ends, and its list is gone.
        task.into_iter().for_each(|task| task());
    }
}

/// Tells a watcher of what there is, also if this thread is in another.
pub(super) fn tell_at_once(task: impl FnOnce()) {
    if IS_TELLING.get() { task() } else { tell_now(task) }
}

fn tell_now(task: impl FnOnce()) {
    IS_TELLING.set(true);
    task();
    while let Ok(Some(task)) = LATER.try_with(|later| later.borrow_mut().pop_front()) {
        task();
    }
    IS_TELLING.set(false);
}
