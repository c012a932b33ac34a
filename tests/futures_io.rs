//! Readers and writers of `futures-io`, and pooled buffers as such.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use futures_io_03::AsyncRead;
use futures_util::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, Cursor, copy};
use millpond::futures_io_03::{poll_read_buf, read_buf};
use millpond::{BufferPool, Capacity, Error, PooledChain, Recycled};

const SECRET: u8 = 0xA5;

fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

/// A reader that gives these answers, notes how much room it was offered, and looks at all of it.
#[derive(Default)]
struct Script {
    answers: VecDeque<Poll<io::Result<Vec<u8>>>>,
    offered: Vec<usize>,
    /// Written behind what is reported.
    scribbles: bool,
}

impl AsyncRead for Script {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, room: &mut [u8]) -> Poll<io::Result<usize>> {
        self.offered.push(room.len());
        assert!(room.iter().all(|&byte| byte != 0x77));
        if self.scribbles {
            room.fill(SECRET);
        }
        self.answers.pop_front().expect("no more reads than answers").map_ok(|bytes| {
            room[..bytes.len()].copy_from_slice(&bytes);
            bytes.len()
        })
    }
}

#[test]
fn bytes_come_behind_those_there_are_and_room_is_made_at_the_end() {
    block_on(async {
        let pool = BufferPool::builder().size_classes([16, 64, 16384]).alignment(16).build().unwrap();
        let mut buf = pool.get(Capacity(16));
        buf.extend_from_slice(b"head");
        let answers = [b"twelve bytes".to_vec(), b"more".to_vec(), Vec::new()];
        let mut reader = Script { answers: answers.map(|bytes| Poll::Ready(Ok(bytes))).into(), ..Script::default() };
        assert_eq!(read_buf(&mut reader, &mut buf).await.unwrap(), 12);
        assert_eq!(read_buf(&mut reader, &mut buf).await.unwrap(), 4);
        assert_eq!(read_buf(&mut reader, &mut buf).await.unwrap(), 0);
        assert_eq!(buf[..], *b"headtwelve bytesmore");
        assert_eq!(reader.offered, [12, 16384 - 16, 16384 - 20]);
        let input = Cursor::new([3; 100_000]);
        let mut limited = input.take(50_000);
        let mut buf = pool.get(Capacity(0));
        while read_buf(&mut limited, &mut buf).await.unwrap() > 0 {}
        assert_eq!(buf[..], [3; 50_000]);
    });
}

#[test]
fn pending_and_failed_reads_leave_the_buffer_as_it_was() {
    let pool = BufferPool::builder().size_classes([64]).build().unwrap();
    let mut buf = pool.copy_from(b"kept");
    let answers = [Poll::Pending, Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())), Poll::Ready(Ok(b"!".to_vec()))];
    let mut reader = Script { answers: answers.into(), scribbles: true, ..Script::default() };
    let mut context = Context::from_waker(Waker::noop());
    let mut poll = |buf: &mut _| poll_read_buf(Pin::new(&mut reader), &mut context, buf);
    assert!(poll(&mut buf).is_pending());
    assert_eq!(buf[..], *b"kept");
    assert!(matches!(poll(&mut buf), Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::BrokenPipe));
    assert_eq!(buf[..], *b"kept");
    assert!(matches!(poll(&mut buf), Poll::Ready(Ok(1))));
    assert_eq!(buf[..], *b"kept!");
    drop(buf);
    // What the reader wrote and did not report is nobody's.
    assert_eq!(pool.get(64)[..], [0; 64]);
    assert_eq!(pool.stats().fresh, 1, "the same memory");
}

#[test]
fn readers_see_nobody_elses_bytes_and_their_own_again() {
    let pool = BufferPool::builder().size_classes([64]).build().unwrap();
    let mut buf = pool.get(Recycled(64));
    buf.fill(SECRET);
    drop(buf);
    block_on(async {
        struct Looks(Vec<u8>);
        impl AsyncRead for Looks {
            fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, room: &mut [u8]) -> Poll<io::Result<usize>> {
                self.0 = room.to_vec();
                room.fill(1);
                Poll::Ready(Ok(4))
            }
        }
        let (mut reader, mut buf) = (Looks(Vec::new()), pool.get(Capacity(64)));
        read_buf(&mut reader, &mut buf).await.unwrap();
        assert_eq!((&reader.0[..], &buf[..]), (&[0; 64][..], &[1; 4][..]));
        read_buf(&mut reader, &mut buf).await.unwrap();
        assert_eq!((&reader.0[..], buf.len()), (&[1; 60][..], 8), "wiped once");
    });
}

#[test]
#[should_panic(expected = "the reader claims 65 bytes and was offered 64")]
fn readers_that_claim_too_much_are_not_believed() {
    struct Liar;
    impl AsyncRead for Liar {
        fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, room: &mut [u8]) -> Poll<io::Result<usize>> {
            Poll::Ready(Ok(room.len() + 1))
        }
    }
    let pool = BufferPool::builder().size_classes([64]).build().unwrap();
    block_on(read_buf(&mut Liar, &mut pool.get(Capacity(64)))).unwrap();
}

#[test]
fn a_refusal_of_the_pool_is_an_error_of_the_read() {
    let pool = BufferPool::builder().size_classes([64]).max_request(64).build().unwrap();
    let mut buf = pool.copy_from(&[1; 64]);
    let error = block_on(read_buf(&mut Script::default(), &mut buf)).unwrap_err();
    let refused = error.get_ref().unwrap().downcast_ref::<Error>().unwrap();
    assert_eq!(*refused, Error::TooLarge { requested: 65, limit: 64 });
    assert_eq!(buf[..], [1; 64]);
}

#[test]
fn a_buffer_is_written_to_as_far_as_the_pool_goes() {
    block_on(async {
        let pool = BufferPool::builder().size_classes([64, 4096]).max_request(4096).build().unwrap();
        let mut buf = pool.get(Capacity(64));
        assert_eq!(copy(&[7; 3000][..], &mut buf).await.unwrap(), 3000);
        buf.flush().await.unwrap();
        buf.close().await.unwrap();
        assert_eq!(buf[..], [7; 3000]);
        let error = buf.write_all(&[8; 2000]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        assert_eq!(buf[..], [7; 3000], "nothing was appended");
    });
}

#[test]
fn bytes_are_read_by_lines_and_in_part() {
    block_on(async {
        let pool = BufferPool::new();
        let mut bytes = pool.copy_from(b"one\ntwo\nthree").freeze();
        let mut line = String::new();
        assert_eq!(bytes.read_line(&mut line).await.unwrap(), 4);
        assert_eq!((line.as_str(), &bytes[..]), ("one\n", &b"two\nthree"[..]));
        let mut part = [0; 5];
        bytes.read_exact(&mut part).await.unwrap();
        assert_eq!((&part, &bytes[..]), (b"two\nt", &b"hree"[..]));
        let mut rest = Vec::new();
        assert_eq!(bytes.read_to_end(&mut rest).await.unwrap(), 4);
        assert_eq!(bytes.fill_buf().await.unwrap().len(), 0);
    });
}

#[test]
fn pieces_of_a_chain_go_home_as_they_are_read() {
    block_on(async {
        let pool = BufferPool::builder().size_classes([256]).build().unwrap();
        let text: Vec<u8> = (0..1000).map(|at| if at % 300 == 299 { b'\n' } else { b'.' }).collect();
        let mut chain = PooledChain::copy_from(&pool, &text, 256);
        let out = || pool.stats().outstanding;
        assert_eq!(out(), 4 * 256);
        let mut line = Vec::new();
        assert_eq!(chain.read_until(b'\n', &mut line).await.unwrap(), 300);
        assert_eq!((line.as_slice(), out()), (&text[..300], 3 * 256));
        let mut part = [0; 212];
        chain.read_exact(&mut part).await.unwrap();
        assert_eq!((&part[..], out(), chain.len()), (&text[300..512], 2 * 256, 488));
        let mut rest = Vec::new();
        assert_eq!(copy(&mut chain, &mut rest).await.unwrap(), 488);
        assert_eq!((rest.as_slice(), out()), (&text[512..], 0));
    });
}
