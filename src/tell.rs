//! Telling subscribers of `tracing` of something, with the feature `tracing-01`.
//!
//! A subscriber is user code: it may take locks, allocate, panic, and use pools. So it is called where no lock is held, no
//! magazine is in the middle of an operation, and allocating is allowed. Its panics end here. What happens in pools that it
//! uses is not told, or a subscriber that takes a buffer for each event would never come to an end.

use std::sync::Arc;

/// What a pool is called, if it has a name.
#[derive(Clone, Debug, Default)]
pub struct Name(Option<Arc<str>>);

impl Name {
    pub(crate) fn new(name: Option<&str>) -> Self {
        Name(name.map(Arc::from))
    }

    pub(crate) fn get(&self) -> Option<&str> {
        self.0.as_deref()
    }
}

#[cfg(feature = "tracing-01")]
mod told {
    use std::cell::Cell;

    use crate::panics;

    thread_local! {
        /// Whether this thread is in a subscriber.
        static IS_TELLING: Cell<bool> = const { Cell::new(false) };
    }

    /// Calls subscribers, unless this thread is in one of them.
    pub(crate) fn tell(event: impl FnOnce()) {
        if IS_TELLING.replace(true) {
            return;
        }
        panics::isolate(event);
        IS_TELLING.set(false);
    }
}

#[cfg(feature = "tracing-01")]
pub(crate) use told::tell;
