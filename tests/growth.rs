//! A buffer grows within its pool, keeps its bytes, and is as it was when it cannot.

#[path = "support/identities.rs"]
mod identities;

use std::error::Error as _;
use std::fmt::{self, Write as _};
use std::io::{self, Write as _};

use identities::assert_identities;
use millpond::{BufferPool, Capacity, Error};

const LEN: usize = if cfg!(miri) { 3000 } else { 300_000 };

#[test]
fn a_buffer_grows_from_nothing_past_the_largest_class() {
    let pool = BufferPool::builder().size_classes([16, 100, 5000]).alignment(8).build().unwrap();
    let mut buf = pool.get(Capacity(0));
    let mut moves = 0;
    for n in 0..LEN {
        let capacity = buf.capacity();
        buf.extend_from_slice(&[n as u8]);
        moves += usize::from(buf.capacity() != capacity);
    }
    assert!(buf.iter().enumerate().all(|(n, &byte)| byte == n as u8));
    assert!(moves < 30, "moved {moves} times");
    let stats = pool.stats();
    assert_identities(&stats);
    assert_eq!(stats.outstanding, buf.capacity() as u64);
}

#[test]
fn the_old_place_serves_the_next_request() {
    let pool = BufferPool::new();
    let mut buf = pool.copy_from(b"grows");
    let old = buf.as_ptr();
    buf.reserve(1000);
    assert_eq!(pool.get(1).as_ptr(), old);
}

#[test]
fn room_that_is_there_is_used_without_a_move() {
    let pool = BufferPool::new();
    let mut buf = pool.get(Capacity(1000));
    let (ptr, capacity) = (buf.as_ptr(), buf.capacity());
    buf.resize(capacity, 1);
    buf.reserve(0);
    assert_eq!((buf.as_ptr(), buf.len()), (ptr, capacity));
    assert_eq!(pool.stats().gets, 1);
}

#[test]
fn a_refused_growth_leaves_the_buffer_as_it_was() {
    let pool = BufferPool::builder().max_request(1000).build().unwrap();
    let mut buf = pool.copy_from(&[7; 900]);
    let refused = Error::TooLarge { requested: 2000, limit: 1000 };
    assert_eq!(buf.try_reserve(1100).unwrap_err(), refused);
    assert_eq!(buf.try_extend_from_slice(&[8; 1100]).unwrap_err(), refused);
    assert_eq!(buf.try_reserve(usize::MAX).unwrap_err(), Error::TooLarge { requested: usize::MAX, limit: 1000 });
    assert_eq!(buf[..], [7; 900]);
    pool.close();
    buf.resize(buf.capacity(), 7);
    assert_eq!(buf.len(), 1024);
}

#[test]
fn a_limit_that_is_not_a_class_is_reached() {
    let pool = BufferPool::builder().max_request(1000).build().unwrap();
    let mut buf = pool.copy_from(&[7; 700]);
    buf.resize(1000, 7);
    assert_eq!(buf[..], [7; 1000]);
    let mut tight = pool.get(Capacity(256));
    tight.resize(999, 1);
    assert_eq!(tight.len(), 999);
}

#[test]
fn a_buffer_of_a_closed_pool_grows_no_more() {
    let pool = BufferPool::new();
    let mut buf = pool.copy_from(b"kept");
    pool.close();
    assert_eq!(buf.try_reserve(1 << 20).unwrap_err(), Error::Closed);
    assert_eq!(buf[..], *b"kept");
    let error = buf.write(&[0; 5000]).unwrap_err();
    assert_eq!(error.get_ref().unwrap().downcast_ref(), Some(&Error::Closed));
    assert!(fmt::Write::write_fmt(&mut buf, format_args!("{:5000}", 1)).is_err());
}

#[test]
fn writers_append_and_grow() {
    let mut buf = BufferPool::new().get(Capacity(0));
    buf.write_all(&[b'.'; 300]).unwrap();
    buf.write_str("text").unwrap();
    fmt::Write::write_fmt(&mut buf, format_args!(" {}", 42)).unwrap();
    assert_eq!(buf[300..], *b"text 42");
    buf.flush().unwrap();
}

#[test]
fn exhaustion_is_an_io_error_that_says_why() {
    let pool = BufferPool::builder().max_request(300).build().unwrap();
    let mut buf = pool.get(Capacity(0));
    let error = buf.write_all(&[0; 301]).unwrap_err();
    assert_eq!(error.to_string(), "301 bytes requested of a pool that gives at most 300");
    assert!(error.source().is_none());
    assert!(buf.is_empty());
    let mut endless = io::repeat(1);
    let error = loop {
        match buf.read_from(&mut endless) {
            Ok(count) => assert!(count > 0),
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    // All of the class that serves the largest request, and not a byte more.
    assert_eq!((buf.len(), buf.capacity()), (384, 384));
}

#[test]
fn a_reader_is_read_to_its_end() {
    let input: Vec<u8> = (0..LEN).map(|n| n as u8).collect();
    let mut buf = BufferPool::new().get(Capacity(0));
    let mut rest = &input[..];
    while buf.read_from(&mut rest).unwrap() > 0 {}
    assert_eq!(buf[..], input);
    assert_eq!(buf.into_vec(), input);
}

#[test]
fn an_iterator_may_lie_about_its_length_or_panic() {
    struct Lies(usize);
    impl Iterator for Lies {
        type Item = u8;
        fn next(&mut self) -> Option<u8> {
            self.0 = self.0.checked_sub(1)?;
            Some(9)
        }
        fn size_hint(&self) -> (usize, Option<usize>) {
            (1, Some(1))
        }
    }
    let pool = BufferPool::new();
    let mut buf = pool.get(Capacity(0));
    buf.extend(Lies(1000));
    assert_eq!(buf[..], [9; 1000]);
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        buf.extend((0..10).map(|n| if n < 5 { n } else { panic!("in the middle") }));
    }));
    assert!(panicked.is_err());
    assert_eq!(buf[1000..], [0, 1, 2, 3, 4]);
    drop(buf);
    assert_identities(&pool.stats());
    assert_eq!(pool.stats().outstanding, 0);
}
