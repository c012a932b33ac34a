//! Why a checkout is refused.

use std::fmt;

/// The most bytes that may be requested.
pub const MAX_REQUEST_BYTES: usize = isize::MAX as usize;

/// The result of a checkout.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a checkout was refused.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Error {
    /// More than [`MAX_REQUEST_BYTES`], what the alignment takes included.
    RequestedLengthTooLarge {
        /// Bytes requested.
        requested: usize,
    },
    /// The alignment is not a power of two.
    InvalidAlignment {
        /// The alignment, in bytes.
        alignment: usize,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::RequestedLengthTooLarge { requested } => {
                write!(f, "{requested} bytes requested, at most {MAX_REQUEST_BYTES} are possible")
            }
            Error::InvalidAlignment { alignment } => write!(f, "alignment {alignment} is not a power of two"),
        }
    }
}

impl std::error::Error for Error {}
