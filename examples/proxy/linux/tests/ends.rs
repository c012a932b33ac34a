//! How connections end, and what the client makes of a proxy that is not one.

use std::io::ErrorKind;
use std::net::Ipv4Addr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::linux::server::End;

async fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// A proxy, and both ends of a connection through it.
async fn connected() -> (Arc<Proxy<Pooled>>, TcpStream, TcpStream) {
    let (listener, address) = listener().await;
    let (proxy, address) = proxy_to(address, &Settings::new(1 << 20)).await;
    let client = TcpStream::connect(address).await.unwrap();
    let (upstream, _) = soon(listener.accept()).await.unwrap();
    (proxy, client, upstream)
}

/// All that comes until the end.
async fn rest(stream: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    soon(stream.read_to_end(&mut bytes)).await.unwrap();
    bytes
}

async fn is_reset(stream: &mut TcpStream) {
    let error = soon(stream.read(&mut [0; 10])).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn either_side_may_end_first_and_still_gets_the_answer() {
    for upstream_first in [false, true] {
        let (proxy, client, upstream) = connected().await;
        let (mut first, mut second) = if upstream_first { (upstream, client) } else { (client, upstream) };
        first.write_all(b"the question").await.unwrap();
        first.shutdown().await.unwrap();
        assert_eq!(rest(&mut second).await, b"the question");
        assert_eq!(proxy.ends(), [0; 6]);
        second.write_all(b"the answer").await.unwrap();
        drop(second);
        assert_eq!(rest(&mut first).await, b"the answer");
        until("it ended in order", || proxy.ends() == [1, 0, 0, 0, 0, 0]).await;
        assert_eq!((proxy.open(), out(&proxy)), (0, 0));
    }
}

#[tokio::test]
async fn a_reset_on_one_side_is_one_on_the_other() {
    for upstream_first in [false, true] {
        let (proxy, client, upstream) = connected().await;
        let (first, mut second) = if upstream_first { (upstream, client) } else { (client, upstream) };
        until("it is open", || proxy.open() == 1).await;
        first.set_zero_linger().unwrap();
        drop(first);
        is_reset(&mut second).await;
        until("it is counted", || proxy.ended(End::Reset) == 1).await;
        assert_eq!((proxy.open(), out(&proxy)), (0, 0));
    }
}

#[tokio::test]
async fn an_upstream_that_refuses_is_counted_and_the_client_told() {
    let (listener, nowhere) = listener().await;
    drop(listener);
    let (proxy, address) = proxy_to(nowhere, &Settings::new(1 << 20)).await;
    let mut client = TcpStream::connect(address).await.unwrap();
    is_reset(&mut client).await;
    until("it is counted", || proxy.ended(End::Refused) == 1).await;
    assert_eq!(proxy.open(), 0);
}

/// What a client says when an upstream answers with this instead of what it got.
async fn answered(answer: fn(&mut Vec<u8>)) -> String {
    let (listener, address) = listener().await;
    let (_proxy, address) = proxy_to(address, &Settings::new(1 << 20)).await;
    tokio::spawn(async move {
        let (mut upstream, _) = listener.accept().await.unwrap();
        let mut bytes = rest(&mut upstream).await;
        answer(&mut bytes);
        upstream.write_all(&bytes).await.unwrap();
    });
    match soon(client(address, 5).await.finish(100_000)).await {
        Ok(()) => "fine".to_owned(),
        Err(error) => error.to_string(),
    }
}

#[tokio::test]
async fn the_client_notices_every_wrong_byte() {
    assert_eq!(answered(|_| ()).await, "fine");
    assert!(answered(|bytes| bytes[77_777] ^= 1).await.contains("other bytes"));
    assert!(answered(|bytes| bytes.swap(5, 50_000)).await.contains("other bytes"));
    assert!(answered(|bytes| bytes.rotate_left(16 << 10)).await.contains("other bytes"));
    assert!(answered(|bytes| bytes.truncate(99_999)).await.contains("after 99999 bytes of 100000"));
    assert!(answered(|bytes| bytes.extend_from_within(..1)).await.contains("other bytes"));
}
