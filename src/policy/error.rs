//! Why a request or a pool was refused, with the numbers.

use std::error;
use std::fmt;
use std::io;

/// Why a buffer could not be had.
///
/// # Examples
///
/// ```
/// use millpond::{BufferPool, Error};
///
/// let error = BufferPool::shared().try_get(usize::MAX).unwrap_err();
/// assert_eq!(error, Error::TooLarge { requested: usize::MAX, limit: isize::MAX as usize });
/// assert!(error.to_string().contains("at most"));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Error {
    /// More bytes than the pool's largest request.
    TooLarge {
        /// Bytes asked for.
        requested: usize,
        /// Bytes of the largest request.
        limit: usize,
    },
    /// The system has no memory, and no idle buffer would do.
    OutOfMemory {
        /// Bytes asked for.
        requested: usize,
    },
    /// The pool was closed.
    Closed,
}

impl Error {
    /// What the methods do that panic.
    #[cold]
    #[track_caller]
    pub(crate) fn panic(self) -> ! {
        panic!("{self}")
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::TooLarge { requested, limit } => {
                write!(f, "{requested} bytes requested of a pool that gives at most {limit}")
            }
            Error::OutOfMemory { requested } => {
                write!(f, "the system has no memory for a buffer of {requested} bytes, and no idle one would do")
            }
            Error::Closed => write!(f, "the pool is closed"),
        }
    }
}

impl error::Error for Error {}

impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        let kind = match error {
            Error::TooLarge { .. } => io::ErrorKind::InvalidInput,
            Error::OutOfMemory { .. } => io::ErrorKind::OutOfMemory,
            Error::Closed => io::ErrorKind::Other,
        };
        io::Error::new(kind, error)
    }
}

/// Why a pool could not be built.
///
/// # Examples
///
/// ```
/// let error = millpond::BufferPool::builder().alignment(48).build().unwrap_err();
/// assert_eq!(error.to_string(), "alignment is 48, must be a power of two, at most 2097152");
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum BuildError {
    /// An option has a value that it must not have.
    Invalid {
        /// The option.
        option: &'static str,
        /// Its value.
        value: String,
        /// What is allowed.
        allowed: String,
    },
    /// The system has no memory to prefill with.
    OutOfMemory {
        /// Bytes asked for.
        requested: usize,
    },
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BuildError::Invalid { option, value, allowed } => write!(f, "{option} is {value}, must be {allowed}"),
            BuildError::OutOfMemory { requested } => write!(f, "the system has no memory to prefill {requested} bytes"),
        }
    }
}

impl error::Error for BuildError {}
