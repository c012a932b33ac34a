//! Requests at the edges: nothing, everything, and more than there can be.

use std::panic::{AssertUnwindSafe, catch_unwind};

use millpond::{Budget, BufferPool, Capacity, Error, PooledBuf, Recycled};

/// Asks in each of the ways.
fn all_kinds(pool: &BufferPool, size: usize) -> [Result<PooledBuf, Error>; 4] {
    let many = |batch: millpond::PooledBatch<PooledBuf>| batch.into_iter().next().unwrap();
    [
        pool.try_get(size),
        pool.try_get(Capacity(size)),
        pool.try_get(Recycled(size)),
        pool.try_get_many([size]).map(many),
    ]
}

#[test]
fn nothing_is_a_request_like_any_other() {
    let pool = BufferPool::new();
    for buf in all_kinds(&pool, 0) {
        let mut buf = buf.unwrap();
        assert_eq!((buf.len(), buf.is_empty()), (0, true));
        buf.extend_from_slice(b"");
        let empty = buf.freeze();
        assert_eq!((empty.slice(..).len(), empty.clone().split_off(0).len()), (0, 0));
        let mut buf = empty.try_into_mut().unwrap();
        buf.extend_from_slice(b"x");
        assert_eq!(buf[..], *b"x");
    }
    assert!(pool.copy_from(b"").is_empty());
    assert_eq!(pool.stats().outstanding, 0);
}

#[test]
fn more_than_the_largest_request_is_an_error_with_numbers() {
    const LIMIT: usize = 1000;
    let pool = BufferPool::builder().max_request(LIMIT).build().unwrap();
    assert!(all_kinds(&pool, LIMIT).iter().all(Result::is_ok));
    for requested in [LIMIT + 1, LIMIT + 24, LIMIT + 25, 1 << 20, isize::MAX as usize, usize::MAX] {
        for refused in all_kinds(&pool, requested) {
            let error = refused.unwrap_err();
            assert_eq!(error, Error::TooLarge { requested, limit: LIMIT });
            assert_eq!(error.to_string(), format!("{requested} bytes requested of a pool that gives at most 1000"));
        }
    }
    assert_eq!((pool.stats().gets, pool.stats().outstanding), (4, 0));
}

/// The class is larger than what may be asked for, and idle memory of it must not make a difference.
#[test]
fn a_limit_within_a_class_holds_for_hits_too() {
    let pool = BufferPool::builder().max_request(900).build().unwrap();
    drop(all_kinds(&pool, 900));
    for refused in all_kinds(&pool, 901) {
        assert_eq!(refused.unwrap_err(), Error::TooLarge { requested: 901, limit: 900 });
    }
}

#[test]
fn more_than_the_address_space_is_an_error() {
    let pool = BufferPool::new();
    let limit = isize::MAX as usize;
    for requested in [limit + 1, usize::MAX - 4095, usize::MAX] {
        for refused in all_kinds(&pool, requested) {
            assert_eq!(refused.unwrap_err(), Error::TooLarge { requested, limit });
        }
    }
    let unbounded = BufferPool::builder().budget(&Budget::new(usize::MAX)).build().unwrap();
    // A 32-bit program may get as much.
    let too_much = [limit, limit - 4095, limit - 8192, limit / 8].into_iter();
    for requested in too_much.filter(|_| cfg!(target_pointer_width = "64")) {
        for refused in all_kinds(&pool, requested) {
            let refused = refused.unwrap_err();
            assert!(matches!(refused, Error::OverBudget { .. } | Error::OutOfMemory { .. }), "{refused}");
        }
        // Miri would stop at a request that no machine can serve.
        if cfg!(not(miri)) {
            for refused in all_kinds(&unbounded, requested) {
                assert!(matches!(refused.unwrap_err(), Error::OutOfMemory { requested: block } if block >= requested));
            }
        }
    }
    for pool in [&pool, &unbounded] {
        let stats = pool.stats();
        assert_eq!((stats.gets, stats.footprint), (0, 0));
    }
}

#[test]
fn get_panics_with_the_errors_text() {
    let pool = BufferPool::builder().max_request(10).build().unwrap();
    let panicking: [fn(&BufferPool); 4] = [
        |pool| drop(pool.get(11)),
        |pool| drop(pool.get_many([11])),
        |pool| drop(pool.copy_from(&[0; 11])),
        |pool| pool.get(5).extend_from_slice(&[0; 1000]),
    ];
    for (n, panics) in panicking.into_iter().enumerate() {
        let payload = catch_unwind(AssertUnwindSafe(|| panics(&pool))).unwrap_err();
        let text = payload.downcast_ref::<String>().unwrap();
        let requested = if n == 3 { 1005 } else { 11 };
        assert_eq!(*text, Error::TooLarge { requested, limit: 10 }.to_string());
    }
    pool.close();
    let payload = catch_unwind(|| pool.get(1)).unwrap_err();
    assert_eq!(payload.downcast_ref::<String>().unwrap(), "the pool is closed");
}

#[test]
fn a_request_is_served_by_the_smallest_class_that_holds_it() {
    let sizes = [1, 2, 3, 16, 17, 100, 101, 102, 103, 104, 4096, 5000];
    let pool = BufferPool::builder().size_classes(sizes).alignment(1).build().unwrap();
    for request in (0..=5000).step_by(if cfg!(miri) { 99 } else { 1 }) {
        let smallest = sizes.iter().find(|&&size| size >= request).unwrap();
        assert_eq!(pool.get(Capacity(request)).capacity(), *smallest);
    }
}

/// Whatever a reader looks at or claims.
#[test]
fn readers_see_nobody_elses_bytes() {
    struct Looks(Vec<u8>);
    impl std::io::Read for Looks {
        fn read(&mut self, room: &mut [u8]) -> std::io::Result<usize> {
            self.0 = room.to_vec();
            Ok(room.len().min(100))
        }
    }
    let pool = BufferPool::builder().size_classes([1000, 4000]).alignment(1).build().unwrap();
    let left_by_others = || pool.get_many([4000, 1000, 1000]).iter_mut().for_each(|buf| buf.fill(0xEE));
    left_by_others();
    let (mut reader, mut buf) = (Looks(Vec::new()), pool.get(Capacity(1000)));
    for len in [1000, 900] {
        buf.read_from(&mut reader).unwrap();
        assert_eq!(reader.0, vec![0; len]);
    }
    assert_eq!(buf[..], [0; 200]);
    // What was lent for writing is this user's, and what is behind it nobody's.
    buf.fill(1);
    buf.truncate(150);
    buf.read_from(&mut reader).unwrap();
    assert_eq!((&reader.0[..], buf.len()), (&[0; 850][..], 250));
    // Another place, with other people's bytes.
    buf.reserve(1000);
    buf.read_from(&mut reader).unwrap();
    assert_eq!(reader.0, [0; 3750]);
    drop(buf);
    left_by_others();
    let mut frozen = pool.copy_from(b"thawed").freeze().try_into_mut().unwrap();
    frozen.read_from(&mut reader).unwrap();
    assert_eq!(reader.0, [0; 994]);
    assert_eq!(pool.stats().fresh, 3, "the same memory");
}
