//! A buffer as one word, for places that keep nothing else: `user_data` of io_uring, a descriptor of a device.
#![allow(unsafe_code)] // Handles are taken apart and put together.

use std::num::NonZeroU64;
use std::ptr;

use crate::bytes::buf::{PooledBuf, taken};
use crate::engine::slot::{SLOT_ALIGN, SlotPtr};

/// A [`PooledBuf`] in 64 bits, until it is turned [back](PooledBuf::from_raw).
///
/// The buffer is out meanwhile, with its length and its bytes, also when the pool is closed or dropped; and if it is
/// never turned back, for ever. The lowest [`TAG_BITS`](Self::TAG_BITS) bits are zero, and free for tags of the user's,
/// who takes them off again.
///
/// # Examples
///
/// ```
/// use millpond::{BufferPool, PooledBuf, RawBuf};
///
/// let pool = BufferPool::new();
/// let user_data = pool.copy_from(b"to be read").into_raw().as_u64();
/// let raw = RawBuf::from_u64(user_data).unwrap();
/// // SAFETY: of a buffer that was turned into it above, and once.
/// let buf = unsafe { PooledBuf::from_raw(raw) };
/// assert_eq!(buf[..], *b"to be read");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(transparent)]
pub struct RawBuf(NonZeroU64);

impl RawBuf {
    /// How many of the lowest bits are zero.
    pub const TAG_BITS: u32 = SLOT_ALIGN.trailing_zeros();

    /// The number.
    #[must_use]
    pub fn as_u64(self) -> u64 {
        self.0.get()
    }

    /// What a number stands for that came from [`as_u64`](Self::as_u64), its tags taken off; none for 0.
    #[must_use]
    pub fn from_u64(number: u64) -> Option<Self> {
        NonZeroU64::new(number).map(RawBuf)
    }
}

impl PooledBuf {
    /// Takes the buffer apart, into one word.
    ///
    /// # Cost
    /// A few stores.
    ///
    /// # Examples
    ///
    /// See [`RawBuf`].
    #[must_use = "the buffer stays out until it is turned back"]
    pub fn into_raw(self) -> RawBuf {
        let len = self.len();
        let slot = SlotPtr::new(self.into_taken().slot());
        // SAFETY: taken out of the handle, so held, and from now on by the number.
        unsafe { slot.note(len) };
        let addr = slot.as_ptr().expose_provenance() as u64;
        RawBuf(NonZeroU64::new(addr).expect("a slot has an address"))
    }

    /// Puts a buffer together again that was taken apart, on any thread.
    ///
    /// # Safety
    /// `raw` came from [`into_raw`](Self::into_raw) in this process, of a buffer that was not turned back since then: copies of
    /// it are worth one buffer.
    ///
    /// # Examples
    ///
    /// See [`RawBuf`].
    #[must_use]
    pub unsafe fn from_raw(raw: RawBuf) -> Self {
        let addr = raw.as_u64() as usize;
        debug_assert!(addr % SLOT_ALIGN == 0, "the tags of {addr:#x} were not taken off");
        let head = ptr::NonNull::new(ptr::with_exposed_provenance_mut(addr)).expect("a number that is not 0");
        let slot = SlotPtr::from_raw(head);
        // SAFETY: the caller's: the number held it.
        let len = unsafe { slot.noted() };
        // SAFETY: as above, and handed over.
        let taken = unsafe { taken::held_again(slot) };
        // SAFETY: as many bytes as there were.
        unsafe { PooledBuf::from_taken(taken, len) }
    }
}
