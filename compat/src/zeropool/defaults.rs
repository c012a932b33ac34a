//! What a pool is like unless it is told, by the number of processors.

/// Buffers smaller than this are not kept, in bytes.
pub(super) const MIN_BUFFER_SIZE: usize = 1 << 20;

const FEWEST_SHARDS: usize = 4;
const MOST_SHARDS: usize = 128;

/// Buffers in the cache of each thread.
pub(super) fn tls_cache_size(processors: usize) -> usize {
    match processors {
        ..=2 => 2,
        3..=4 => 4,
        5..=8 => 6,
        _ => 8,
    }
}

/// About one shard for two processors.
pub(super) fn num_shards(processors: usize) -> usize {
    shards(processors / 2)
}

/// A number of shards as it is used: a power of two, from 4 to 128.
pub(super) fn shards(asked: usize) -> usize {
    asked.clamp(FEWEST_SHARDS, MOST_SHARDS).next_power_of_two()
}

/// Buffers that a shard keeps: 16 for each 8 processors, up to 64.
pub(super) fn max_buffers_per_shard(processors: usize) -> usize {
    16 * (processors / 8).clamp(1, 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As zeropool documents them; where its table and its rules differ (the thread cache for 16 processors, the shards for
    /// 8), the rules.
    #[test]
    fn defaults_by_cpu_count() {
        let of = |processors| (tls_cache_size(processors), num_shards(processors), max_buffers_per_shard(processors));
        assert_eq!([1, 2, 3, 4].map(of), [(2, 4, 16), (2, 4, 16), (4, 4, 16), (4, 4, 16)]);
        assert_eq!([5, 8, 9, 16].map(of), [(6, 4, 16), (6, 4, 16), (8, 4, 16), (8, 8, 32)]);
        assert_eq!([24, 32, 64, 128].map(of), [(8, 16, 48), (8, 16, 64), (8, 32, 64), (8, 64, 64)]);
        assert_eq!(of(1000), (8, 128, 64));
    }

    #[test]
    fn num_shards_is_a_power_of_two_from_4_to_128() {
        assert_eq!([0, 1, 4, 5, 16, 100, 128, 5000].map(shards), [4, 4, 4, 8, 16, 128, 128, 128]);
    }
}
