//! Why a request or a pool was refused, with the numbers.

use std::error;
use std::fmt;
use std::io;
use std::time::Duration;

use crate::cause::Cause;
use crate::memory::Denial;
use crate::memory::options::{MemoryOption, OsReason};
use crate::memory::source::SourceError;

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
#[derive(Clone, PartialEq, Eq, Debug)]
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
    /// A budget of the pool would be exceeded, and nothing idle could give way.
    OverBudget {
        /// Bytes asked for, as the size class rounds them.
        requested: usize,
        /// Bytes that the budget had left.
        available: usize,
        /// Bytes that it may have in all.
        limit: usize,
    },
    /// Others wait in line for the memory that this request would need.
    Queued {
        /// Bytes asked for, as the size class rounds them.
        requested: usize,
    },
    /// More than a budget's limit, so that no wait would help. Bytes as the size classes round them; of a pool with
    /// `max_objects`, values.
    NeverFits {
        /// What was asked for.
        requested: usize,
        /// What there may be in all.
        limit: usize,
    },
    /// The time was up before the request could be served.
    TimedOut {
        /// Bytes asked for; of a pool of values, how many.
        requested: usize,
        /// How long it waited.
        waited: Duration,
    },
    /// As many values are out as the pool may have.
    Exhausted {
        /// The values that there may be.
        limit: usize,
    },
    /// The system refuses an option of the pool's memory that is [required](crate::Need::Require).
    Refused {
        /// The option.
        option: MemoryOption,
        /// Bytes asked of the system, often for many buffers.
        requested: usize,
        /// The system's reason.
        reason: OsReason,
    },
    /// The pool's [`MemorySource`](crate::MemorySource) gave no memory, and no idle buffer would do.
    Source {
        /// Bytes asked of the source, often for many buffers.
        requested: usize,
        /// What the source says.
        error: SourceError,
    },
    /// A pool's `try_create` failed.
    Create(CreateError),
    /// The pool was closed.
    Closed,
}

impl Error {
    /// Whether the request could be served once others give something back.
    pub(crate) fn is_for_now(&self) -> bool {
        matches!(self, Error::OverBudget { .. } | Error::Queued { .. } | Error::Exhausted { .. })
    }

    /// Of a request for so many bytes.
    pub(crate) fn of_denial(denial: Denial, requested: usize) -> Self {
        match denial {
            Denial::NoMemory => Error::OutOfMemory { requested },
            Denial::Option { option, bytes, reason } => Error::Refused { option, requested: bytes, reason },
            Denial::Source { bytes, error } => Error::Source { requested: bytes, error },
        }
    }

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
            Error::OverBudget { requested, available, limit } => {
                write!(f, "{requested} bytes requested with {available} left of a budget of {limit} bytes")
            }
            Error::Queued { requested } => {
                write!(f, "{requested} bytes requested while others wait in line for memory")
            }
            Error::NeverFits { requested, limit } => {
                write!(f, "{requested} requested at once of a budget that never has more than {limit}")
            }
            Error::TimedOut { requested, waited } => {
                write!(f, "{requested} requested, and not to be had within {waited:?}")
            }
            Error::Exhausted { limit } => write!(f, "all {limit} values that the pool may have are in use"),
            Error::Refused { option, requested, reason } => write_refusal(f, *option, *requested, *reason),
            Error::Source { requested, error } => write_denial(f, *requested, error),
            Error::Create(error) => write!(f, "a new value could not be made: {error}"),
            Error::Closed => write!(f, "the pool is closed"),
        }
    }
}

impl error::Error for Error {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            Error::Create(error) => Some(error.get_ref()),
            Error::Source { error, .. } => Some(error.get_ref()),
            _ => None,
        }
    }
}

fn write_refusal(f: &mut fmt::Formatter<'_>, option: MemoryOption, bytes: usize, reason: OsReason) -> fmt::Result {
    write!(f, "the system refuses `{option}`, which is required, for {bytes} bytes: {reason}")
}

fn write_denial(f: &mut fmt::Formatter<'_>, bytes: usize, error: &SourceError) -> fmt::Result {
    write!(f, "the pool's source gives no memory of {bytes} bytes: {error}")
}

/// What a pool's [`try_create`](crate::PoolBuilder::try_create) failed with. Equal to its clones alone.
#[derive(Clone, PartialEq, Eq)]
pub struct CreateError(Cause);

impl CreateError {
    pub(crate) fn new(error: Box<dyn error::Error + Send + Sync>) -> Self {
        CreateError(Cause::new(error))
    }

    /// The error itself, which can be downcast.
    ///
    /// # Examples
    ///
    /// ```
    /// use millpond::{Error, Pool};
    ///
    /// let parse = || "four".parse::<u32>().map(|count| vec![0_u8; count as usize]);
    /// let pool = Pool::<Vec<u8>>::builder().try_create(parse).build()?;
    /// let Error::Create(error) = pool.try_get().unwrap_err() else { unreachable!() };
    /// assert!(error.get_ref().is::<std::num::ParseIntError>());
    /// # Ok::<(), millpond::BuildError>(())
    /// ```
    #[must_use]
    pub fn get_ref(&self) -> &(dyn error::Error + Send + Sync + 'static) {
        self.0.get_ref()
    }
}

impl fmt::Debug for CreateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl fmt::Display for CreateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        let kind = match error {
            Error::TooLarge { .. } | Error::NeverFits { .. } => io::ErrorKind::InvalidInput,
            Error::OutOfMemory { .. } | Error::OverBudget { .. } | Error::Source { .. } => io::ErrorKind::OutOfMemory,
            Error::Queued { .. } => io::ErrorKind::WouldBlock,
            Error::TimedOut { .. } => io::ErrorKind::TimedOut,
            Error::Refused { reason, .. } => return refused(reason, error),
            Error::Exhausted { .. } | Error::Create(_) | Error::Closed => io::ErrorKind::Other,
        };
        io::Error::new(kind, error)
    }
}

/// An error of the kind that the system's reason has.
fn refused(reason: OsReason, error: Error) -> io::Error {
    let kind = reason.code().map_or(io::ErrorKind::Unsupported, |code| io::Error::from_raw_os_error(code).kind());
    io::Error::new(kind, error)
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
    /// A budget cannot give what the pool is to be prefilled with, or what is to be reserved.
    OverBudget {
        /// Bytes asked for.
        requested: usize,
        /// Bytes that the budget had left.
        available: usize,
        /// Bytes that it may have in all.
        limit: usize,
    },
    /// The system refuses an option of the memory that is [required](crate::Need::Require).
    Refused {
        /// The option.
        option: MemoryOption,
        /// Bytes asked of the system.
        requested: usize,
        /// The system's reason.
        reason: OsReason,
    },
    /// The pool's [`MemorySource`](crate::MemorySource) gives no memory.
    Source {
        /// Bytes asked of the source.
        requested: usize,
        /// What the source says.
        error: SourceError,
    },
    /// A pool's `try_create` failed while it was prefilled.
    Create(CreateError),
}

impl BuildError {
    /// Of a request for so many bytes.
    pub(crate) fn of_denial(denial: Denial, requested: usize) -> Self {
        match denial {
            Denial::NoMemory => BuildError::OutOfMemory { requested },
            Denial::Option { option, bytes, reason } => BuildError::Refused { option, requested: bytes, reason },
            Denial::Source { bytes, error } => BuildError::Source { requested: bytes, error },
        }
    }

    pub(crate) fn invalid(option: &'static str, value: impl ToString, allowed: String) -> Self {
        BuildError::Invalid { option, value: value.to_string(), allowed }
    }
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BuildError::Invalid { option, value, allowed } => write!(f, "{option} is {value}, must be {allowed}"),
            BuildError::OutOfMemory { requested } => write!(f, "the system has no memory to prefill {requested} bytes"),
            BuildError::OverBudget { requested, available, limit } => {
                write!(f, "{requested} bytes needed with {available} left of a budget of {limit} bytes")
            }
            BuildError::Refused { option, requested, reason } => write_refusal(f, *option, *requested, *reason),
            BuildError::Source { requested, error } => write_denial(f, *requested, error),
            BuildError::Create(error) => write!(f, "a value to prefill could not be made: {error}"),
        }
    }
}

impl error::Error for BuildError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            BuildError::Create(error) => Some(error.get_ref()),
            BuildError::Source { error, .. } => Some(error.get_ref()),
            _ => None,
        }
    }
}
