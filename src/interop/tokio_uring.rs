//! `tokio-uring` 0.5: buffers that its runtime owns while the kernel works on them.

// The traits are unsafe: who implements them promises that bytes stay where they are.
#![allow(unsafe_code)]

use tokio_uring_05::buf::{IoBuf, IoBufMut};

use crate::{PooledBuf, PooledBytes};

// SAFETY: the bytes lie in the slot's block and do not move with the handle; those below `len` are initialised, and the
// block has `capacity` bytes.
unsafe impl IoBuf for PooledBuf {
    fn stable_ptr(&self) -> *const u8 {
        self.as_ptr()
    }

    fn bytes_init(&self) -> usize {
        self.len()
    }

    fn bytes_total(&self) -> usize {
        self.capacity()
    }
}

/// Reads go to the front of the buffer, over the bytes that are there; `slice` has them go elsewhere.
// SAFETY: as above, and the handle is unique.
unsafe impl IoBufMut for PooledBuf {
    fn stable_mut_ptr(&mut self) -> *mut u8 {
        self.lend_all().as_ptr()
    }

    /// Never shortens, as the trait says.
    unsafe fn set_init(&mut self, len: usize) {
        if self.len() < len {
            // SAFETY: the caller initialised the bytes below `len`, which are the buffer's.
            unsafe { self.set_len(len) };
        }
    }
}

// SAFETY: the bytes lie in a slot's block or live for ever, and do not move with the handle; all are initialised.
unsafe impl IoBuf for PooledBytes {
    fn stable_ptr(&self) -> *const u8 {
        self.as_ptr()
    }

    fn bytes_init(&self) -> usize {
        self.len()
    }

    fn bytes_total(&self) -> usize {
        self.len()
    }
}
