//! A buffer travels as a number and is the same afterwards; one that never comes back counts as out.
#![allow(unsafe_code)] // Buffers are put together again.

use std::thread;

use millpond::{BufferPool, Capacity, PooledBuf, RawBuf, Zeroing};

#[test]
fn a_buffer_is_the_same_afterwards() {
    let pool = BufferPool::new();
    for len in [0, 1, 100, 5000, 200_000, 3 << 20, (64 << 20) + 1].into_iter().filter(|&len| !cfg!(miri) || len <= 5000)
    {
        let mut buf = pool.get(len);
        buf.iter_mut().step_by(97).for_each(|byte| *byte = 9);
        let (place, region, capacity, copy) = (buf.as_ptr(), buf.region(), buf.capacity(), buf.to_vec());
        let raw = buf.into_raw();
        assert_eq!(pool.stats().outstanding as usize, capacity);
        // SAFETY: taken apart above, and put together once.
        let buf = unsafe { PooledBuf::from_raw(raw) };
        assert_eq!((buf.as_ptr(), buf.region(), buf.capacity(), &buf[..]), (place, region, capacity, &copy[..]));
        drop(buf);
        assert!(pool.get(len).iter().all(|&byte| byte == 0), "its marks were kept");
    }
}

#[test]
fn the_lowest_bits_are_free() {
    assert_eq!(RawBuf::TAG_BITS, 7);
    assert_eq!(size_of::<Option<RawBuf>>(), 8);
    assert_eq!(RawBuf::from_u64(0), None);
    let pool = BufferPool::new();
    let raws: Vec<RawBuf> = (0..100).map(|_| pool.copy_from(b"tagged").into_raw()).collect();
    for raw in raws {
        let number = raw.as_u64();
        assert_eq!(number % (1 << RawBuf::TAG_BITS), 0);
        let tagged = number | 0b101_1010;
        let untagged = tagged >> RawBuf::TAG_BITS << RawBuf::TAG_BITS;
        assert_eq!(RawBuf::from_u64(untagged), Some(raw));
        // SAFETY: taken apart above, and put together once.
        assert_eq!(unsafe { PooledBuf::from_raw(raw) }[..], *b"tagged");
    }
    assert_eq!(pool.stats().outstanding, 0);
}

#[test]
fn it_comes_back_on_any_thread_after_the_pool_is_gone() {
    let pool = BufferPool::new();
    let [closed, dropped] = [1, 2].map(|byte| pool.copy_from(&[byte; 3000]).into_raw());
    pool.close();
    thread::spawn(move || {
        // SAFETY: taken apart above, and put together once.
        let buf = unsafe { PooledBuf::from_raw(closed) };
        assert_eq!(buf[..], [1; 3000]);
    })
    .join()
    .unwrap();
    drop(pool);
    // SAFETY: as above.
    let mut buf = unsafe { PooledBuf::from_raw(dropped) };
    assert_eq!(buf[..], [2; 3000]);
    buf.clear();
}

#[test]
fn it_goes_home_like_any_other() {
    let pool = BufferPool::new();
    drop(pool.get(1000));
    let before = pool.stats();
    for round in 1..=10 {
        let raw = pool.get(1000).into_raw();
        // SAFETY: taken apart above, and put together once.
        drop(unsafe { PooledBuf::from_raw(raw) });
        assert_eq!(pool.stats().cache_hits, before.cache_hits + round);
    }
    assert_eq!(pool.stats().fresh, 1);
}

#[test]
fn a_pool_that_wipes_wipes_it() {
    let pool = BufferPool::builder().zeroing(Zeroing::OnReturn).build().unwrap();
    let mut buf = pool.get(4096);
    buf.fill(0x5A);
    let (place, raw) = (buf.as_ptr(), buf.into_raw());
    // SAFETY: taken apart above, and put together once.
    drop(unsafe { PooledBuf::from_raw(raw) });
    let again = pool.get(millpond::Recycled(4096));
    assert_eq!(again.as_ptr(), place);
    assert!(again.iter().all(|&byte| byte == 0));
}

#[test]
fn one_that_never_comes_back_is_out() {
    let pool = BufferPool::new();
    let raw = pool.get(Capacity(4096)).into_raw();
    pool.trim(0);
    let pin = pool.pin_regions();
    assert_eq!((pin.outstanding(), pool.stats().outstanding), (1, 4096));
    drop(pool);
    assert_eq!(pin.outstanding(), 1);
    drop(pin);
    // SAFETY: taken apart above, and put together once. Only for the sake of leak checkers.
    drop(unsafe { PooledBuf::from_raw(raw) });
}
