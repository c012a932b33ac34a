//! `futures-io` 0.3: reading into pooled buffers, and writing and reading what is in them.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_io_03::{AsyncBufRead, AsyncRead, AsyncWrite};

use crate::{PooledBuf, PooledBytes, PooledChain};

/// Reads once, into the room behind the last byte; how many bytes came. 0 at the reader's end.
///
/// These readers take initialised bytes alone, and see nobody else's: at the first read, what earlier users wrote into the room
/// is wiped, and what nobody wrote is initialised; further reads do neither. When there is no room, room for 8 KiB is made.
///
/// # Errors
/// The reader's; and when the buffer cannot grow, one that holds the pool's [`Error`](crate::Error). The buffer is as it was.
///
/// # Panics
/// If the reader claims to have read more bytes than it was offered.
///
/// # Examples
///
/// ```
/// use futures_io_03::AsyncRead;
/// use millpond::futures_io_03::read_buf;
/// use millpond::{BufferPool, Capacity, PooledBytes};
///
/// async fn read_all(reader: &mut (impl AsyncRead + Unpin)) -> std::io::Result<PooledBytes> {
///     let mut buf = BufferPool::shared().get(Capacity(16 << 10));
///     while read_buf(reader, &mut buf).await? > 0 {}
///     Ok(buf.freeze())
/// }
/// ```
pub fn read_buf<R: AsyncRead + Unpin + ?Sized>(
    reader: &mut R,
    buf: &mut PooledBuf,
) -> impl Future<Output = io::Result<usize>> {
    poll_fn(move |context| poll_read_buf(Pin::new(&mut *reader), context, buf))
}

/// The same for who polls.
///
/// # Errors
/// As [`read_buf`].
///
/// # Panics
/// As [`read_buf`].
pub fn poll_read_buf<R: AsyncRead + ?Sized>(
    reader: Pin<&mut R>,
    context: &mut Context<'_>,
    buf: &mut PooledBuf,
) -> Poll<io::Result<usize>> {
    buf.reserve_to_read()?;
    let read = buf.read_with(|room| match reader.poll_read(context, room) {
        Poll::Ready(read) => read.map_err(Some),
        Poll::Pending => Err(None),
    });
    match read {
        Ok(count) => Poll::Ready(Ok(count)),
        Err(Some(error)) => Poll::Ready(Err(error)),
        Err(None) => Poll::Pending,
    }
}

/// Appends, and grows like [`reserve`](PooledBuf::reserve); never pending.
///
/// # Errors
/// When the buffer cannot grow, one that holds the pool's [`Error`](crate::Error). Nothing was appended.
impl AsyncWrite for PooledBuf {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(io::Write::write(self.get_mut(), bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// From the front, as a slice is read; never pending. The buffer stays out.
impl AsyncRead for PooledBytes {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, out: &mut [u8]) -> Poll<io::Result<usize>> {
        let bytes = self.get_mut();
        let count = copy(bytes, out);
        bytes.skip(count);
        Poll::Ready(Ok(count))
    }
}

/// Offers all bytes at once.
impl AsyncBufRead for PooledBytes {
    fn poll_fill_buf(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        Poll::Ready(Ok(self.get_mut()))
    }

    fn consume(self: Pin<&mut Self>, count: usize) {
        self.get_mut().skip(count);
    }
}

/// From the front, a piece at a time; never pending. A piece goes home with its last byte.
impl AsyncRead for PooledChain {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, out: &mut [u8]) -> Poll<io::Result<usize>> {
        let chain = self.get_mut();
        let count = copy(first(chain), out);
        chain.advance(count);
        Poll::Ready(Ok(count))
    }
}

/// Offers the first piece.
impl AsyncBufRead for PooledChain {
    fn poll_fill_buf(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        Poll::Ready(Ok(first(self.get_mut())))
    }

    fn consume(self: Pin<&mut Self>, count: usize) {
        self.get_mut().advance(count);
    }
}

fn first(chain: &PooledChain) -> &[u8] {
    chain.pieces().next().map_or(&[], |first| first)
}

/// Copies as much as there is and fits; how many bytes.
fn copy(from: &[u8], to: &mut [u8]) -> usize {
    let count = from.len().min(to.len());
    to[..count].copy_from_slice(&from[..count]);
    count
}
