//! `monoio` 0.2: buffers, and lists of them, that its runtime owns while the kernel works on them.

// The traits are unsafe: who implements them promises that bytes stay where they are.
#![allow(unsafe_code)]

use std::fmt;

use libc::iovec;
use monoio_02::buf::{IoBuf, IoBufMut, IoVecBuf};

use crate::{PooledBuf, PooledBytes, PooledChain};

/// Linux refuses longer lists.
const LONGEST: usize = 1024;

// SAFETY: the bytes lie in the slot's block and do not move with the handle; those below `len` are initialised.
unsafe impl IoBuf for PooledBuf {
    fn read_ptr(&self) -> *const u8 {
        self.as_ptr()
    }

    fn bytes_init(&self) -> usize {
        self.len()
    }
}

/// Reads go to the front of the buffer, and set its length; `slice_mut` has them go elsewhere.
// SAFETY: as above; the handle is unique, and the block has `capacity` bytes.
unsafe impl IoBufMut for PooledBuf {
    fn write_ptr(&mut self) -> *mut u8 {
        self.lend_all().as_ptr()
    }

    fn bytes_total(&mut self) -> usize {
        self.capacity()
    }

    /// Sets the length, as the trait says, also to less.
    unsafe fn set_init(&mut self, len: usize) {
        // SAFETY: the caller initialised the bytes below `len`, which are the buffer's.
        unsafe { self.set_len(len) };
    }
}

// SAFETY: the bytes lie in a slot's block or live for ever, and do not move with the handle; all are initialised.
unsafe impl IoBuf for PooledBytes {
    fn read_ptr(&self) -> *const u8 {
        self.as_ptr()
    }

    fn bytes_init(&self) -> usize {
        self.len()
    }
}

/// A chain with the list of its pieces that the kernel reads: the first 1024, which is as many as Linux takes.
///
/// # Cost
/// An allocation, of 16 bytes for each piece.
///
/// # Examples
///
/// ```
/// use millpond::monoio_02::Iovecs;
/// use millpond::{BufferPool, PooledChain};
/// use monoio_02::io::AsyncWriteRent;
///
/// async fn send(stream: &mut impl AsyncWriteRent, mut chain: PooledChain) -> std::io::Result<()> {
///     while !chain.is_empty() {
///         let (written, iovecs) = stream.writev(Iovecs::from(chain)).await;
///         chain = iovecs.into_chain();
///         chain.advance(written?);
///     }
///     Ok(())
/// }
/// ```
pub struct Iovecs {
    iovecs: Vec<iovec>,
    chain: PooledChain,
}

impl Iovecs {
    /// The chain, as it was.
    #[must_use]
    pub fn into_chain(self) -> PooledChain {
        self.chain
    }
}

impl From<PooledChain> for Iovecs {
    fn from(chain: PooledChain) -> Self {
        let entry = |piece: &PooledBytes| iovec { iov_base: piece.as_ptr().cast_mut().cast(), iov_len: piece.len() };
        let iovecs = chain.pieces().take(LONGEST).map(entry).collect();
        Iovecs { iovecs, chain }
    }
}

impl fmt::Debug for Iovecs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Iovecs").field(&self.chain).finish()
    }
}

// SAFETY: the list is on the heap and is not changed; each entry is a piece of the chain, which stays beside it and whose
// bytes do not move.
unsafe impl IoVecBuf for Iovecs {
    fn read_iovec_ptr(&self) -> *const iovec {
        self.iovecs.as_ptr()
    }

    fn read_iovec_len(&self) -> usize {
        self.iovecs.len()
    }
}
