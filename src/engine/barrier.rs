//! The asymmetric fence: free for the thread that owns a magazine, a system call for whoever robs it.
//!
//! `light` keeps the compiler from moving the owner's look at `att` before its commit; `heavy` makes every running thread of the
//! process execute a full fence somewhere between two of its instructions (`membarrier` private expedited on Linux,
//! `FlushProcessWriteBuffers` on Windows). Together they order as two full fences would: after `heavy` the robber sees the
//! owner's commit, or the owner's look sees what the robber wrote before. Where the system has no such call, magazines are born
//! with a permanent request bit that sends each operation through the slow check, with real fences on both sides.

use std::sync::atomic::{AtomicU8, Ordering::*};

use crate::memory::os;
use crate::sync::fence;

/// How the two sides meet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Barrier {
    /// The owner pays a compiler fence, the robber a system call.
    Asymmetric,
    /// Both pay a fence.
    Symmetric,
}

const UNKNOWN: u8 = 0;
const ASYMMETRIC: u8 = 1;
const SYMMETRIC: u8 = 2;
static KIND: AtomicU8 = AtomicU8::new(UNKNOWN);

/// Which barrier this process uses. The first call asks the system (17 us in a process with one thread, 28 ms measured in one
/// with many), so it belongs into the building of a pool.
pub(crate) fn kind() -> Barrier {
    match KIND.load(Relaxed) {
        ASYMMETRIC => Barrier::Asymmetric,
        SYMMETRIC => Barrier::Symmetric,
        _ => decide(),
    }
}

#[cold]
fn decide() -> Barrier {
    // Loom, Miri and ThreadSanitizer know nothing of the system call.
    let emulated = cfg!(any(loom, miri, millpond_tsan));
    let found = if !emulated && os::register_barrier() { ASYMMETRIC } else { SYMMETRIC };
    // All threads must agree for good, whatever a second question to the system would bring.
    let agreed = KIND.compare_exchange(UNKNOWN, found, Relaxed, Relaxed).err().unwrap_or(found);
    if agreed == ASYMMETRIC { Barrier::Asymmetric } else { Barrier::Symmetric }
}

/// The owner's side, between its commit and its look at `att`.
#[cfg(not(loom))]
#[inline(always)]
pub(super) fn light() {
    std::sync::atomic::compiler_fence(SeqCst);
}

/// Loom knows no compiler fence: a real one stands in, or none at all where the model says that the barrier has long happened.
#[cfg(loom)]
pub(super) fn light() {
    if !model::ALREADY_ASKED.load(Relaxed) {
        fence(SeqCst);
    }
}

#[cfg(loom)]
pub(super) mod model {
    /// Set by models in which request and barrier lie before the owner's first operation. A fence in the owner would hide what
    /// the orderings written in the code must do by themselves.
    pub(in crate::engine) static ALREADY_ASKED: std::sync::atomic::AtomicBool =
        std::sync::atomic::AtomicBool::new(false);
}

/// The robber's side, between its request and its look at the magazines.
pub(super) fn heavy() {
    // Orders the requests, written by read-modify-writes, before the barrier for the symmetric kind, too.
    fence(SeqCst);
    if kind() == Barrier::Asymmetric {
        assert!(os::barrier(), "membarrier failed after it was registered: {}", std::io::Error::last_os_error());
    }
}
