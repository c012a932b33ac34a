//! A process with a thousand pools, used in turn on one thread, still hits, allocates nothing more, and pays a bounded
//! price for each.
#![allow(unsafe_code)] // A global allocator.

#[path = "support/counting.rs"]
mod counting;

use millpond::{Budget, BufferPool, Capacity, Memory};

const POOLS: usize = if cfg!(miri) { 30 } else { 1000 };
const ROUNDS: u64 = if cfg!(miri) { 3 } else { 50 };
const SIZES: [usize; 2] = [4096, 600];

fn touch_all(pools: &[BufferPool]) {
    for pool in pools {
        for size in SIZES {
            let mut buf = pool.get(Capacity(size));
            buf.extend_from_slice(b"touched");
        }
    }
}

#[test]
fn a_thousand_pools_in_turn_all_hit() {
    // That of the process, which stays.
    let _ = Budget::process();
    let engine_before = counting::live_engine();
    let builder = || BufferPool::builder().alignment(counting::BLOCK_ALIGN).memory(Memory::heap());
    let pools: Vec<_> = (0..POOLS).map(|_| builder().build().unwrap()).collect();
    touch_all(&pools);
    let calls = counting::calls();
    for _ in 1..ROUNDS {
        touch_all(&pools);
    }
    assert_eq!(counting::calls(), calls, "calls of the allocator after the first round");
    for pool in &pools {
        let stats = pool.stats();
        assert_eq!((stats.gets, stats.fresh, stats.cache_hits), (2 * ROUNDS, 2, 2 * (ROUNDS - 1)));
        assert_eq!((stats.footprint, stats.outstanding), (4096 + 1024, 0));
        assert!(stats.overhead < 64 << 10, "overhead of {} bytes", stats.overhead);
    }
    assert_eq!(counting::live_blocks(), 2 * POOLS as isize);
    drop(pools);
    assert_eq!(counting::live_blocks(), 0);
    // The thread keeps its closed magazines, two a pool, for the next pools in their lanes.
    assert!(counting::live_engine() - engine_before <= 2 * POOLS as isize);
}
