//! What could not be unregistered, and why.

use std::error::Error;
use std::fmt;
use std::io;

/// Why [`FixedBuffers`](super::FixedBuffers) or [`ProvidedBuffers`](super::ProvidedBuffers) are registered still, and
/// they themselves, as they were.
pub struct StillRegistered<T> {
    /// Apart, so that a result is small.
    kept: Box<T>,
    reason: io::Error,
}

impl<T> StillRegistered<T> {
    pub(super) fn new(kept: T, reason: io::Error) -> Self {
        StillRegistered { kept: Box::new(kept), reason }
    }

    /// What is registered.
    #[must_use]
    pub fn into_inner(self) -> T {
        *self.kept
    }

    /// The system's reason; of kind [`ResourceBusy`](io::ErrorKind::ResourceBusy) if operations are in flight.
    #[must_use]
    pub fn reason(&self) -> &io::Error {
        &self.reason
    }
}

impl<T> fmt::Debug for StillRegistered<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StillRegistered").field("reason", &self.reason).finish_non_exhaustive()
    }
}

impl<T> fmt::Display for StillRegistered<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "buffers stay registered: {}", self.reason)
    }
}

impl<T> Error for StillRegistered<T> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.reason)
    }
}
