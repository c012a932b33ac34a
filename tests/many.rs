//! Batches: all buffers or none, in the order of the requests, returned together, whosever they are.

#[path = "support/identities.rs"]
mod identities;
#[path = "support/zero.rs"]
mod zero;

use std::mem::swap;
use std::thread;

use identities::assert_identities;
use millpond::{BufferPool, Capacity, Error, PooledBatch, PooledBuf, Recycled};
use zero::is_zero;

const COUNT: usize = if cfg!(miri) { 70 } else { 500 };

#[test]
fn the_order_is_that_of_the_requests() {
    let pool = BufferPool::new();
    let sizes: Vec<usize> = (0..COUNT).map(|n| n * 37 % 5000).collect();
    for _ in 0..3 {
        let mut batch = pool.get_many(sizes.iter().copied());
        assert_eq!(batch.iter().map(|buf| buf.len()).collect::<Vec<_>>(), sizes);
        assert!(batch.iter().all(|buf| is_zero(buf)));
        batch.iter_mut().for_each(|buf| buf.fill(1));
    }
    let stats = pool.stats();
    assert_identities(&stats);
    assert_eq!((stats.gets, stats.outstanding), (3 * COUNT as u64, 0));
    assert_eq!(stats.fresh, COUNT as u64, "the second and third batch found what the first had left");
}

#[test]
fn every_kind_of_request_comes_in_batches() {
    let pool = BufferPool::new();
    assert!(pool.get_many([Capacity(100); 70]).iter().all(|buf| buf.is_empty() && buf.capacity() == 256));
    assert!(pool.get_many([Recycled(100); 70]).iter().all(|buf| buf.len() == 100));
    assert!(pool.get_many::<usize>([]).is_empty());
    assert_eq!(pool.get_many(std::iter::repeat_n(1, 2 * COUNT)).len(), 2 * COUNT);
}

#[test]
fn one_refusal_refuses_all_and_loses_none() {
    let pool = BufferPool::builder().max_request(10_000).build().unwrap();
    drop(pool.get_many([5000; 10]));
    for bad_at in if cfg!(miri) { vec![50] } else { vec![0, 1, 50, 99] } {
        let mut sizes = [5000; 100];
        sizes[bad_at] = 10_001;
        let refused = Error::TooLarge { requested: 10_001, limit: 10_000 };
        assert_eq!(pool.try_get_many(sizes).unwrap_err(), refused);
        let stats = pool.stats();
        assert_identities(&stats);
        assert_eq!(stats.outstanding, 0);
    }
}

#[test]
fn an_iterator_that_uses_the_pool_or_panics_does_no_harm() {
    let pool = BufferPool::new();
    let batch = pool.get_many((0..50).inspect(|&n| drop(pool.get(n))));
    assert_eq!(batch.len(), 50);
    drop(batch);
    let panicked = std::panic::catch_unwind(|| {
        drop(pool.get_many((0..50).map(|n| if n == 40 { panic!("in the middle") } else { n })));
    });
    assert!(panicked.is_err());
    assert_identities(&pool.stats());
    assert_eq!(pool.stats().outstanding, 0);
}

#[test]
fn batches_alone_come_to_be_served_by_the_cache() {
    let pool = BufferPool::new();
    for _ in 0..3 {
        drop(pool.get_many([Capacity(1000); 20]));
    }
    let before = pool.stats();
    drop(pool.get_many([Capacity(1000); 20]));
    let stats = pool.stats();
    assert_eq!((stats.cache_hits - before.cache_hits, stats.depot_hits - before.depot_hits), (20, 0), "{stats}");
}

#[test]
fn the_handles_may_leave_one_by_one() {
    let pool = BufferPool::new();
    let mut handles = pool.get_many([100; 10]).into_iter();
    let first = handles.next().unwrap();
    let last = handles.next_back().unwrap();
    assert_eq!(pool.stats().outstanding, 10 * 256);
    drop(handles);
    assert_eq!(pool.stats().outstanding, 2 * 256);
    drop((first, last));
    assert_eq!(pool.stats().outstanding, 0);
}

fn fill(batch: &mut PooledBatch<PooledBuf>, byte: u8) {
    batch.iter_mut().for_each(|buf| buf.fill(byte));
}

#[test]
fn handles_swapped_between_two_pools_batches_go_home() {
    let pools = [BufferPool::new(), BufferPool::builder().size_classes([128, 9000]).build().unwrap()];
    let mut batches = [pools[0].get_many([100, 5000, 100, 5000, 100]), pools[1].get_many([100, 5000, 100, 9001, 100])];
    let [first, second] = &mut batches;
    fill(first, 1);
    fill(second, 2);
    for (one, other) in first.iter_mut().zip(second.iter_mut()).step_by(2) {
        swap(one, other);
    }
    first.sort_by_key(|buf| buf.len());
    drop(batches);
    for pool in &pools {
        let stats = pool.stats();
        assert_identities(&stats);
        assert_eq!((stats.outstanding, stats.gets), (0, 5));
        assert!(pool.get_many([100; 5]).iter().all(|buf| is_zero(buf)));
    }
}

#[test]
fn a_large_batch_goes_home_on_a_strange_thread() {
    let count = if cfg!(miri) { 150 } else { 5000 };
    let pool = BufferPool::new();
    let batch = pool.get_many(vec![300; count]);
    thread::spawn(move || drop(batch)).join().unwrap();
    let stats = pool.stats();
    assert_identities(&stats);
    assert_eq!((stats.outstanding, stats.idle_in_depot), (0, count as u64 * 384));
    let again = pool.get_many(vec![300; count]);
    assert_eq!(pool.stats().fresh, count as u64);
    drop(again);
}
