//! What the proxy leads to: sends back whatever it gets.

use std::io;
use std::net::Ipv4Addr;

use tokio::io::{AsyncWriteExt, BufReader, copy_buf};
use tokio::net::{TcpListener, TcpStream};

pub(crate) async fn listen() -> io::Result<TcpListener> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await
}

/// Serves until it is dropped.
pub(crate) async fn serve(listener: TcpListener) {
    // An error of one connection ends that connection. It is the client that knows what is missing.
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(echo(stream));
    }
}

async fn echo(mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let (read, mut write) = stream.split();
    copy_buf(&mut BufReader::with_capacity(16 << 10, read), &mut write).await?;
    write.shutdown().await
}
