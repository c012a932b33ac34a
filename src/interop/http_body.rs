//! `http-body` 1: frozen bytes and chains as the bodies of messages.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use http_body::{Body, Frame, SizeHint};

use crate::{PooledBytes, PooledChain};

type Polled = Poll<Option<Result<Frame<PooledBytes>, Infallible>>>;

/// One frame with all of the bytes, without a copy; none if there are no bytes.
impl Body for PooledBytes {
    type Data = PooledBytes;
    type Error = Infallible;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Polled {
        let bytes = std::mem::take(self.get_mut());
        Poll::Ready((!bytes.is_empty()).then(|| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.len() as u64)
    }
}

/// A frame for each piece, without a copy. A piece goes home when whoever writes the frame is done with it, so a large
/// body gives its memory back as it is sent.
///
/// # Examples
///
/// ```
/// use http_body::Body;
/// use millpond::{BufferPool, PooledChain};
///
/// let page = PooledChain::copy_from(BufferPool::shared(), &[b'-'; 100_000], 16 << 10);
/// assert_eq!(page.size_hint().exact(), Some(100_000));
/// ```
impl Body for PooledChain {
    type Data = PooledBytes;
    type Error = Infallible;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Polled {
        Poll::Ready(self.get_mut().pop_front().map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.len() as u64)
    }
}
