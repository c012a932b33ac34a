//! Requests polled by hand, each with a waker that counts how often it was called.
#![allow(dead_code, reason = "no test uses all of it")]

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::task::{Context, Poll, Wake, Waker};

#[derive(Debug, Default)]
pub(crate) struct Bell(AtomicUsize);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, SeqCst);
    }
}

/// A future that has been polled, in vain.
pub(crate) struct Waiting<F> {
    future: F,
    bell: Arc<Bell>,
}

impl<F: Future + Unpin> Waiting<F> {
    /// Polls a future for the first time.
    pub(crate) fn poll_first(mut future: F) -> Result<F::Output, Self> {
        let bell = Arc::new(Bell::default());
        match poll(&mut future, &bell) {
            Poll::Ready(output) => Ok(output),
            Poll::Pending => Err(Waiting { future, bell }),
        }
    }

    /// Polls a future that cannot be ready yet.
    #[track_caller]
    pub(crate) fn stand(future: F) -> Self {
        match Self::poll_first(future) {
            Err(waiting) => waiting,
            Ok(_) => panic!("it need not wait"),
        }
    }

    pub(crate) fn poll(&mut self) -> Poll<F::Output> {
        poll(&mut self.future, &self.bell)
    }

    /// How often its waker was called.
    pub(crate) fn rung(&self) -> usize {
        self.bell.0.load(SeqCst)
    }

    /// What it is ready with, if it has been woken, as it must not be otherwise.
    #[track_caller]
    pub(crate) fn woken(&mut self) -> Option<F::Output> {
        match (self.rung(), self.poll()) {
            (0, Poll::Pending) => None,
            (1, Poll::Ready(output)) => Some(output),
            (rung, polled) => panic!("woken {rung} times, ready: {}", polled.is_ready()),
        }
    }
}

impl<F: Future<Output = Result<H, millpond::Error>> + Unpin, H> Waiting<F> {
    /// What it was woken for.
    #[track_caller]
    pub(crate) fn served(mut self) -> H {
        match self.woken() {
            Some(Ok(handle)) => handle,
            Some(Err(error)) => panic!("{error}"),
            None => panic!("nobody woke it"),
        }
    }

    /// Why it failed, when it was woken to be told.
    #[track_caller]
    pub(crate) fn refused(mut self) -> millpond::Error {
        match self.woken() {
            Some(Err(error)) => error,
            Some(Ok(_)) => panic!("it was served"),
            None => panic!("nobody woke it"),
        }
    }
}

fn poll<F: Future + Unpin>(future: &mut F, bell: &Arc<Bell>) -> Poll<F::Output> {
    Pin::new(future).poll(&mut Context::from_waker(&Waker::from(bell.clone())))
}
