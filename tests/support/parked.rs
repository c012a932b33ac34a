//! A thread that did something and sleeps, with what its caches hold.

use std::sync::mpsc;
use std::thread::{self, JoinHandle};

/// Asleep from when this is made until it is dropped.
pub(crate) struct Parked {
    wake: Option<mpsc::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Parked {
    pub(crate) fn after(work: impl FnOnce() + Send + 'static) -> Self {
        let (done, is_done) = mpsc::channel();
        let (wake, sleep) = mpsc::channel::<()>();
        let thread = thread::spawn(move || {
            work();
            done.send(()).unwrap();
            assert!(sleep.recv().is_err());
        });
        is_done.recv().unwrap();
        Parked { wake: Some(wake), thread: Some(thread) }
    }
}

impl Drop for Parked {
    fn drop(&mut self) {
        self.wake.take();
        let ended = self.thread.take().map(JoinHandle::join);
        assert!(thread::panicking() || matches!(ended, Some(Ok(()))));
    }
}
