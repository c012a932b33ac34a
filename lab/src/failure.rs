//! Why a command ended without its result, and the exit status that says so.

use std::fmt;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use crate::interrupt;

/// An end without a result.
#[derive(Debug)]
pub enum Failure {
    /// The user asked for what cannot be done: status 2, as for arguments that do not parse.
    Usage(String),
    /// The user ended it: status 130.
    Interrupted,
    /// Nobody reads the output any more: nothing to say, status 141 as if SIGPIPE had ended it.
    Unread,
    /// The system refused: status 1.
    Io(io::Error),
}

/// Says something on stderr. That nobody reads it is no reason to fail.
pub fn complain(what: impl fmt::Display) {
    writeln!(io::stderr(), "millpond-lab: {what}").ok();
}

impl Failure {
    /// `path`, which the user named, cannot be used.
    pub fn path(path: &Path, error: io::Error) -> Self {
        match Self::from(error) {
            Self::Io(error) => Self::Usage(format!("{}: {error}", path.display())),
            other => other,
        }
    }

    /// Says on stderr what went wrong, where there is something to say, and gives the exit status.
    pub fn report(&self) -> ExitCode {
        if !matches!(self, Self::Unread) {
            complain(self);
        }
        match self {
            Self::Io(_) => ExitCode::FAILURE,
            Self::Usage(_) => ExitCode::from(2),
            Self::Interrupted => ExitCode::from(interrupt::EXIT_STATUS),
            Self::Unread => ExitCode::from(141),
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            _ if interrupt::requested() => Self::Interrupted,
            io::ErrorKind::BrokenPipe => Self::Unread,
            _ => Self::Io(error),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(what) => f.write_str(what),
            Self::Interrupted => f.write_str("interrupted"),
            Self::Unread => f.write_str("nobody reads the output"),
            Self::Io(error) => error.fmt(f),
        }
    }
}
