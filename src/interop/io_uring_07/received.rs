//! What was received: in a buffer of the pool, or copied out of it because too few were left to receive into.
#![allow(unsafe_code)] // A wipe.

use std::fmt;
use std::ops::Deref;
use std::ptr::NonNull;

use crate::bytes::buf::PooledBuf;
use crate::memory::wipe;

/// What an operation received into a [provided](super::ProvidedBuffers) buffer. Dereferences to its bytes.
#[derive(Debug)]
pub enum Received {
    /// The very buffer that the kernel wrote to, as long as what it received.
    Pooled(PooledBuf),
    /// A copy. The buffer is with the kernel again, because the pool refused others and too few were left.
    Copied(Copied),
}

impl Deref for Received {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Received::Pooled(buf) => buf,
            Received::Copied(copy) => copy,
        }
    }
}

impl AsRef<[u8]> for Received {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

/// Received bytes on the heap, outside of the pool and its budget. Wiped when dropped, if the pool
/// [wipes](crate::Zeroing::OnReturn); not locked or guarded, whatever the pool is.
pub struct Copied {
    bytes: Vec<u8>,
    wipes: bool,
}

impl Copied {
    /// None: the allocator has no memory.
    pub(super) fn of(bytes: &[u8], wipes: bool) -> Option<Self> {
        let mut copy = Vec::new();
        copy.try_reserve_exact(bytes.len()).ok()?;
        copy.extend_from_slice(bytes);
        Some(Copied { bytes: copy, wipes })
    }
}

impl Drop for Copied {
    fn drop(&mut self) {
        if self.wipes {
            let start = NonNull::from(&mut self.bytes[..]).cast();
            // SAFETY: bytes of our own.
            unsafe { wipe::wipe(start, self.bytes.len()) };
        }
    }
}

impl Deref for Copied {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl AsRef<[u8]> for Copied {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

/// Shows the length, never the content.
impl fmt::Debug for Copied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Copied").field("len", &self.bytes.len()).finish_non_exhaustive()
    }
}
