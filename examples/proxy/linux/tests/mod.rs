//! Tests: one proxy in this process, or a whole run with processes of its own.

mod ends;
mod slow;
mod whole;

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::{sleep, timeout};

use crate::linux::client::Client;
use crate::linux::server::Proxy;
use crate::linux::settings::Settings;
use crate::linux::source::{Pooled, Source};
use crate::linux::upstream;

/// No test waits longer for anything.
const LONG: Duration = Duration::from_secs(15);

/// A proxy with a pool, and where it listens.
async fn proxy_to(upstream: SocketAddr, settings: &Settings) -> (Arc<Proxy<Pooled>>, SocketAddr) {
    let proxy = Arc::new(Proxy::new(Pooled::new(settings).unwrap(), settings.clone(), upstream));
    let listener = proxy.listen().unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(proxy.clone().serve(listener));
    (proxy, address)
}

/// The same, to an echo.
async fn proxy(settings: &Settings) -> (Arc<Proxy<Pooled>>, SocketAddr) {
    let listener = upstream::listen().await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(upstream::serve(listener));
    proxy_to(address, settings).await
}

async fn client(to: SocketAddr, number: usize) -> Client {
    Client::connect(to, number, None, Arc::default()).await.unwrap()
}

/// What comes of it, before it takes too long.
async fn soon<T>(what: impl Future<Output = T>) -> T {
    timeout(LONG, what).await.expect("it takes too long")
}

/// Waits until it is so.
async fn until(what: &str, so: impl Fn() -> bool) {
    let begun = Instant::now();
    while !so() {
        assert!(begun.elapsed() < LONG, "not in time: {what}");
        sleep(Duration::from_millis(1)).await;
    }
}

/// Bytes of buffers that are out.
fn out(proxy: &Proxy<Pooled>) -> u64 {
    proxy.source.pool().unwrap().0.stats().outstanding
}

/// The most bytes that were ever charged, and those that may be.
fn peak_and_limit(proxy: &Proxy<Pooled>) -> (usize, usize) {
    let budget = proxy.source.pool().unwrap().1;
    (budget.peak(), budget.limit())
}
