//! The proxy: accepts connections, opens one to the upstream for each, and counts how they end.

use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::{sleep, timeout};

use crate::linux::pipe::{Fault, pipe};
use crate::linux::settings::Settings;
use crate::linux::source::Source;
use crate::linux::stuck::Stuck;

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum End {
    /// Both sides had no more to say.
    Clean,
    /// The upstream could not be reached.
    Refused,
    /// One side reset it.
    Reset,
    /// Somebody did not read, and another needed the buffer.
    Slow,
    /// No buffer for too long.
    NoMemory,
    /// Another error, also in accepting it.
    Other,
}

/// How many ends there are.
pub(crate) const ENDS: usize = 6;

/// A proxy to one upstream.
pub(crate) struct Proxy<S> {
    pub(crate) source: S,
    pub(crate) stuck: Stuck,
    settings: Settings,
    upstream: SocketAddr,
    open: AtomicU64,
    ends: [AtomicU64; ENDS],
}

impl<S: Source> Proxy<S> {
    pub(crate) fn new(source: S, settings: Settings, upstream: SocketAddr) -> Self {
        // The other half is for those that hand theirs back at once.
        let stuck = Stuck::new(source.most(&settings) / 2, settings.patience);
        Proxy { source, stuck, settings, upstream, open: AtomicU64::new(0), ends: Default::default() }
    }

    /// Connections that have their upstream.
    pub(crate) fn open(&self) -> u64 {
        self.open.load(Relaxed)
    }

    /// How many ended in each way.
    pub(crate) fn ends(&self) -> [u64; ENDS] {
        self.ends.each_ref().map(|count| count.load(Relaxed))
    }

    #[cfg(test)]
    pub(crate) fn ended(&self, end: End) -> u64 {
        self.ends()[end as usize]
    }

    pub(crate) fn listen(&self) -> io::Result<TcpListener> {
        let socket = TcpSocket::new_v4()?;
        // What is accepted inherits it.
        socket.set_send_buffer_size(self.settings.send_buffer)?;
        socket.bind((Ipv4Addr::LOCALHOST, 0).into())?;
        socket.listen(1024)
    }

    /// Serves until it is dropped.
    pub(crate) async fn serve(self: Arc<Self>, listener: TcpListener) {
        loop {
            match listener.accept().await {
                Ok((client, _)) => {
                    let proxy = self.clone();
                    tokio::spawn(async move { proxy.connection(client).await });
                }
                Err(_) => {
                    self.count(End::Other);
                    // No file descriptor is free, perhaps: that lasts.
                    sleep(Duration::from_millis(10)).await;
                }
            }
        }
    }

    async fn connection(&self, client: TcpStream) {
        let end = match self.connect().await {
            Ok(upstream) => {
                self.open.fetch_add(1, Relaxed);
                let end = self.both(client, upstream).await;
                self.open.fetch_sub(1, Relaxed);
                end
            }
            Err(_) => {
                reset(&client);
                End::Refused
            }
        };
        self.count(end);
    }

    async fn connect(&self) -> io::Result<TcpStream> {
        let socket = TcpSocket::new_v4()?;
        socket.set_send_buffer_size(self.settings.send_buffer)?;
        timeout(self.settings.connect, socket.connect(self.upstream)).await?
    }

    /// Both directions at once, until both have ended, or one with an error.
    async fn both(&self, mut client: TcpStream, mut upstream: TcpStream) -> End {
        let result = self.copied(&mut client, &mut upstream).await;
        if result.is_err() {
            // What was cut short must not look complete.
            reset(&client);
            reset(&upstream);
        }
        match result {
            Ok(()) => End::Clean,
            Err(Fault::Slow) => End::Slow,
            Err(Fault::NoMemory) => End::NoMemory,
            Err(Fault::Io(error)) => match error.kind() {
                ErrorKind::ConnectionReset | ErrorKind::BrokenPipe | ErrorKind::NotConnected => End::Reset,
                _ => End::Other,
            },
        }
    }

    async fn copied(&self, client: &mut TcpStream, upstream: &mut TcpStream) -> Result<(), Fault> {
        client.set_nodelay(true)?;
        upstream.set_nodelay(true)?;
        let (from_client, to_client) = client.split();
        let (from_upstream, to_upstream) = upstream.split();
        let (source, settings, stuck) = (&self.source, &self.settings, &self.stuck);
        tokio::try_join!(
            pipe(source, settings, stuck, from_client, to_upstream),
            pipe(source, settings, stuck, from_upstream, to_client),
        )?;
        Ok(())
    }

    fn count(&self, end: End) {
        self.ends[end as usize].fetch_add(1, Relaxed);
    }
}

/// Has both ends know, when it is dropped, that it was not ended in order.
fn reset(stream: &TcpStream) {
    // It fails on a socket that is none any more.
    drop(stream.set_zero_linger());
}
