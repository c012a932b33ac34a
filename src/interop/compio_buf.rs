//! `compio-buf` 0.8: buffers that its runtime owns while the system works on them.

// The traits are safe, one of their functions is not.
#![allow(unsafe_code)]

use std::mem::MaybeUninit;
use std::ops::RangeBounds;

use compio_buf_08::{IoBuf, IoBufMut, IoVectoredBuf, ReserveError, SetLen};

use crate::{PooledBuf, PooledBytes, PooledChain};

impl IoBuf for PooledBuf {
    fn as_init(&self) -> &[u8] {
        self
    }
}

impl SetLen for PooledBuf {
    unsafe fn set_len(&mut self, len: usize) {
        // SAFETY: the caller initialised what is behind the old length; what is below it is anyhow.
        unsafe { PooledBuf::set_len(self, len) };
    }
}

/// Reads go to the front of the buffer, over the bytes that are there; `slice` and `uninit` have them go elsewhere.
///
/// As with `Vec<u8>`, the slice that `as_uninit` lends contains the bytes below the length, and storing uninitialised ones
/// there breaks the trait's contract.
impl IoBufMut for PooledBuf {
    fn as_uninit(&mut self) -> &mut [MaybeUninit<u8>] {
        let (block, capacity) = (self.lend_all(), self.capacity());
        // SAFETY: the whole block, of any content, lent exclusively.
        unsafe { std::slice::from_raw_parts_mut(block.as_ptr().cast(), capacity) }
    }

    /// Within the whole block, whose room is initialised for it: nobody's bytes come to light.
    fn copy_within<R: RangeBounds<usize>>(&mut self, src: R, dest: usize) {
        self.own_room();
        self.as_uninit().copy_within(src, dest);
    }

    /// Moves to a larger size class where it must, like [`try_reserve`](PooledBuf::try_reserve).
    fn reserve(&mut self, additional: usize) -> Result<(), ReserveError> {
        self.try_reserve(additional).map_err(|error| ReserveError::ReserveFailed(Box::new(error)))
    }
}

impl IoBuf for PooledBytes {
    fn as_init(&self) -> &[u8] {
        self
    }
}

impl IoVectoredBuf for PooledChain {
    fn iter_slice(&self) -> impl Iterator<Item = &[u8]> {
        self.pieces().map(|piece| &piece[..])
    }

    fn total_len(&self) -> usize {
        self.len()
    }
}
