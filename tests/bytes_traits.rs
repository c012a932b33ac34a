//! The traits of the `bytes` crate, with the readers and writers that use them.
#![cfg(feature = "bytes")]
#![allow(unsafe_code)] // Sets the length that a reader has filled.

#[path = "support/identities.rs"]
mod identities;

use std::io::Cursor;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::thread;

use bytes::{Buf, BufMut, Bytes};
use identities::assert_identities;
use millpond::{BufferPool, Capacity, PooledBuf, PooledBytes};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, ReadBuf, duplex};

fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

#[test]
fn tokio_reads_until_the_buffer_is_full_and_then_reads_nothing() {
    block_on(async {
        let pool = BufferPool::builder().size_classes([16, 64]).alignment(16).build().unwrap();
        let mut input = Cursor::new([7; 20]);
        let mut buf = pool.get(Capacity(16));
        assert_eq!(input.read_buf(&mut buf).await.unwrap(), 16);
        assert_eq!((buf.remaining_mut(), buf.chunk_mut().len()), (0, 0));
        assert_eq!(input.read_buf(&mut buf).await.unwrap(), 0, "full reads as the end");
        buf.reserve(1);
        assert_eq!(input.read_buf(&mut buf).await.unwrap(), 4);
        assert_eq!(input.read_buf(&mut buf).await.unwrap(), 0, "the end itself");
        assert_eq!(buf[..], [7; 20]);
    });
}

/// One read for who polls, into the room behind the last byte, without initialising it.
fn poll_read(reader: &mut (impl AsyncRead + Unpin), buf: &mut PooledBuf) -> Poll<usize> {
    let mut room = ReadBuf::uninit(buf.spare_capacity_mut());
    let polled = Pin::new(reader).poll_read(&mut Context::from_waker(Waker::noop()), &mut room);
    let count = room.filled().len();
    let len = buf.len() + count;
    // SAFETY: the reader has filled so many bytes of the room, which `ReadBuf` sees to.
    unsafe { buf.set_len(len) };
    polled.map(|result| result.map(|()| count).unwrap())
}

#[test]
fn tokio_reads_into_spare_capacity_for_who_polls() {
    let pool = BufferPool::builder().size_classes([16, 64]).alignment(16).build().unwrap();
    block_on(async {
        let (mut near, mut far) = duplex(10);
        let mut buf = pool.copy_from(b"head");
        assert_eq!(poll_read(&mut far, &mut buf), Poll::Pending);
        assert_eq!(buf[..], *b"head");
        near.write_all(b"0123456789").await.unwrap();
        assert_eq!(poll_read(&mut far, &mut buf), Poll::Ready(10));
        near.write_all(b"abcdef").await.unwrap();
        assert_eq!(poll_read(&mut far, &mut buf), Poll::Ready(2), "as much as there is room for");
        assert_eq!(poll_read(&mut far, &mut buf), Poll::Ready(0), "full reads as the end");
        buf.reserve(1);
        assert_eq!(poll_read(&mut far, &mut buf), Poll::Ready(4));
        assert_eq!(buf[..], *b"head0123456789abcdef");
    });
    // Nobody knows what was written there: the next user gets zeroes all the same.
    assert_eq!(pool.get(64)[..], [0; 64]);
}

#[test]
fn tokio_carries_frozen_bytes_through_a_pipe() {
    block_on(async {
        let pool = BufferPool::new();
        let (mut near, mut far) = duplex(50);
        let mut message = pool.copy_from(&[9; 1000]).freeze();
        let sent = async {
            near.write_all_buf(&mut message).await.unwrap();
            drop(near);
        };
        let received = async {
            let mut buf = pool.get(Capacity(4096));
            while far.read_buf(&mut buf).await.unwrap() > 0 {}
            buf
        };
        let ((), buf) = tokio::join!(sent, received);
        assert_eq!((&buf[..], message.remaining()), (&[9; 1000][..], 0));
    });
}

#[test]
fn putting_appends_within_the_capacity_and_panics_beyond() {
    let pool = BufferPool::builder().size_classes([16]).alignment(16).build().unwrap();
    let mut buf = pool.get(Capacity(16));
    buf.put_u32(0x0102_0304);
    buf.put_bytes(5, 2);
    buf.put(&b"six"[..]);
    assert_eq!((&buf[..], buf.remaining_mut()), (&b"\x01\x02\x03\x04\x05\x05six"[..], 7));
    let puts: [fn(&mut PooledBuf); 3] = [|buf| buf.put_slice(&[0; 8]), |buf| buf.put_bytes(0, 8), |buf| buf.put_u64(0)];
    for put in puts {
        assert!(catch_unwind(AssertUnwindSafe(|| put(&mut buf))).is_err());
        assert_eq!(buf[..9], *b"\x01\x02\x03\x04\x05\x05six");
    }
    assert!((&mut buf).limit(3).has_remaining_mut());
}

#[test]
fn taking_consumes_from_the_front() {
    let mut bytes = BufferPool::new().copy_from(b"\x00\x05hello rest").freeze();
    let len = usize::from(bytes.get_u16());
    let word = bytes.copy_to_bytes(len);
    assert_eq!((&word[..], bytes.get_u8(), bytes.chunk()), (&b"hello"[..], b' ', &b"rest"[..]));
    bytes.advance(4);
    assert!(!bytes.has_remaining());
    assert!(catch_unwind(AssertUnwindSafe(|| bytes.advance(1))).is_err());
}

#[test]
fn conversion_into_bytes_copies_none_and_returns_from_any_thread() {
    let pool = BufferPool::new();
    let frozen = pool.copy_from(&[1; 1000]).freeze();
    let place = frozen.as_ptr();
    let bytes = Bytes::from(frozen);
    assert_eq!((bytes.as_ptr(), bytes.len()), (place, 1000));
    let parts = [bytes.slice(1..), bytes.clone()];
    assert_eq!(parts[0].as_ptr().addr(), place.addr() + 1);
    drop(bytes);
    assert_eq!(pool.stats().outstanding, 1024);
    for part in parts {
        thread::spawn(move || drop(part)).join().unwrap();
    }
    let stats = pool.stats();
    assert_identities(&stats);
    assert_eq!(stats.outstanding, 0);
}

#[test]
fn bytes_of_no_pool_convert_too() {
    assert!(Bytes::from(PooledBytes::new()).is_empty());
    assert_eq!(Bytes::from(PooledBytes::from_static(b"static")), &b"static"[..]);
    let mut emptied = BufferPool::new().copy_from(b"x").freeze();
    emptied.advance(1);
    assert!(Bytes::from(emptied).is_empty());
}
