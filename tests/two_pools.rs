//! Two pools used in turn on one thread share nothing and both hit.

use millpond::{BufferPool, Capacity};

#[test]
fn each_pool_hits_its_own_cache() {
    let (small, large) = (BufferPool::new(), BufferPool::new());
    for _ in 0..100 {
        assert_eq!(small.get(Capacity(16)).capacity(), 256);
        assert_eq!(large.get(Capacity(1 << 20)).capacity(), 1 << 20);
    }
    for (pool, size) in [(&small, 256), (&large, 1 << 20)] {
        let stats = pool.stats();
        assert_eq!((stats.gets, stats.fresh, stats.cache_hits), (100, 1, 99));
        assert_eq!(stats.footprint, size);
    }
}
