//! Ctrl-C and SIGTERM as a request to end: work looks at the request between two chunks, unwinds as it would on an
//! error, and so removes what it made.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

static REQUESTED: AtomicBool = AtomicBool::new(false);

/// The shell's status for a program that Ctrl-C ended: 128 and the number of SIGINT.
pub const EXIT_STATUS: u8 = 130;

/// From here on signals are requests.
pub fn listen() -> io::Result<()> {
    ctrlc::set_handler(|| REQUESTED.store(true, Ordering::Relaxed)).map_err(io::Error::other)
}

/// Whether the user asked to end.
pub fn requested() -> bool {
    // Relaxed: nothing is published with the flag, it only has to be seen soon.
    REQUESTED.load(Ordering::Relaxed)
}

/// An error when the user asked to end.
pub fn check() -> io::Result<()> {
    if requested() { Err(io::Error::new(io::ErrorKind::Interrupted, "interrupted")) } else { Ok(()) }
}
