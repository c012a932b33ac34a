//! Requests above the largest class get memory of their own, in whole OS pages, that is not kept.

#[path = "support/identities.rs"]
mod identities;
#[path = "support/zero.rs"]
mod zero;

use identities::assert_identities;
use millpond::{BufferPool, Capacity, Memory, Recycled};
use zero::is_zero;

const LARGEST: usize = 1000;

fn pools() -> impl Iterator<Item = BufferPool> {
    let memories =
        if cfg!(miri) { vec![Memory::heap()] } else { vec![Memory::heap(), Memory::mapped(), Memory::default()] };
    memories.into_iter().map(|memory| BufferPool::builder().size_classes([LARGEST]).memory(memory).build().unwrap())
}

#[test]
fn the_capacity_is_the_request_in_whole_pages() {
    for pool in pools() {
        let page = pool.get(Capacity(LARGEST + 1)).capacity();
        assert!(page.is_power_of_two() && page >= 4096, "an OS page of {page} bytes");
        for (size, pages) in [(page, 1), (page + 1, 2), (5 * page, 5), (64 * page - 1, 64)] {
            let buf = pool.get(size);
            assert_eq!((buf.capacity(), buf.len()), (pages * page, size));
            assert!(is_zero(&buf));
        }
    }
}

#[test]
fn it_is_counted_and_not_kept() {
    for pool in pools() {
        let held = [pool.get(Capacity(5000)), pool.get(100_000), pool.get(Recycled(LARGEST + 1))];
        let bytes: usize = held.iter().map(|buf| buf.capacity()).sum();
        let stats = pool.stats();
        assert_identities(&stats);
        assert_eq!((stats.oversize, stats.outstanding, stats.footprint), (3, bytes as u64, bytes as u64));
        drop(held);
        let stats = pool.stats();
        assert_identities(&stats);
        assert_eq!((stats.oversize, stats.footprint), (3, 0));
    }
}

#[test]
fn it_grows_freezes_and_thaws_as_any_other() {
    for pool in pools() {
        let mut buf = pool.get(Capacity(5000));
        buf.extend_from_slice(&[3; 5000]);
        buf.resize(50_000, 4);
        let frozen = buf.freeze();
        let tail = frozen.slice(4999..5001);
        drop(frozen);
        let buf = tail.try_into_mut().unwrap();
        assert_eq!(buf[..], [3, 4]);
        let small = buf.freeze().compact();
        assert_eq!((&small[..], pool.stats().outstanding), (&[3, 4][..], 1024));
        drop(small);
        assert_identities(&pool.stats());
    }
}

#[test]
fn a_batch_may_mix_both() {
    for pool in pools() {
        let batch = pool.get_many([10, 5000, 10, 70_000]);
        assert_eq!(batch.iter().map(|buf| buf.len()).collect::<Vec<_>>(), [10, 5000, 10, 70_000]);
        assert!(batch.iter().all(|buf| is_zero(buf)));
        drop(batch);
        let stats = pool.stats();
        assert_eq!((stats.outstanding, stats.oversize, stats.footprint), (0, 2, 2 * 1024));
    }
}
