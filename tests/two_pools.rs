//! Two pools used in turn on one thread share nothing and both hit.

#[path = "support/identities.rs"]
mod identities;

use identities::assert_identities;
use millpond::{BufferPool, Capacity, Error, Recycled};

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

#[test]
fn buffers_of_the_same_size_go_home_to_their_own_pool() {
    let pools = [BufferPool::new(), BufferPool::new()];
    for round in 0..50 {
        let [first, second] = [0, 1].map(|of| pools[of].get(Capacity(4096)));
        if round % 2 == 0 {
            drop(first);
            drop(second);
        } else {
            drop(second);
            drop(first);
        }
    }
    for pool in &pools {
        let stats = pool.stats();
        assert_identities(&stats);
        assert_eq!((stats.fresh, stats.footprint, stats.outstanding), (1, 4096, 0));
    }
}

#[test]
fn bytes_of_one_pool_never_show_in_the_other() {
    let (writer, reader) = (BufferPool::new(), BufferPool::new());
    for _ in 0..20 {
        writer.get(1000).fill(b'w');
        let bytes = reader.get(Recycled(1000));
        assert!(!bytes.contains(&b'w'));
        assert_eq!(reader.get(1000)[..], [0; 1000]);
    }
}

#[test]
fn closing_one_leaves_the_other_as_it_was() {
    let (closed, open) = (BufferPool::new(), BufferPool::new());
    let kept = [closed.copy_from(b"closed"), open.copy_from(b"open")];
    drop([closed.get(256), open.get(256)]);
    closed.close();
    assert_eq!(closed.try_get(256).unwrap_err(), Error::Closed);
    let before = open.stats();
    assert_eq!(open.get(256)[..], [0; 256]);
    assert_eq!(open.stats().cache_hits, before.cache_hits + 1);
    assert_eq!((&kept[0][..], &kept[1][..]), (&b"closed"[..], &b"open"[..]));
    drop(kept);
    assert_eq!((closed.stats().footprint, open.stats().footprint), (0, 512));
}
