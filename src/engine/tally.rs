//! What tests count on their own thread.

use std::cell::Cell;

thread_local! {
    static EXCHANGES: Cell<usize> = const { Cell::new(0) };
    static CHARGES: Cell<usize> = const { Cell::new(0) };
    static BARRIERS: Cell<usize> = const { Cell::new(0) };
}

/// A batch, or several, went into a depot or came out of it.
pub(super) fn exchange() {
    EXCHANGES.set(EXCHANGES.get() + 1);
}

/// A budget was charged, at however many nodes.
pub(crate) fn charge() {
    CHARGES.set(CHARGES.get() + 1);
}

/// All threads of the process passed a barrier.
pub(super) fn barrier() {
    BARRIERS.set(BARRIERS.get() + 1);
}

/// How many barriers `work` makes.
pub(crate) fn barriers(work: impl FnOnce()) -> usize {
    let before = BARRIERS.get();
    work();
    BARRIERS.get() - before
}

/// How many exchanges with depots, and how many charges, `work` makes.
pub(crate) fn of<R>(work: impl FnOnce() -> R) -> (usize, usize, R) {
    let before = (EXCHANGES.get(), CHARGES.get());
    let result = work();
    (EXCHANGES.get() - before.0, CHARGES.get() - before.1, result)
}
