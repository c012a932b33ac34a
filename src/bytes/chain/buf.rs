//! `bytes::Buf` for chains.

use std::io::IoSlice;

use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::bytes::chain::PooledChain;

/// The bytes of all pieces, from the first on.
///
/// # Examples
///
/// ```
/// use bytes::Buf;
/// use millpond::{BufferPool, PooledChain};
///
/// // A number that lies across two pieces.
/// let mut chain = PooledChain::copy_from(BufferPool::shared(), b"\x00\x00\x01\x02", 3);
/// assert_eq!((chain.chunk().len(), chain.get_u32(), chain.remaining()), (3, 0x102, 0));
/// ```
impl Buf for PooledChain {
    fn remaining(&self) -> usize {
        self.len()
    }

    fn chunk(&self) -> &[u8] {
        self.pieces.front().map_or(&[], |first| first)
    }

    fn chunks_vectored<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        self.as_io_slices(slices)
    }

    /// # Panics
    /// If there are fewer bytes.
    #[track_caller]
    fn advance(&mut self, count: usize) {
        PooledChain::advance(self, count);
    }

    /// Shares the buffer where all bytes lie in the first piece. Otherwise copies them.
    ///
    /// # Panics
    /// If there are fewer bytes.
    #[track_caller]
    fn copy_to_bytes(&mut self, count: usize) -> Bytes {
        let head = self.split_to(count);
        if head.pieces.len() <= 1 {
            return head.into_iter().next().map_or_else(Bytes::new, Bytes::from);
        }
        let mut bytes = BytesMut::with_capacity(count);
        bytes.put(head);
        bytes.freeze()
    }
}
