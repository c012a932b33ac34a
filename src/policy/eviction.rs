//! Which idle memory leaves when there is too much of it.

/// Which idle buffers give way when the size classes of a pool compete for [`max_idle`](crate::BufferPoolBuilder::max_idle)
/// or for a [`Budget`](crate::Budget).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[non_exhaustive]
pub enum Eviction {
    /// What comes last goes first: a buffer that comes back to a full pool is freed. When a budget is short, the largest
    /// classes give way.
    Lifo,
    /// What nobody is likely to need again goes first, after S. Jiang, F. Chen and X. Zhang ("CLOCK-Pro: An Effective
    /// Improvement of the CLOCK Replacement", USENIX ATC 2005): memory that was needed twice within a while outlives
    /// what was needed once.
    #[default]
    ClockPro,
}
