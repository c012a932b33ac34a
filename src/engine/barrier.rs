//! The asymmetric fence: free for the thread that owns a magazine, a system call for whoever robs it.
//!
//! `light` keeps the compiler from moving the owner's look at `att` before its commit; `heavy` makes every running
//! thread of the process execute a full fence somewhere between two of its instructions (`membarrier` private expedited
//! on Linux, `FlushProcessWriteBuffers` on Windows). Together they order as two full fences would: after `heavy` the
//! robber sees the owner's commit, or the owner's look sees what the robber wrote before. Where the system has no such
//! call, magazines are born with a permanent request bit that sends each operation through the slow check, with real
//! fences on both sides.

#[cfg(not(loom))]
use std::sync::atomic::{AtomicU8, compiler_fence};

#[cfg(not(loom))]
use crate::memory::os;
use crate::sync::{Ordering::*, fence};

/// How the two sides meet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Barrier {
    /// The owner pays a compiler fence, the robber a system call.
    Asymmetric,
    /// Both pay a fence.
    Symmetric,
}

#[cfg(not(loom))]
pub(crate) use system::kind;
#[cfg(not(loom))]
pub(super) use system::{heavy, light};

#[cfg(not(loom))]
mod system {
    use super::*;

    const UNKNOWN: u8 = 0;
    const ASYMMETRIC: u8 = 1;
    const SYMMETRIC: u8 = 2;
    static KIND: AtomicU8 = AtomicU8::new(UNKNOWN);

    /// Which barrier this process uses. The first call asks the system (17 us in a process with one thread, 28 ms
    /// measured in one with many), so it belongs into the building of a pool.
    pub(crate) fn kind() -> Barrier {
        match KIND.load(Relaxed) {
            ASYMMETRIC => Barrier::Asymmetric,
            SYMMETRIC => Barrier::Symmetric,
            _ => decide(),
        }
    }

    #[cold]
    fn decide() -> Barrier {
        // Miri and ThreadSanitizer know nothing of the system call.
        let emulated = cfg!(any(miri, millpond_tsan));
        let found = if !emulated && os::register_barrier() { ASYMMETRIC } else { SYMMETRIC };
        // All threads must agree for good, whatever a second question to the system would bring.
        let agreed = KIND.compare_exchange(UNKNOWN, found, Relaxed, Relaxed).err().unwrap_or(found);
        if agreed == ASYMMETRIC { Barrier::Asymmetric } else { Barrier::Symmetric }
    }

    /// The owner's side, between its commit and its look at `att`.
    #[inline(always)]
    pub(in crate::engine) fn light() {
        compiler_fence(SeqCst);
    }

    /// The robber's side, between its request and its look at the magazines. False when the system refuses, as it may
    /// when a process forbids itself the call after its first pool was built.
    pub(in crate::engine) fn heavy() -> bool {
        // All there is to it when the barrier is symmetric; otherwise it orders the requests before the call.
        fence(SeqCst);
        #[cfg(test)]
        crate::engine::tally::barrier();
        kind() == Barrier::Symmetric || os::barrier()
    }
}

#[cfg(loom)]
pub(crate) use model::kind;
#[cfg(loom)]
pub(super) use model::{heavy, light};

/// Loom knows neither compiler fence nor system call: fences stand in.
#[cfg(loom)]
pub(super) mod model {
    use std::cell::Cell;

    use super::*;

    thread_local! {
        /// The kind of the magazines that are made from now on. (All threads of a model run on one thread of the system.)
        pub(in crate::engine) static KIND: Cell<Barrier> = const { Cell::new(Barrier::Asymmetric) };
        /// Set by models in which request and barrier lie before the owner's first operation. A fence in the owner would hide
        /// what the orderings written in the code must do by themselves.
        pub(in crate::engine) static ALREADY_ASKED: Cell<bool> = const { Cell::new(false) };
        /// The system refuses the barrier.
        pub(in crate::engine) static REFUSED: Cell<bool> = const { Cell::new(false) };
    }

    pub(crate) fn kind() -> Barrier {
        KIND.get()
    }

    pub(in crate::engine) fn light() {
        if !ALREADY_ASKED.get() && kind() == Barrier::Asymmetric {
            fence(SeqCst);
        }
    }

    pub(in crate::engine) fn heavy() -> bool {
        fence(SeqCst);
        !REFUSED.get()
    }
}
