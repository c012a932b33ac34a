//! Who may give memory of regions back, and when nobody may.
//!
//! Whoever gives memory back has a *pass* meanwhile, which is refused while a pin lives: count yourself in, then look
//! for pins. Whoever makes a pin raises their number, then waits until nobody is counted in. (Dekker's handshake: of
//! the two, one sees the other.) So when a pin is made, all that gives memory back has either been done or will not be.
//!
//! Nothing here is a lock that user code could run under: a pin waits for those who have a pass, and they for nobody.
//! What runs under a pass is a few of our own steps and system calls, or a source's method, from within which a pin
//! waits for nothing.

use super::user_code;
use crate::memory::fork;
use crate::sync::{AtomicUsize, Ordering::*, seqcst_for_loom};

/// What keeps memory where it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Hold {
    /// Nothing goes back.
    Pin,
    /// Whole regions may go, and no part of one.
    Watch,
}

/// The holds of a pool, and how many threads are about to give memory back.
#[derive(Debug)]
pub(crate) struct Passes {
    pins: AtomicUsize,
    watches: AtomicUsize,
    under_way: AtomicUsize,
}

/// Leave to give memory back, for as long as this lives.
#[derive(Debug)]
pub(crate) struct Pass<'a>(&'a Passes);

impl Passes {
    pub(crate) fn new() -> Self {
        Passes { pins: AtomicUsize::new(0), watches: AtomicUsize::new(0), under_way: AtomicUsize::new(0) }
    }

    /// To give a part of a region back.
    pub(crate) fn to_discard(&self) -> Option<Pass<'_>> {
        self.pass(|| self.count(Hold::Pin) == 0 && self.count(Hold::Watch) == 0)
    }

    /// To take a whole region off the list, after which it is nobody's.
    pub(crate) fn to_remove(&self) -> Option<Pass<'_>> {
        self.pass(|| self.count(Hold::Pin) == 0)
    }

    fn pass(&self, is_free: impl Fn() -> bool) -> Option<Pass<'_>> {
        // SeqCst, as the raising and the looks below: of us and who makes a hold, one sees the other.
        self.under_way.fetch_add(1, SeqCst);
        seqcst_for_loom();
        let pass = Pass(self);
        is_free().then_some(pass)
    }

    /// From now on, until it is [lowered](Self::lower), there are no passes that this hold forbids, and those that
    /// there were have been given up.
    pub(crate) fn raise(&self, hold: Hold) {
        // SeqCst: see `pass`.
        self.counter(hold).fetch_add(1, SeqCst);
        seqcst_for_loom();
        if user_code::is_source() {
            // The pass may be this thread's own.
            return;
        }
        // Where the child of a fork looks in vain, they are of threads that are not in the child.
        // Acquire in it pairs with the Release of `Pass::drop`: what was done under a pass has happened.
        fork::look(|| (self.under_way.load(SeqCst) == 0).then_some(()));
    }

    /// One hold fewer. True: it was the last of its kind, and who kept something because of it looks again.
    pub(crate) fn lower(&self, hold: Hold) -> bool {
        // SeqCst: who keeps something notes it, and then looks whether there is a hold; we end the hold, and then look
        // for notes.
        self.counter(hold).fetch_sub(1, SeqCst) == 1
    }

    fn count(&self, hold: Hold) -> usize {
        // SeqCst: see `pass` and `lower`.
        self.counter(hold).load(SeqCst)
    }

    fn counter(&self, hold: Hold) -> &AtomicUsize {
        match hold {
            Hold::Pin => &self.pins,
            Hold::Watch => &self.watches,
        }
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        // Release pairs with the Acquire of the look in `raise`.
        self.0.under_way.fetch_sub(1, Release);
    }
}

#[cfg(all(test, loom))]
mod models {
    use std::sync::Arc;

    use loom::cell::Cell;
    use loom::thread;

    use super::*;
    use crate::engine::models::explore;

    /// Memory with one thing that was kept for a hold, and whether anybody has noted it.
    struct Memory {
        passes: Passes,
        bytes: Cell<u32>,
        kept: AtomicUsize,
    }

    // SAFETY: loom reports accesses to the cell that nothing orders.
    unsafe impl Sync for Memory {}

    impl Memory {
        fn new() -> Arc<Self> {
            Arc::new(Memory { passes: Passes::new(), bytes: Cell::new(7), kept: AtomicUsize::new(0) })
        }

        /// What who has something to give back does.
        fn give_back(&self) {
            match self.passes.to_discard() {
                Some(_pass) => self.bytes.set(0),
                None => {
                    self.kept.fetch_add(1, SeqCst);
                    seqcst_for_loom();
                    self.sweep();
                }
            }
        }

        fn sweep(&self) {
            if let Some(_pass) = self.passes.to_discard() {
                self.kept.swap(0, SeqCst);
            }
        }
    }

    fn hold_while_another_gives_back(hold: Hold) {
        explore(None, move || {
            let memory = Memory::new();
            let other = {
                let memory = memory.clone();
                thread::spawn(move || memory.give_back())
            };
            memory.passes.raise(hold);
            let before = memory.bytes.get();
            thread::yield_now();
            assert_eq!(memory.bytes.get(), before, "given back under a hold");
            memory.passes.lower(hold);
            seqcst_for_loom();
            memory.sweep();
            other.join().unwrap();
            assert_eq!(memory.kept.load(Relaxed), 0, "kept, and nobody looks again");
        });
    }

    #[test]
    fn a_pin_excludes_what_is_under_way() {
        hold_while_another_gives_back(Hold::Pin);
    }

    #[test]
    fn a_watch_excludes_what_is_under_way() {
        hold_while_another_gives_back(Hold::Watch);
    }
}
