//! Bodies of messages: over loopback with hyper, and frame by frame.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use http_body::Body;
use http_body_util::{BodyExt, Full};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use millpond::{BufferPool, Capacity, PooledBytes, PooledChain};
use tokio::net::{TcpListener, TcpStream};

const LEN: usize = (5 << 20) + 12_345;
const PIECE: usize = 64 << 10;

fn content() -> Vec<u8> {
    (0..LEN).map(|at| (at % 251) as u8).collect()
}

fn pool() -> BufferPool {
    BufferPool::builder().max_memory(64 << 20).build().unwrap()
}

/// A server on loopback that answers one connection with what `answer` makes of each path.
async fn serve<B>(answer: impl Fn(&str) -> B + Send + Clone + 'static) -> SocketAddr
where
    B: Body<Data: Send, Error = Infallible> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let service = service_fn(move |request: Request<hyper::body::Incoming>| {
            let body = answer(request.uri().path());
            async move { Ok::<_, Infallible>(Response::new(body)) }
        });
        hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await.unwrap();
    });
    address
}

/// What a client gets for each of these paths over one connection, read into buffers of the pool.
async fn get(address: SocketAddr, paths: &[&str], pool: &BufferPool) -> Vec<(Option<u64>, PooledBytes)> {
    let stream = TcpStream::connect(address).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    let connection = tokio::spawn(connection);
    let mut got = Vec::new();
    for path in paths {
        let request = Request::get(*path).header("host", "localhost").body(PooledBytes::new()).unwrap();
        sender.ready().await.unwrap();
        let mut response = sender.send_request(request).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        let announced = response.body().size_hint().exact();
        let mut body = pool.get(Capacity(LEN));
        while let Some(frame) = response.frame().await {
            body.extend_from_slice(frame.unwrap().data_ref().unwrap());
        }
        got.push((announced, body.freeze()));
    }
    drop(sender);
    connection.await.unwrap().unwrap();
    got
}

/// Runs a server and a client, and asserts that all is home when both are gone.
fn served<B>(answer: impl Fn(&BufferPool, &str) -> B + Send + Clone + 'static)
where
    B: Body<Data: Send, Error = Infallible> + Send + 'static,
{
    let pool = pool();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let answering = pool.clone();
    let got = runtime.block_on(async move {
        let address = serve({
            let pool = answering.clone();
            move |path| answer(&pool, path)
        });
        get(address.await, &["/", "/empty", "/"], &answering).await
    });
    let lens: Vec<_> = got.iter().map(|(announced, body)| (*announced, body.len())).collect();
    assert_eq!(lens, [(Some(LEN as u64), LEN), (Some(0), 0), (Some(LEN as u64), LEN)]);
    assert!(got[0].1 == content() && got[2].1 == content());
    drop(got);
    drop(runtime);
    let end = Instant::now() + Duration::from_secs(10);
    while pool.stats().outstanding > 0 {
        assert!(Instant::now() < end, "{} bytes are out", pool.stats().outstanding);
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn hyper_serves_full_bodies_of_pooled_bytes() {
    served(|pool, path| Full::new(if path == "/" { pool.copy_from(&content()).freeze() } else { PooledBytes::new() }));
}

#[test]
fn hyper_serves_pooled_bytes() {
    served(|pool, path| if path == "/" { pool.copy_from(&content()).freeze() } else { PooledBytes::new() });
}

#[test]
fn hyper_serves_chains() {
    served(|pool, path| PooledChain::copy_from(pool, &content()[if path == "/" { 0 } else { LEN }..], PIECE));
}

#[test]
fn hyper_sends_a_chain_as_a_request() {
    let pool = pool();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let got = runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            let echo = service_fn(|request: Request<hyper::body::Incoming>| async {
                Ok::<_, hyper::Error>(Response::new(Full::new(request.into_body().collect().await?.to_bytes())))
            });
            hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), echo).await.unwrap();
        });
        let stream = TcpStream::connect(address).await.unwrap();
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let body = PooledChain::copy_from(&pool, &content(), PIECE);
        let request = Request::post("/").header("host", "localhost").body(body).unwrap();
        let echoed = sender.send_request(request).await.unwrap().into_body().collect().await.unwrap().to_bytes();
        drop(sender);
        server.await.unwrap();
        echoed
    });
    assert!(got == content());
    drop(runtime);
    assert_eq!(pool.stats().outstanding, 0);
}

/// The frames of a body, which has to end.
fn frames<B: Body<Data = PooledBytes, Error = Infallible> + Unpin>(mut body: B) -> Vec<PooledBytes> {
    let mut context = Context::from_waker(Waker::noop());
    let mut frames = Vec::new();
    while let Poll::Ready(Some(frame)) = Pin::new(&mut body).poll_frame(&mut context) {
        frames.push(frame.unwrap().into_data().unwrap());
    }
    assert!(body.is_end_stream());
    assert_eq!(body.size_hint().exact(), Some(0));
    frames
}

#[test]
fn frames_are_the_buffers_themselves() {
    let pool = pool();
    let bytes = pool.copy_from(b"some bytes").freeze();
    let start = bytes.as_ptr();
    assert!(!bytes.is_end_stream());
    assert_eq!(bytes.size_hint().exact(), Some(10));
    let [frame] = &frames(bytes)[..] else { panic!("one frame") };
    assert_eq!((frame.as_ptr(), &frame[..]), (start, &b"some bytes"[..]));
    assert_eq!(frames(PooledBytes::new()).len(), 0);

    let chain = PooledChain::copy_from(&pool, &content(), PIECE);
    let starts: Vec<_> = chain.pieces().map(|piece| piece.as_ptr()).collect();
    assert_eq!((chain.is_end_stream(), chain.size_hint().exact()), (false, Some(LEN as u64)));
    let frames = frames(chain);
    assert_eq!(frames.iter().map(|frame| frame.as_ptr()).collect::<Vec<_>>(), starts);
    assert!(frames.concat() == content());
}

#[test]
fn a_piece_goes_home_with_its_frame() {
    let pool = BufferPool::builder().size_classes([PIECE]).build().unwrap();
    let mut chain = PooledChain::copy_from(&pool, &[1; 3 * PIECE], PIECE);
    for left in (0..3).rev() {
        let frame = Pin::new(&mut chain).poll_frame(&mut Context::from_waker(Waker::noop()));
        assert_eq!((pool.stats().outstanding, chain.len()), (((left + 1) * PIECE) as u64, left * PIECE));
        drop(frame);
        assert_eq!(pool.stats().outstanding, (left * PIECE) as u64);
    }
}
