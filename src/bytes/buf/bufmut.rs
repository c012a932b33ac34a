//! `bytes::BufMut` for the unique buffer.
#![cfg(feature = "bytes")]

use bytes::BufMut;
use bytes::buf::UninitSlice;

use crate::bytes::buf::PooledBuf;

/// Appends within the capacity, which stays as it is.
///
/// # When full
/// `remaining_mut` is then 0 and `chunk_mut` empty, so that a reader such as tokio's `read_buf` reads 0 bytes, which
/// looks like the end of its input. [`reserve`](PooledBuf::reserve) before reading on. `put_slice` and its kin panic,
/// as `BufMut` says.
///
/// # Examples
///
/// ```
/// use bytes::BufMut;
/// use millpond::{BufferPool, Capacity};
///
/// let mut frame = BufferPool::shared().get(Capacity(64));
/// frame.put_u16(4);
/// frame.put_slice(b"ping");
/// assert_eq!(frame[..], *b"\0\x04ping");
/// ```
// SAFETY: `chunk_mut` lends the block behind the last byte, and `advance_mut` counts what was initialised there.
unsafe impl BufMut for PooledBuf {
    #[inline]
    fn remaining_mut(&self) -> usize {
        self.capacity() - self.len()
    }

    /// # Panics
    /// If `count` exceeds [`remaining_mut`](Self::remaining_mut).
    #[inline]
    unsafe fn advance_mut(&mut self, count: usize) {
        let room = self.remaining_mut();
        assert!(count <= room, "advanced by {count} bytes with room for {room}");
        self.advance(count);
    }

    #[inline]
    fn chunk_mut(&mut self) -> &mut UninitSlice {
        // No safe code can store uninitialised bytes through the slice, but any other.
        self.held().expose(self.capacity());
        let (len, room) = (self.len, self.remaining_mut());
        // SAFETY: `len` is within the block.
        let end = unsafe { self.ptr.add(len) };
        // SAFETY: `room` bytes of the block follow, lent exclusively.
        unsafe { UninitSlice::from_raw_parts_mut(end.as_ptr(), room) }
    }

    #[inline]
    fn put_slice(&mut self, bytes: &[u8]) {
        let room = self.remaining_mut();
        assert!(bytes.len() <= room, "{} bytes put where there is room for {room}", bytes.len());
        self.append(bytes);
    }

    #[inline]
    fn put_bytes(&mut self, value: u8, count: usize) {
        let room = self.remaining_mut();
        assert!(count <= room, "{count} bytes put where there is room for {room}");
        self.resize(self.len() + count, value);
    }
}
