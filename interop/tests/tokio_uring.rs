//! tokio-uring 0.5 reads into pooled buffers, writes frozen ones and chains, and gives all of them back.
#![cfg(target_os = "linux")]

use std::net::Shutdown;
use std::time::Duration;

use millpond::{BufferPool, Capacity, PooledBuf, PooledBytes, PooledChain};
use millpond_interop::{SECRET, SIZE, assert_home, counted, file, fresh_pool, marked_pool};
use tokio_uring::buf::{BoundedBuf, IoBuf, IoBufMut};
use tokio_uring::fs::File;
use tokio_uring::net::{TcpListener, TcpStream};

async fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = listener.local_addr().unwrap();
    let (near, far) = tokio::join!(TcpStream::connect(address), listener.accept());
    (near.unwrap(), far.unwrap().0)
}

#[test]
fn a_file_is_read_and_its_end_is_short() {
    let (pool, content) = (marked_pool(), counted(SIZE + 100));
    let (_folder, path) = file(&content);
    tokio_uring::start(async {
        let file = File::open(path).await.unwrap();
        let (count, first) = file.read_at(pool.get(Capacity(SIZE)), 0).await;
        assert_eq!((count.unwrap(), &first[..]), (SIZE, &content[..SIZE]));
        let (count, last) = file.read_at(pool.get(Capacity(SIZE)), SIZE as u64).await;
        assert_eq!((count.unwrap(), &last[..]), (100, &content[SIZE..]));
        let (count, more) = file.read_at(last.slice(100..), 50).await;
        assert_eq!(count.unwrap(), SIZE - 100);
        let more = more.into_inner();
        assert_eq!((&more[..100], &more[100..]), (&content[SIZE..], &content[50..SIZE - 50]));
        let (count, none) = file.read_at(pool.get(Capacity(SIZE)), 1 << 20).await;
        assert_eq!((count.unwrap(), none.len()), (0, 0));
        let output = File::from_std(tempfile::tempfile().unwrap());
        let (written, frozen) = output.write_all_at(first.freeze(), 0).await;
        written.unwrap();
        let (read, copy) = output.read_exact_at(pool.get(Capacity(SIZE)), 0).await;
        read.unwrap();
        assert_eq!(copy, frozen);
    });
    assert_home(&pool);
}

#[test]
fn an_echo_comes_back() {
    let pool = marked_pool();
    tokio_uring::start(async {
        let (near, far) = pair().await;
        let echo = tokio_uring::spawn({
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
            let (count, pieces) = near.writev(chain.into_iter().collect::<Vec<PooledBytes>>()).await;
            chain = pieces.into_iter().collect();
            chain.advance(count.unwrap());
        }
        let mut back = PooledChain::new();
        while back.len() < 3 * SIZE {
            let (count, buf) = near.read(pool.get(Capacity(SIZE))).await;
            assert_eq!(count.unwrap(), buf.len());
            back.push(buf);
        }
        assert_eq!(back, counted(3 * SIZE));
        near.shutdown(Shutdown::Write).unwrap();
        echo.await.unwrap();
    });
    assert_home(&pool);
}

#[test]
fn a_read_that_is_given_up_returns_its_buffer_when_the_kernel_is_done() {
    let pool = marked_pool();
    tokio_uring::start(async {
        let (near, far) = pair().await;
        let waiting = far.read(pool.get(Capacity(SIZE)));
        assert!(tokio::time::timeout(Duration::from_millis(20), waiting).await.is_err());
        assert_eq!(pool.stats().outstanding, SIZE as u64, "the kernel may write to it still");
        near.write_all(b"late".to_vec()).await.0.unwrap();
        for _ in 0..100 {
            tokio::time::sleep(Duration::from_millis(5)).await;
            if pool.stats().outstanding == 0 {
                break;
            }
        }
    });
    assert_home(&pool);
}

#[test]
fn buffers_can_be_registered() {
    let pool = marked_pool();
    let (_folder, path) = file(&counted(SIZE));
    tokio_uring::start(async {
        let registry = tokio_uring::buf::fixed::FixedBufRegistry::new(pool.get_many([Capacity(SIZE); 4]));
        registry.register().unwrap();
        let file = File::open(path).await.unwrap();
        let (count, buf) = file.read_fixed_at(registry.check_out(2).unwrap(), 0).await;
        assert_eq!((count.unwrap(), &buf[..]), (SIZE, &counted(SIZE)[..]));
        drop(buf);
        registry.unregister().unwrap();
    });
    assert_home(&pool);
}

#[test]
fn the_length_only_grows() {
    let mut buf = BufferPool::new().copy_from(b"abcdef");
    let place = buf.as_ptr();
    // SAFETY: they are initialised.
    unsafe { IoBufMut::set_init(&mut buf, 3) };
    assert_eq!((IoBuf::bytes_init(&buf), IoBuf::bytes_total(&buf)), (6, buf.capacity()));
    assert_eq!((IoBuf::stable_ptr(&buf), IoBufMut::stable_mut_ptr(&mut buf).cast_const()), (place, place));
    let moved: Box<PooledBuf> = Box::new(buf);
    assert_eq!(IoBuf::stable_ptr(&*moved), place);
}

#[test]
fn what_was_written_behind_the_length_is_not_seen_again() {
    let pool = fresh_pool();
    let mut buf = pool.get(Capacity(SIZE));
    let block = IoBufMut::stable_mut_ptr(&mut buf);
    // SAFETY: within the capacity.
    let last = unsafe { block.add(SIZE - 1) };
    // SAFETY: as above; the buffer is unique.
    unsafe { last.write(SECRET) };
    drop(buf);
    assert_home(&pool);
}
