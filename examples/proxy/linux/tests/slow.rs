//! Slow readers, and who waits for a buffer.

use std::io::{self, ErrorKind};
use std::time::Duration;

use millpond::Capacity;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::*;
use crate::linux::client::{LONGEST, message};
use crate::linux::server::End;

/// Sends a message, and reads nothing of what comes back until it is told to. Whether all of it came.
async fn stops(to: SocketAddr, number: usize, mut told: watch::Receiver<bool>) -> io::Result<bool> {
    let client = Client::connect(to, number, Some(4096), Arc::default()).await?;
    let place = client.place();
    let (mut read, mut write) = client.into_stream().into_split();
    let sent = tokio::spawn(async move {
        write.write_all(message(place, LONGEST)).await?;
        write.shutdown().await
    });
    told.wait_for(|&told| told).await.map_err(io::Error::other)?;
    let mut back = Vec::new();
    read.read_to_end(&mut back).await?;
    sent.await??;
    Ok(back == message(place, LONGEST))
}

/// Clients that exchange messages until all are done.
async fn others_get_through(to: SocketAddr) {
    let mut others: JoinSet<_> = (0..20)
        .map(|number| async move {
            let mut client = client(to, 1000 + number).await;
            for round in 0..20 {
                client.exchange(1 + 1500 * round, None).await?;
            }
            client.finish(100).await
        })
        .collect();
    while let Some(done) = soon(others.join_next()).await {
        done.unwrap().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_that_stop_keep_nobody_from_getting_through_and_lose_nothing() {
    // Nobody is asked to leave: that would take longer than the test.
    let settings = Settings { patience: LONG * 2, ..Settings::new(256 << 10) };
    let (proxy, address) = proxy(&settings).await;
    let (tell, told) = watch::channel(false);
    let mut stopped: JoinSet<_> = (0..48).map(|number| stops(address, number, told.clone())).collect();
    until("half of the budget is stuck", || proxy.stuck.is_full()).await;

    others_get_through(address).await;
    // Two threads may be on their way when it becomes full, and the system may find room for some bytes later.
    assert!((4..=10).contains(&proxy.stuck.now()), "{} are stuck", proxy.stuck.now());

    tell.send(true).unwrap();
    while let Some(ended) = soon(stopped.join_next()).await {
        assert!(ended.unwrap().unwrap(), "other bytes than were sent");
    }
    until("all have ended", || proxy.open() == 0).await;
    assert_eq!(proxy.ends(), [48 + 20, 0, 0, 0, 0, 0]);
    assert_eq!((proxy.stuck.now(), out(&proxy)), (0, 0));
    let (peak, limit) = peak_and_limit(&proxy);
    assert!((limit / 2..=limit).contains(&peak), "{peak}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_stuck_for_longest_makes_way_for_who_waits() {
    // More than there ever is room for in a socket: everybody gets stuck.
    let (chunk, patience) = (256 << 10, Duration::from_millis(100));
    let settings = Settings { chunk, send_buffer: 1, patience, ..Settings::new(4 * chunk) };
    let (proxy, address) = proxy(&settings).await;
    let (tell, told) = watch::channel(false);
    let mut stopped: JoinSet<_> = (0..12).map(|number| stops(address, number, told.clone())).collect();
    until("all buffers are stuck", || proxy.stuck.now() == 4).await;

    others_get_through(address).await;
    tell.send(true).unwrap();
    let mut cut = 0;
    while let Some(ended) = soon(stopped.join_next()).await {
        match ended.unwrap() {
            Ok(all) => assert!(all, "cut short, and looks complete"),
            Err(error) => {
                assert!([ErrorKind::ConnectionReset, ErrorKind::BrokenPipe].contains(&error.kind()), "{error}");
                cut += 1;
            }
        }
    }
    until("all have ended", || proxy.open() == 0).await;
    assert!(cut > 0);
    assert_eq!((proxy.ended(End::Slow), proxy.ended(End::Clean)), (cut, 12 + 20 - cut));
    assert!(proxy.source.pool().unwrap().0.stats().waits > 0);
    let (peak, limit) = peak_and_limit(&proxy);
    assert_eq!(peak, limit);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_gets_no_buffer_for_too_long_is_reset() {
    let (patience, tries) = (Duration::from_millis(20), 10);
    let settings = Settings { patience, tries, ..Settings::new(64 << 10) };
    let (proxy, address) = proxy(&settings).await;
    let taken = proxy.source.pool().unwrap().0.get_many([Capacity(settings.chunk); 4]);

    let error = soon(client(address, 1).await.exchange(100, None)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    until("it is counted", || proxy.ended(End::NoMemory) == 1).await;

    let mut waiting = client(address, 2).await;
    let (exchanged, ()) = tokio::join!(soon(waiting.exchange(100, None)), async {
        sleep(patience * 3).await;
        drop(taken);
    });
    exchanged.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_connections_hold_no_buffer() {
    let settings = Settings { decay: Duration::from_millis(50), ..Settings::new(1 << 20) };
    let (proxy, address) = proxy(&settings).await;
    let mut clients = Vec::new();
    for number in 0..100 {
        let mut client = client(address, number).await;
        soon(client.exchange(50_000, None)).await.unwrap();
        clients.push(client);
    }
    until("no buffer is out", || out(&proxy) == 0).await;
    assert_eq!(proxy.open(), 100);
    let budget = proxy.source.pool().unwrap().1;
    until("the memory went back", || budget.used() == 0).await;
    for client in clients {
        soon(client.finish(50_000)).await.unwrap();
    }
    until("all have ended in order", || proxy.ended(End::Clean) == 100).await;
}
