//! An error of the user's, inside one of ours.

use std::error::Error;
use std::fmt;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::Arc;

/// Equal to its clones alone.
#[derive(Clone)]
pub(crate) struct Cause(Arc<dyn Error + Send + Sync>);

// An error that is shared is not changed.
impl UnwindSafe for Cause {}
impl RefUnwindSafe for Cause {}

impl Cause {
    pub(crate) fn new(error: Box<dyn Error + Send + Sync>) -> Self {
        Cause(error.into())
    }

    pub(crate) fn get_ref(&self) -> &(dyn Error + Send + Sync + 'static) {
        &*self.0
    }
}

impl PartialEq for Cause {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Cause {}

impl fmt::Debug for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}
