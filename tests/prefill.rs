//! Prefilled buffers are there when the pool is built, and serve the first requests.

#[path = "support/identities.rs"]
mod identities;
#[path = "support/zero.rs"]
mod zero;

use identities::assert_identities;
use millpond::{BufferPool, Capacity, Memory, Recycled};
use zero::is_zero;

#[test]
fn they_lie_in_the_depot_and_no_get_has_made_them() {
    let builder = BufferPool::builder().prefill(1000, 100).prefill(5000, 3).prefill(1, 0).prefill(1024, 1);
    let stats = builder.build().unwrap().stats();
    assert_identities(&stats);
    assert_eq!((stats.gets, stats.fresh, stats.idle_in_caches), (0, 0, 0));
    assert_eq!(stats.idle_in_depot, 101 * 1024 + 3 * 6144);
}

#[test]
fn the_first_requests_find_them() {
    for memory in if cfg!(miri) { vec![Memory::heap()] } else { vec![Memory::heap(), Memory::mapped()] } {
        let pool = BufferPool::builder().prefill(1000, 90).memory(memory).build().unwrap();
        let zeroes: Vec<_> = (0..30).map(|_| pool.get(1000)).collect();
        let recycled: Vec<_> = (0..30).map(|_| pool.get(Recycled(1000))).collect();
        let batch = pool.get_many([Capacity(1000); 30]);
        assert!(zeroes.iter().chain(&recycled).all(|buf| is_zero(buf)));
        let stats = pool.stats();
        assert_identities(&stats);
        assert_eq!((stats.gets, stats.fresh, stats.footprint), (90, 0, 90 * 1024));
        let one_more = pool.get(1000);
        assert_eq!(pool.stats().fresh, 1);
        drop((zeroes, recycled, batch, one_more));
        assert_eq!(pool.stats().idle_in_caches + pool.stats().idle_in_depot, 91 * 1024);
    }
}

/// Their memory has been touched: the system has given it.
#[cfg(all(target_os = "linux", not(miri)))]
#[test]
fn their_memory_is_resident() {
    const SIZE: usize = 16 << 20;
    let resident = || {
        let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
        statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
    };
    let before = resident();
    let pool = BufferPool::builder().prefill(SIZE, 4).build().unwrap();
    let grown = resident().saturating_sub(before);
    assert!(grown > 3 * SIZE, "{grown} bytes more");
    drop(pool);
    assert!(resident() < before + 2 * SIZE, "given back with the pool");
}
