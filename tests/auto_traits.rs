//! What pools and handles may be used for: sent, shared, unpinned, caught after a panic; and what they cost to move.

use std::hash::{BuildHasher, RandomState};
use std::panic::{RefUnwindSafe, UnwindSafe};

use millpond::{
    BufferPool, BufferPoolBuilder, BuildError, Capacity, ChainWriter, ClassStats, Error, InFlight, Memory, PooledBatch,
    PooledBuf, PooledBytes, PooledChain, RawBuf, Recycled, Region, RegionPin, RegionWatch, SourceError, Stats, Zeroing,
};

fn is_at_home_everywhere<T: Send + Sync + Unpin + UnwindSafe + RefUnwindSafe + 'static>() {}

#[test]
fn everything_is_send_sync_unpin_and_unwind_safe() {
    is_at_home_everywhere::<BufferPool>();
    is_at_home_everywhere::<PooledBuf>();
    is_at_home_everywhere::<PooledBytes>();
    is_at_home_everywhere::<PooledBatch<PooledBuf>>();
    is_at_home_everywhere::<(PooledChain, ChainWriter)>();
    is_at_home_everywhere::<BufferPoolBuilder>();
    is_at_home_everywhere::<(Region, RegionPin, RegionWatch, InFlight, RawBuf, SourceError)>();
    is_at_home_everywhere::<(Capacity, Recycled, Error, BuildError, Memory, Zeroing, Stats, ClassStats)>();
}

#[test]
fn handles_have_a_niche_and_stay_small() {
    assert_eq!(size_of::<Option<PooledBuf>>(), size_of::<PooledBuf>());
    assert_eq!(size_of::<Option<PooledBytes>>(), size_of::<PooledBytes>());
    assert_eq!(size_of::<Option<BufferPool>>(), size_of::<usize>());
    assert!(size_of::<PooledBuf>() <= 32);
    assert!(size_of::<PooledBytes>() <= 32);
}

#[test]
fn the_bytes_do_not_move_when_the_handle_does() {
    for size in [10, 5000, 100_000] {
        let buf = BufferPool::shared().copy_from(&vec![1; size]);
        let place = buf.as_ptr();
        let boxed = Box::new(buf);
        assert_eq!(boxed.as_ptr(), place);
        let buf = std::thread::spawn(move || *boxed).join().unwrap();
        assert_eq!(buf.as_ptr(), place);
        let frozen = buf.freeze();
        assert_eq!(frozen.as_ptr(), place);
        assert_eq!(frozen.clone().as_ptr(), place);
        assert_eq!(frozen.slice(1..).as_ptr().addr(), place.addr() + 1);
        assert_eq!(frozen.try_into_mut().unwrap().as_ptr(), place);
    }
}

#[test]
fn frozen_bytes_compare_and_hash_as_slices() {
    let pool = BufferPool::new();
    let [a, b] = [b"apple", b"berry"].map(|fruit| pool.copy_from(fruit).freeze());
    assert!(a < b && a == a.clone() && a == *b"apple" && a == b"apple"[..] && a != b"apples"[..]);
    assert!(a == "apple" && a == vec![b'a', b'p', b'p', b'l', b'e']);
    let state = RandomState::new();
    assert_eq!(state.hash_one(&a), state.hash_one(&b"apple"[..]));
    let by_bytes = std::collections::HashMap::from([(a.clone(), 1)]);
    assert_eq!(by_bytes.get(&b"apple"[..]), Some(&1));
    let ordered = std::collections::BTreeMap::from([(b, 2), (a, 1)]);
    assert_eq!(ordered.values().collect::<Vec<_>>(), [&1, &2]);
}

/// The panic leaves the pool and its handles as usable as before.
#[test]
fn a_panic_while_buffers_are_out_does_no_harm() {
    let pool = BufferPool::new();
    let kept = pool.copy_from(b"kept");
    let caught = std::panic::catch_unwind(|| {
        let mut buf = pool.get(100);
        buf.extend_from_slice(&kept);
        let _frozen = (pool.copy_from(b"x").freeze(), pool.get_many([1, 2]));
        panic!("on purpose");
    });
    assert!(caught.is_err());
    assert_eq!(kept[..], *b"kept");
    assert_eq!(pool.stats().outstanding, 256);
}
