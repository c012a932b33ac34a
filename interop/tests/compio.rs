//! compio 0.19 reads into pooled buffers, writes frozen ones and chains, has its own buffers from a pool, and gives all of
//! them back.

use std::num::NonZero;
use std::sync::LazyLock;
use std::time::Duration;

use compio::buf::{IoBuf, IoBufMut, IoVectoredBuf, SetLen};
use compio::driver::ProactorBuilder;
use compio::fs::File;
use compio::io::{AsyncRead, AsyncReadAt, AsyncReadExt, AsyncReadManaged, AsyncWrite, AsyncWriteExt};
use compio::net::{TcpListener, TcpStream};
use compio::runtime::{Runtime, RuntimeBuilder};
use millpond::compio_driver_012::{PooledAllocator, StaticPool};
use millpond::{BufferPool, Capacity, Error, PooledChain, Recycled};
use millpond_interop::{SECRET, SIZE, assert_home, counted, file, fresh_pool, marked_pool};

async fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let accepted = compio::runtime::spawn(async move { listener.accept().await.unwrap().0 });
    (TcpStream::connect(address).await.unwrap(), accepted.await.unwrap())
}

fn block_on<F: Future>(future: F) -> F::Output {
    let runtime = Runtime::new().unwrap();
    // Where there are rings to be had, the kernel works on the buffers, and not the runtime by system calls of its own.
    #[cfg(target_os = "linux")]
    assert_eq!(runtime.driver_type().is_iouring(), tokio_uring::uring_builder().build(1).is_ok());
    runtime.block_on(future)
}

#[test]
fn a_file_is_read_and_its_end_is_short() {
    let (pool, content) = (marked_pool(), counted(SIZE + 100));
    let (_folder, path) = file(&content);
    block_on(async {
        let file = File::open(path).await.unwrap();
        let (count, first) = file.read_at(pool.get(Capacity(SIZE)), 0).await.unwrap();
        assert_eq!((count, &first[..]), (SIZE, &content[..SIZE]));
        let (count, last) = file.read_at(pool.get(Capacity(SIZE)), SIZE as u64).await.unwrap();
        assert_eq!((count, &last[..]), (100, &content[SIZE..]));
        let (count, more) = file.read_at(last.slice(100..), 50).await.unwrap();
        assert_eq!(count, SIZE - 100);
        let more = compio::buf::IntoInner::into_inner(more);
        assert_eq!((&more[..100], &more[100..]), (&content[SIZE..], &content[50..SIZE - 50]));
        let (count, none) = file.read_at(pool.get(Capacity(SIZE)), 1 << 20).await.unwrap();
        assert_eq!((count, none.len()), (0, 0));
    });
    assert_home(&pool);
}

#[test]
fn an_echo_comes_back() {
    let pool = marked_pool();
    block_on(async {
        let (mut near, mut far) = pair().await;
        let echo = compio::runtime::spawn({
            let pool = pool.clone();
            async move {
                loop {
                    let (count, buf) = far.read(pool.get(Capacity(SIZE))).await.unwrap();
                    if count == 0 {
                        break;
                    }
                    far.write_all(buf.freeze()).await.unwrap();
                }
            }
        });
        let chain = PooledChain::copy_from(&pool, &counted(3 * SIZE), 1000);
        assert_eq!((chain.total_len(), chain.iter_slice().count()), (3 * SIZE, 13));
        let ((), chain) = near.write_vectored_all(chain).await.unwrap();
        drop(chain);
        let ((), back) = near.read_exact(BufferPool::shared().get(Capacity(3 * SIZE))).await.unwrap();
        assert_eq!(back[..3 * SIZE], counted(3 * SIZE));
        near.shutdown().await.unwrap();
        echo.await.unwrap();
    });
    assert_home(&pool);
}

#[test]
fn a_read_that_is_given_up_returns_its_buffer() {
    let pool = marked_pool();
    block_on(async {
        let (_near, mut far) = pair().await;
        let waiting = far.read(pool.get(Capacity(SIZE)));
        assert!(compio::time::timeout(Duration::from_millis(20), waiting).await.is_err());
        for _ in 0..100 {
            compio::time::sleep(Duration::from_millis(5)).await;
            if pool.stats().outstanding == 0 {
                break;
            }
        }
        // The socket is open still, so it was the cancellation that ended the read.
        assert_eq!(pool.stats().outstanding, 0);
    });
    assert_home(&pool);
}

struct Managed;

impl StaticPool for Managed {
    fn pool() -> &'static BufferPool {
        static POOL: LazyLock<BufferPool> = LazyLock::new(marked_pool);
        &POOL
    }
}

#[test]
fn managed_reads_have_their_buffers_from_the_pool() {
    let pool = Managed::pool();
    let mut proactor = ProactorBuilder::new();
    proactor
        .buffer_pool_size(NonZero::new(4).unwrap())
        .buffer_pool_buffer_len(SIZE)
        .buffer_pool_allocator::<PooledAllocator<Managed>>();
    let runtime = RuntimeBuilder::new().with_proactor(proactor).build().unwrap();
    runtime.block_on(async {
        let (mut near, mut far) = pair().await;
        near.write_all(b"managed".to_vec()).await.unwrap();
        let buf = far.read_managed(0).await.unwrap().unwrap();
        assert_eq!(buf.as_init(), b"managed");
        assert_eq!(pool.stats().outstanding, 4 * SIZE as u64, "as much as is asked for, and no class more");
        drop(buf);
        assert_eq!(pool.stats().outstanding, 4 * SIZE as u64, "the runtime keeps them");
    });
    drop(runtime);
    assert_home(pool);
}

#[test]
fn what_was_stored_behind_the_length_is_not_seen_again() {
    let pool = fresh_pool();
    let mut buf = pool.get(Capacity(SIZE));
    IoBufMut::as_uninit(&mut buf)[SIZE - 1].write(SECRET);
    drop(buf);
    assert_home(&pool);
    let mut buf = pool.copy_from(b"four");
    let [_, _, _, _, behind @ ..] = IoBufMut::as_uninit(&mut buf) else { panic!("there are four") };
    behind.fill(std::mem::MaybeUninit::uninit());
    drop(buf);
    assert!(pool.get(Recycled(SIZE))[4..].iter().all(|&byte| byte == 0), "initialised again");
    assert_home(&pool);
}

#[test]
fn copies_within_a_buffer_bring_nobodys_bytes_to_light() {
    let pool = marked_pool();
    let mut buf = pool.get(Capacity(SIZE));
    buf.extend_from_slice(b"left");
    IoBufMut::copy_within(&mut buf, 2..6, 0);
    assert_eq!(buf[..], *b"ft\0\0");
    IoBufMut::copy_within(&mut buf, SIZE - 1..SIZE, 1);
    assert_eq!(buf[..], *b"f\0\0\0");
}

#[test]
fn the_length_is_set_and_room_is_made_as_far_as_the_pool_goes() {
    let pool = BufferPool::builder().max_request(1 << 20).build().unwrap();
    let mut buf = pool.copy_from(b"abcdef");
    // SAFETY: they are initialised.
    unsafe { SetLen::set_len(&mut buf, 3) };
    assert_eq!((IoBufMut::buf_capacity(&mut buf), buf.as_init()), (buf.capacity(), &b"abc"[..]));
    IoBufMut::extend_from_slice(&mut buf, &[7; 100_000]).unwrap();
    assert_eq!((buf.len(), &buf[..4]), (100_003, &b"abc\x07"[..]));
    let refusal = IoBufMut::reserve(&mut buf, 1 << 20).unwrap_err();
    let source = std::error::Error::source(&refusal).unwrap();
    assert!(matches!(source.downcast_ref(), Some(Error::TooLarge { .. })), "{source}");
    assert_eq!(buf.len(), 100_003);
}
