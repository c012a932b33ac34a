//! One direction of a connection: what one side sends is written to the other.

use std::io::{self, ErrorKind};
use std::pin::pin;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::io::{AsyncWriteExt, Interest};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};

use crate::linux::settings::Settings;
use crate::linux::source::Source;
use crate::linux::stuck::Stuck;

/// Why a direction ended early.
#[derive(Debug)]
pub(crate) enum Fault {
    Io(io::Error),
    /// Its reader did not read, and another needed the buffer.
    Slow,
    /// No buffer for too long.
    NoMemory,
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Fault::Io(error)
    }
}

/// Copies until the sender has no more to say, and tells the receiver so.
pub(crate) async fn pipe<S: Source>(
    source: &S,
    settings: &Settings,
    stuck: &Stuck,
    from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
) -> Result<(), Fault> {
    let mut kept = None;
    loop {
        // An idle connection waits here, and has no buffer.
        from.readable().await?;
        if stuck.is_full() {
            room(to.as_ref()).await?;
        }
        let mut buf = source.take(&mut kept, settings, stuck).await?;
        match from.try_read_buf(&mut buf) {
            Ok(0) => break,
            Ok(_) => write(stuck, to.as_ref(), &buf).await?,
            // What made it readable was read before.
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error.into()),
        }
        source.give_back(buf, &mut kept);
    }
    Ok(to.shutdown().await?)
}

/// Waits until the system has room for what is written: on Linux a third of the socket's, and so more than a buffer.
///
/// The runtime remembers that there was room, until a write finds none. So the system is asked again, and asking has it
/// tell the runtime when there is.
async fn room(to: &TcpStream) -> io::Result<()> {
    loop {
        to.writable().await?;
        match to.try_io(Interest::WRITABLE, || has_room(to)) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            result => return result,
        }
    }
}

fn has_room(to: &TcpStream) -> io::Result<()> {
    let mut sockets = [PollFd::new(to, PollFlags::OUT)];
    match poll(&mut sockets, Some(&Timespec::default()))? {
        0 => Err(ErrorKind::WouldBlock.into()),
        _ => Ok(()),
    }
}

/// Mostly all of it goes at once.
async fn write(stuck: &Stuck, to: &TcpStream, bytes: &[u8]) -> Result<(), Fault> {
    match written(to, bytes)? {
        [] => Ok(()),
        rest => write_rest(stuck, to, rest).await,
    }
}

/// The system had no room: the reader does not read as fast as the sender sends.
async fn write_rest(stuck: &Stuck, to: &TcpStream, mut rest: &[u8]) -> Result<(), Fault> {
    let place = stuck.enter();
    let mut leave = pin!(place.asked_to_leave());
    while !rest.is_empty() {
        tokio::select! {
            ready = to.writable() => ready?,
            () = &mut leave => return Err(Fault::Slow),
        }
        rest = written(to, rest)?;
    }
    Ok(())
}

/// Writes what there is room for. What is left.
fn written<'a>(to: &TcpStream, bytes: &'a [u8]) -> io::Result<&'a [u8]> {
    match to.try_write(bytes) {
        Ok(count) => Ok(&bytes[count..]),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(bytes),
        Err(error) => Err(error),
    }
}
