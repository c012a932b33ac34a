//! What an operation reads or writes.

use io_uring::types::{Fd, Fixed};

/// A file as `io_uring` knows it: by its descriptor, or by its place in the ring's table.
#[derive(Clone, Copy, Debug)]
pub enum File {
    /// By descriptor.
    Fd(Fd),
    /// By its place in the table of the ring.
    Fixed(Fixed),
}

impl From<Fd> for File {
    fn from(fd: Fd) -> Self {
        File::Fd(fd)
    }
}

impl From<Fixed> for File {
    fn from(fixed: Fixed) -> Self {
        File::Fixed(fixed)
    }
}
