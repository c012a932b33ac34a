//! The unique byte buffer: what it holds, how it is exposed, and how it goes home.

// A buffer's bytes are raw memory that it owns through its slot.
#![allow(unsafe_code)]

mod bufmut;
mod held;
pub(in crate::bytes) mod taken;
mod write;

use std::borrow::{Borrow, BorrowMut};
use std::fmt;
use std::hash::{Hash, Hasher};
use std::mem::{ManuallyDrop, MaybeUninit};
use std::ops::{Deref, DerefMut};
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::ptr::NonNull;

use crate::bytes::frozen::PooledBytes;
use crate::bytes::pool::ByteCore;
use crate::bytes::request::Request;
use crate::engine::lanes::Lane;
use crate::engine::slot::{Slot, SlotPtr};
use crate::engine::track::Checkout;
use crate::memory::Want;
use crate::policy::error::Error;

pub(crate) use held::Held;
pub(crate) use taken::Taken;

/// A byte buffer that goes home to its pool when it is dropped.
///
/// Unique, growable and `Vec`-like: it has a length and a capacity, dereferences to `[u8]`, and moves to a larger size
/// class of its pool when it must. Bytes of an earlier user are never visible, except through
/// [`Recycled`](crate::Recycled). It may be dropped on any thread, at any time, also after the pool is gone. The bytes
/// do not move while the handle does.
///
/// Dropping it takes no lock, allocates nothing and enters the kernel only when the pool may keep no more idle memory.
///
/// # Examples
///
/// ```
/// use millpond::{BufferPool, Capacity};
///
/// let pool = BufferPool::new();
/// let mut buf = pool.get(Capacity(1024));
/// buf.extend_from_slice(b"hello ");
/// buf.extend_from_slice(b"world");
/// buf[0] = b'H';
/// assert_eq!(&buf[..], b"Hello world");
/// ```
pub struct PooledBuf {
    ptr: NonNull<u8>,
    len: usize,
    slot: NonNull<Slot<Held>>,
    /// See [`Taken`].
    lane: Lane,
    /// [`EXPOSED`] and [`OWN`]. A word, because a handle with padding behind a `bool` is moved in pieces.
    flags: u32,
}

/// Bytes below `len` were lent for writing since the marks were last raised.
const EXPOSED: u32 = 1;
/// Nobody else's bytes are behind `len`: they were wiped since the buffer was taken. Forgotten when bytes are lent.
const OWN: u32 = 2;

// SAFETY: the buffer owns its bytes, and its slot's marks are touched through `&mut` or by value alone.
unsafe impl Send for PooledBuf {}
// SAFETY: `&PooledBuf` reads bytes, length and capacity, which nobody can write meanwhile.
unsafe impl Sync for PooledBuf {}
impl UnwindSafe for PooledBuf {}
impl RefUnwindSafe for PooledBuf {}

impl PooledBuf {
    /// A buffer of the slot's first `len` bytes.
    ///
    /// # Safety
    /// They are initialised.
    #[inline(always)]
    pub(in crate::bytes) unsafe fn from_taken(taken: Taken, len: usize) -> Self {
        PooledBuf { ptr: taken.held().ptr(), len, slot: taken.slot, lane: taken.lane, flags: 0 }
    }

    /// An empty buffer.
    pub(in crate::bytes) fn empty(taken: Taken) -> Self {
        // SAFETY: no bytes.
        unsafe { Self::from_taken(taken, 0) }
    }

    /// A buffer as requested, over a slot that was taken for the request.
    #[inline(always)]
    pub(in crate::bytes) fn requested<R: Request>(taken: Taken, request: R, checkout: Checkout) -> Self {
        // SAFETY: whoever has `taken` holds its slot.
        unsafe { SlotPtr::new(taken.slot).check_out(checkout) };
        let len = request.prepare(&taken);
        // SAFETY: prepared.
        unsafe { Self::from_taken(taken, len) }
    }

    #[inline(always)]
    fn held(&self) -> &Held {
        // SAFETY: the handle holds the slot.
        unsafe { self.slot.as_ref() }.content()
    }

    /// The core of the buffer's pool, which the slot keeps.
    fn core(&self) -> &ByteCore {
        // SAFETY: the handle holds the slot, one of a byte pool.
        unsafe { ByteCore::of_slot(self.slot()) }
    }

    /// Raises the mark for what was lent for writing, before the length sinks or the handle goes.
    #[inline(always)]
    fn fold(&mut self) {
        if self.flags & EXPOSED != 0 {
            self.flags &= !EXPOSED;
            self.held().expose(self.len);
        }
    }

    /// Initialises the room behind the last byte, and wipes what others wrote there, once for each time the buffer was
    /// taken.
    pub(crate) fn own_room(&mut self) {
        self.fold();
        if self.flags & OWN == 0 {
            self.flags |= OWN;
            // SAFETY: unique, and lends nothing out while borrowed here.
            unsafe { self.held().clean_from(self.len) };
        }
        // SAFETY: as above.
        unsafe { self.held().make_init_to(self.capacity()) };
    }

    /// The number of bytes that are set.
    #[inline(always)]
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether no byte is set.
    #[inline(always)]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The number of bytes there is room for without moving: the size class, rounded up to the alignment.
    ///
    /// ```
    /// # use millpond::{BufferPool, Capacity};
    /// assert_eq!(BufferPool::new().get(Capacity(1000)).capacity(), 1024);
    /// ```
    #[inline]
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.held().capacity()
    }

    /// Removes all bytes; the capacity stays. Costs a comparison, whatever the length.
    #[inline]
    pub fn clear(&mut self) {
        self.truncate(0);
    }

    /// Shortens the buffer to `len` bytes, if it is longer. Costs a comparison, whatever the length.
    #[inline]
    pub fn truncate(&mut self, len: usize) {
        if len < self.len {
            self.fold();
            self.len = len;
        }
    }

    /// The room behind the last byte, which may be uninitialised.
    ///
    /// Writing there takes effect with [`set_len`](Self::set_len). The next zeroed request for this memory pays for all
    /// of its capacity, since nobody knows what was written.
    ///
    /// # Examples
    ///
    /// ```
    /// # use millpond::{BufferPool, Capacity};
    /// let mut buf = BufferPool::shared().get(Capacity(64));
    /// buf.spare_capacity_mut()[0].write(7);
    /// // SAFETY: the first byte was written.
    /// unsafe { buf.set_len(1) };
    /// assert_eq!(buf[..], [7]);
    /// ```
    pub fn spare_capacity_mut(&mut self) -> &mut [MaybeUninit<u8>] {
        self.fold();
        // Safe code may store uninitialised bytes through the slice.
        self.held().uninit_from(self.len);
        let (len, spare) = (self.len, self.capacity() - self.len);
        // SAFETY: `len` is within the block.
        let start = unsafe { self.ptr.add(len) };
        // SAFETY: `spare` bytes of the block follow, of any content, lent exclusively.
        unsafe { std::slice::from_raw_parts_mut(start.as_ptr().cast(), spare) }
    }

    /// The whole block, for writers that take a pointer. What lies behind the length may be uninitialised, and stays so
    /// unless they write there.
    #[cfg(any(
        feature = "compio-buf-08",
        all(target_os = "linux", any(feature = "monoio-02", feature = "tokio-uring-05"))
    ))]
    pub(crate) fn lend_all(&mut self) -> NonNull<u8> {
        self.held().uninit_from(self.len);
        self.ptr
    }

    /// Wipes all that may be something else than zero, to the end of the block, and empties the buffer.
    #[cfg(feature = "zeroize")]
    pub(crate) fn wipe(&mut self) {
        self.fold();
        self.len = 0;
        // SAFETY: the handle holds the slot, and lends nothing out while it is borrowed exclusively.
        unsafe { self.held().wipe() };
    }

    /// Sets the length.
    ///
    /// # Safety
    /// `len` is at most [`capacity`](Self::capacity), and all bytes below it are initialised.
    ///
    /// # Panics
    /// If `len` exceeds the capacity, in debug builds.
    #[inline]
    pub unsafe fn set_len(&mut self, len: usize) {
        debug_assert!(len <= self.capacity(), "length {len} beyond the capacity of {} bytes", self.capacity());
        self.fold();
        self.held().written(len);
        self.len = len;
    }

    /// Makes the buffer immutable and shareable. Allocates nothing and copies nothing.
    ///
    /// # Examples
    ///
    /// ```
    /// # use millpond::BufferPool;
    /// let message = BufferPool::shared().copy_from(b"one buffer").freeze();
    /// let other = message.clone();
    /// std::thread::spawn(move || assert_eq!(other, *b"one buffer")).join().unwrap();
    /// ```
    #[must_use]
    pub fn freeze(self) -> PooledBytes {
        let (ptr, len) = (self.ptr, self.len);
        // SAFETY: bytes below `len` are initialised and of the block, and the marks are raised.
        unsafe { PooledBytes::from_taken(self.into_taken(), ptr, len) }
    }

    /// The index of the [region](crate::Region) that its bytes are in, and how far behind the region's first byte they start.
    ///
    /// None where memory is from the heap, or between guard pages. Costs two loads.
    ///
    /// # Examples
    ///
    /// ```
    /// let pool = millpond::BufferPool::new();
    /// let buf = pool.get(4096);
    /// assert_eq!(buf.region(), Some((0, 0)));
    /// ```
    #[must_use]
    pub fn region(&self) -> Option<(u32, usize)> {
        self.held().place().region()
    }

    fn slot(&self) -> SlotPtr {
        SlotPtr::new(self.slot)
    }

    /// On which node its memory is.
    #[cfg(all(test, not(loom)))]
    pub(in crate::bytes) fn bank(&self) -> crate::memory::os::topology::Bank {
        // SAFETY: the handle holds the slot.
        unsafe { crate::engine::core::bank_of(self.slot()) }
    }

    /// Hands the slot over, its marks raised.
    pub(in crate::bytes) fn into_taken(mut self) -> Taken {
        self.fold();
        let this = ManuallyDrop::new(self);
        Taken { slot: this.slot, lane: this.lane }
    }

    /// A unique handle over frozen bytes that nobody shares, moved to the front of their block.
    ///
    /// # Safety
    /// `start..start + len` are initialised bytes of the slot's block.
    pub(in crate::bytes) unsafe fn thawed(taken: Taken, start: NonNull<u8>, len: usize) -> Self {
        let held = taken.held();
        if start != held.ptr() {
            // SAFETY: both inside the block, which is ours.
            unsafe { start.copy_to(held.ptr(), len) };
            held.written(len);
        }
        // SAFETY: the caller's promise, moved to the front.
        unsafe { Self::from_taken(taken, len) }
    }

    /// Moves the bytes into a block of at least `capacity` bytes. The old one goes home.
    #[cold]
    fn move_to(&mut self, capacity: usize) -> Result<(), Error> {
        let mut larger = PooledBuf::empty(taken::obtain(self.core(), capacity, Want::Any)?);
        // SAFETY: two blocks; the new one is the larger.
        unsafe { self.ptr.copy_to_nonoverlapping(larger.ptr, self.len) };
        // SAFETY: just written.
        unsafe { larger.set_len(self.len) };
        // SAFETY: both handles hold their slots.
        unsafe { self.slot().moved_to(larger.slot()) };
        *self = larger;
        Ok(())
    }
}

impl Drop for PooledBuf {
    #[inline(always)]
    fn drop(&mut self) {
        self.fold();
        // SAFETY: the handle does not use the slot again, and the marks are raised.
        unsafe { taken::go_home(Taken { slot: self.slot, lane: self.lane }) };
    }
}

impl Deref for PooledBuf {
    type Target = [u8];

    #[inline(always)]
    fn deref(&self) -> &[u8] {
        // SAFETY: bytes below `len` are initialised and this handle's.
        unsafe { std::slice::from_raw_parts(self.ptr.as_ptr(), self.len) }
    }
}

impl DerefMut for PooledBuf {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut [u8] {
        // One store whatever happens: a conditional maximum of the mark made an indexed fill twelve times slower.
        self.flags = EXPOSED;
        // SAFETY: as in `deref`, borrowed exclusively.
        unsafe { std::slice::from_raw_parts_mut(self.ptr.as_ptr(), self.len) }
    }
}

impl AsRef<[u8]> for PooledBuf {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl AsMut<[u8]> for PooledBuf {
    fn as_mut(&mut self) -> &mut [u8] {
        self
    }
}

impl Borrow<[u8]> for PooledBuf {
    fn borrow(&self) -> &[u8] {
        self
    }
}

impl BorrowMut<[u8]> for PooledBuf {
    fn borrow_mut(&mut self) -> &mut [u8] {
        self
    }
}

/// Shows length, capacity and class, never the content.
impl fmt::Debug for PooledBuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("PooledBuf");
        debug.field("len", &self.len);
        // SAFETY: the handle holds the slot.
        unsafe { taken::describe(self.slot, &mut debug) };
        debug.finish()
    }
}

impl<T: AsRef<[u8]> + ?Sized> PartialEq<T> for PooledBuf {
    fn eq(&self, other: &T) -> bool {
        **self == *other.as_ref()
    }
}

impl Eq for PooledBuf {}

impl Hash for PooledBuf {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (**self).hash(state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handle_is_32_bytes_with_a_niche() {
        assert!(size_of::<PooledBuf>() <= 32);
        assert_eq!(size_of::<Option<PooledBuf>>(), size_of::<PooledBuf>());
    }
}
