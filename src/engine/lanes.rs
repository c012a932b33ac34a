//! Lanes: the process-wide numbers under which threads find their magazines.
//!
//! A store gets a lane when it is first used by a thread with a cache, and its core gives it back at the very end. The
//! lowest free lane is given out first, so that the threads' tables stay as short as the number of stores in use.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::*};

/// Lanes at most; a store that gets none works without thread caches.
const LANES: usize = 1 << 20;
/// One bit a lane, set while it is in use. Zero at the start, so its OS pages cost nothing until lanes are used.
static USED: [AtomicU64; LANES / 64] = [const { AtomicU64::new(0) }; LANES / 64];
/// No word below this one has had a free lane lately.
static HINT: AtomicUsize = AtomicUsize::new(0);

/// A lane's number, or none.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(transparent)]
pub struct Lane(pub(super) u32);

impl Lane {
    /// Above every table's length, so that looking it up finds no magazine.
    pub(crate) const NONE: Lane = Lane(u32::MAX);

    #[inline(always)]
    pub(super) fn index(self) -> usize {
        self.0 as usize
    }
}

/// The lowest free lane, or [`Lane::NONE`]. Takes no lock and allocates nothing.
pub(super) fn take() -> Lane {
    // Relaxed throughout: a lane is a number. What is found under it is checked by the core's id.
    for (word, used) in USED.iter().enumerate().skip(HINT.load(Relaxed)) {
        let mut bits = used.load(Relaxed);
        while bits != u64::MAX {
            let bit = (!bits).trailing_zeros();
            bits = used.fetch_or(1 << bit, Relaxed);
            if bits & 1 << bit == 0 {
                return Lane((word * 64) as u32 + bit);
            }
        }
        // A lane given back meanwhile is found again once another at or below its word is given back.
        HINT.fetch_max(word + 1, Relaxed);
    }
    Lane::NONE
}

/// Gives a lane back.
pub(super) fn give_back(lane: Lane) {
    if lane == Lane::NONE {
        return;
    }
    let (word, bit) = (lane.index() / 64, lane.index() % 64);
    let before = USED[word].fetch_and(!(1 << bit), Relaxed);
    debug_assert_ne!(before & 1 << bit, 0, "lane {} given back twice", lane.0);
    HINT.fetch_min(word, Relaxed);
}
