//! monoio 0.2 reads into pooled buffers, writes frozen ones and chains, and gives all of them back.
#![cfg(target_os = "linux")]

use std::time::Duration;

use millpond::monoio_02::Iovecs;
use millpond::{BufferPool, Capacity, PooledChain};
use millpond_interop::{SECRET, SIZE, assert_home, counted, file, fresh_pool, marked_pool};
use monoio::buf::{IoBuf, IoBufMut, IoVecBuf};
use monoio::fs::File;
use monoio::io::{
    AsyncReadRent, AsyncReadRentExt, AsyncWriteRent, AsyncWriteRentExt, CancelableAsyncReadRent, Canceller,
};
use monoio::net::{TcpListener, TcpStream};

fn block_on<F: Future>(future: F) -> F::Output {
    let mut runtime = monoio::RuntimeBuilder::<monoio::IoUringDriver>::new().enable_timer().build().unwrap();
    runtime.block_on(future)
}

async fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let accepted = monoio::spawn(async move { listener.accept().await.unwrap().0 });
    (TcpStream::connect(address).await.unwrap(), accepted.await)
}

#[test]
fn a_file_is_read_and_its_end_is_short() {
    let (pool, content) = (marked_pool(), counted(SIZE + 100));
    let (_folder, path) = file(&content);
    block_on(async {
        let file = File::open(path).await.unwrap();
        let (count, first) = file.read_at(pool.get(Capacity(SIZE)), 0).await;
        assert_eq!((count.unwrap(), &first[..]), (SIZE, &content[..SIZE]));
        let (count, last) = file.read_at(first, SIZE as u64).await;
        assert_eq!((count.unwrap(), &last[..]), (100, &content[SIZE..]), "the length is that of this read");
        let (count, more) = file.read_at(last.slice_mut(100..SIZE), 50).await;
        assert_eq!(count.unwrap(), SIZE - 100);
        let more = more.into_inner();
        assert_eq!((&more[..100], &more[100..]), (&content[SIZE..], &content[50..SIZE - 50]));
        let (count, none) = file.read_at(pool.get(Capacity(SIZE)), 1 << 20).await;
        assert_eq!((count.unwrap(), none.len()), (0, 0));
    });
    assert_home(&pool);
}

#[test]
fn an_echo_comes_back() {
    let pool = marked_pool();
    block_on(async {
        let (mut near, mut far) = pair().await;
        let echo = monoio::spawn({
            let pool = pool.clone();
            async move {
                loop {
                    let (count, buf) = far.read(pool.get(Capacity(SIZE))).await;
                    if count.unwrap() == 0 {
                        break;
                    }
                    far.write_all(buf.freeze()).await.0.unwrap();
                }
            }
        });
        let mut chain = PooledChain::copy_from(&pool, &counted(3 * SIZE), 1000);
        while !chain.is_empty() {
            let (count, iovecs) = near.writev(Iovecs::from(chain)).await;
            chain = iovecs.into_chain();
            chain.advance(count.unwrap());
        }
        let (read, back) = near.read_exact(BufferPool::shared().get(3 * SIZE)).await;
        assert_eq!((read.unwrap(), &back[..3 * SIZE]), (3 * SIZE, &counted(3 * SIZE)[..]));
        near.shutdown().await.unwrap();
        echo.await;
    });
    assert_home(&pool);
}

#[test]
fn a_read_that_is_cancelled_returns_its_buffer() {
    let pool = marked_pool();
    block_on(async {
        let (_near, mut far) = pair().await;
        let canceller = Canceller::new();
        let handle = canceller.handle();
        monoio::spawn(async move {
            monoio::time::sleep(Duration::from_millis(20)).await;
            canceller.cancel();
        });
        let (result, buf) = far.cancelable_read(pool.get(Capacity(SIZE)), handle).await;
        assert!(result.is_err() && buf.is_empty());
    });
    assert_home(&pool);
}

#[test]
fn a_read_that_is_given_up_returns_its_buffer_when_the_kernel_is_done() {
    let pool = marked_pool();
    block_on(async {
        let (mut near, mut far) = pair().await;
        let waiting = far.read(pool.get(Capacity(SIZE)));
        assert!(monoio::time::timeout(Duration::from_millis(20), waiting).await.is_err());
        near.write_all(b"late".to_vec()).await.0.unwrap();
        for _ in 0..100 {
            monoio::time::sleep(Duration::from_millis(5)).await;
            if pool.stats().outstanding == 0 {
                break;
            }
        }
    });
    assert_home(&pool);
}

#[test]
fn the_length_is_set_and_lists_are_no_longer_than_the_kernel_takes() {
    let mut buf = BufferPool::new().copy_from(b"abcdef");
    let place = buf.as_ptr();
    // SAFETY: they are initialised.
    unsafe { IoBufMut::set_init(&mut buf, 3) };
    assert_eq!((IoBuf::bytes_init(&buf), IoBufMut::bytes_total(&mut buf)), (3, buf.capacity()));
    assert_eq!((IoBuf::read_ptr(&buf), IoBufMut::write_ptr(&mut buf).cast_const()), (place, place));
    let frozen = buf.freeze();
    let iovecs = Iovecs::from(PooledChain::from_iter((0..1025).map(|_| frozen.clone())));
    assert_eq!((iovecs.read_iovec_len(), iovecs.into_chain().len()), (1024, 1025 * 3));
}

#[test]
fn what_was_written_behind_the_length_is_not_seen_again() {
    let pool = fresh_pool();
    let mut buf = pool.get(Capacity(SIZE));
    let block = IoBufMut::write_ptr(&mut buf);
    // SAFETY: within the capacity.
    let last = unsafe { block.add(SIZE - 1) };
    // SAFETY: as above; the buffer is unique.
    unsafe { last.write(SECRET) };
    drop(buf);
    assert_home(&pool);
}
