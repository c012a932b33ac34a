//! Memory pressure: how urgently memory is wanted elsewhere, and what a pool then gives back before its time.

// Only Linux tells, and Miri has nothing of it.
#[cfg_attr(all(feature = "pressure", target_os = "linux", not(miri)), path = "pressure/gauge.rs")]
#[cfg_attr(not(all(feature = "pressure", target_os = "linux", not(miri))), path = "pressure/silence.rs")]
mod gauge;

use crate::engine::core::Core;

pub(crate) use gauge::Gauge;

/// How urgently memory is wanted elsewhere, on the machine or in the process' control group. What a pool does about it, see
/// [`BufferPool::pressure`](crate::BufferPool::pressure).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[non_exhaustive]
pub enum Pressure {
    /// Others begin to wait for memory: what nobody has needed lately had better go.
    Moderate,
    /// Little else gets done: all that lies idle had better go, although it will be needed again.
    Critical,
}

impl Pressure {
    /// Has a pool give back what this calls for; how many bytes.
    pub(crate) fn relieve(self, core: &Core) -> usize {
        match self {
            Pressure::Moderate => core.give_back_unneeded(),
            Pressure::Critical => core.give_back_all(),
        }
    }
}
