//! How many buffers a pool has ready.

/// How many buffers of each class a pool has ready, and where.
///
/// ```
/// use millpond_compat::santh::PoolConfig;
///
/// let config = PoolConfig { four_kib_count: 4, sixty_four_kib_count: 2, ..PoolConfig::default() };
/// assert_eq!(config.one_mib_count, 0);
/// ```
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct PoolConfig {
    /// Buffers of 4 KiB.
    pub four_kib_count: usize,
    /// Buffers of 64 KiB.
    pub sixty_four_kib_count: usize,
    /// Buffers of 256 KiB.
    pub two_fifty_six_kib_count: usize,
    /// Buffers of 1 MiB.
    pub one_mib_count: usize,
    /// The node of the machine to take memory from, as long as it has some; else from any.
    pub numa_node: Option<u32>,
}
