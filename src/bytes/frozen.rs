//! The frozen bytes: immutable, shareable, sliceable views of one pooled buffer.

// A view owns its share of a buffer through the count in the slot.
#![allow(unsafe_code)]

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::mem::ManuallyDrop;
use std::ops::{Bound, Deref, RangeBounds};
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::ptr::NonNull;

use crate::bytes::buf::{Held, PooledBuf, Taken, taken};
use crate::bytes::pool::ByteCore;
use crate::engine::lanes::Lane;
use crate::engine::slot::{Slot, SlotPtr};
use crate::memory::Want;

/// Immutable bytes of a pool, cheap to clone and to slice; the memory goes home with the last clone.
///
/// Made by [`PooledBuf::freeze`]. Clones and slices share one buffer through a count that lies in its slot, so none of
/// this allocates. A small slice keeps the whole buffer out; [`compact`](Self::compact) moves it into a smaller one.
///
/// # Examples
///
/// ```
/// use millpond::BufferPool;
///
/// let message = BufferPool::shared().copy_from(b"header body").freeze();
/// let (header, body) = (message.slice(..6), message.slice(7..));
/// assert_eq!((&header[..], &body[..]), (&b"header"[..], &b"body"[..]));
/// ```
pub struct PooledBytes {
    ptr: NonNull<u8>,
    len: usize,
    /// None for bytes that belong to no pool.
    slot: Option<NonNull<Slot<Held>>>,
    lane: Lane,
}

// SAFETY: the bytes are only read, and the count is atomic; the last handle, alone, touches the marks.
unsafe impl Send for PooledBytes {}
// SAFETY: as above.
unsafe impl Sync for PooledBytes {}
impl UnwindSafe for PooledBytes {}
impl RefUnwindSafe for PooledBytes {}

impl PooledBytes {
    /// The first handle on a buffer that was unique.
    ///
    /// # Safety
    /// `len` bytes from `ptr` on are initialised and of the slot's block, whose marks are raised for all that was
    /// written.
    pub(in crate::bytes) unsafe fn from_taken(taken: Taken, ptr: NonNull<u8>, len: usize) -> Self {
        // SAFETY: `taken` holds the slot.
        unsafe { taken.slot().as_ref() }.content().count.freeze();
        PooledBytes { ptr, len, slot: Some(taken.slot()), lane: taken.lane() }
    }

    /// No bytes, of no pool. Costs nothing.
    #[must_use]
    pub const fn new() -> Self {
        Self::from_static(&[])
    }

    /// Bytes that live as long as the program, of no pool. Costs nothing.
    ///
    /// ```
    /// # use millpond::PooledBytes;
    /// const OK: PooledBytes = PooledBytes::from_static(b"200 OK");
    /// assert_eq!(OK.slice(4..), *b"OK");
    /// ```
    #[must_use]
    pub const fn from_static(bytes: &'static [u8]) -> Self {
        // SAFETY: a slice's pointer is not null. (`NonNull::from` is not const.)
        let ptr = unsafe { NonNull::new_unchecked(bytes.as_ptr().cast_mut()) };
        PooledBytes { ptr, len: bytes.len(), slot: None, lane: Lane::NONE }
    }

    fn held(&self) -> Option<&Held> {
        // SAFETY: the handle counts, so the slot is held.
        self.slot.map(|slot| unsafe { slot.as_ref() }.content())
    }

    /// The number of bytes.
    #[inline]
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no bytes.
    #[inline]
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// A part of the bytes, sharing the buffer. Costs one atomic addition.
    ///
    /// # Panics
    /// If the range ends before it starts or beyond the bytes.
    #[must_use]
    #[track_caller]
    pub fn slice(&self, range: impl RangeBounds<usize>) -> Self {
        let start = match range.start_bound() {
            Bound::Included(&start) => start,
            Bound::Excluded(&before) => before.checked_add(1).expect("range starts at 0 or more"),
            Bound::Unbounded => 0,
        };
        let end = match range.end_bound() {
            Bound::Included(&last) => last.checked_add(1).expect("range ends within a usize"),
            Bound::Excluded(&end) => end,
            Bound::Unbounded => self.len,
        };
        assert!(start <= end && end <= self.len, "range {start}..{end} of {} bytes", self.len);
        if start == end {
            return Self::new();
        }
        let mut part = self.clone();
        // SAFETY: checked above.
        unsafe { part.narrow(start, end - start) };
        part
    }

    /// Drops the first `count` bytes. The buffer stays out.
    #[inline]
    #[track_caller]
    pub(crate) fn skip(&mut self, count: usize) {
        assert!(count <= self.len, "advanced by {count} of {} bytes", self.len);
        // SAFETY: checked above.
        unsafe { self.narrow(count, self.len - count) };
    }

    /// # Safety
    /// `start + len` is at most the length.
    unsafe fn narrow(&mut self, start: usize, len: usize) {
        // SAFETY: within the bytes, by the caller.
        self.ptr = unsafe { self.ptr.add(start) };
        self.len = len;
    }

    /// Splits off and returns the first `at` bytes; the rest stays. Costs one atomic addition.
    ///
    /// # Panics
    /// If there are fewer bytes.
    ///
    /// # Examples
    ///
    /// ```
    /// let mut rest = millpond::BufferPool::shared().copy_from(b"key=value").freeze();
    /// let key = rest.split_to(3);
    /// assert_eq!((key, rest), (b"key"[..].into(), b"=value"[..].into()));
    /// ```
    #[must_use = "use `advance` or `slice` to drop the first bytes"]
    #[track_caller]
    pub fn split_to(&mut self, at: usize) -> Self {
        assert!(at <= self.len, "split at {at} of {} bytes", self.len);
        let rest = self.slice(at..);
        let mut first = std::mem::replace(self, rest);
        first.len = at;
        first
    }

    /// Splits off and returns the bytes from `at` on; the first ones stay. Costs one atomic addition.
    ///
    /// # Panics
    /// If there are fewer bytes.
    #[must_use = "use `truncate` or `slice` to drop the last bytes"]
    #[track_caller]
    pub fn split_off(&mut self, at: usize) -> Self {
        assert!(at <= self.len, "split at {at} of {} bytes", self.len);
        let rest = self.slice(at..);
        self.len = at;
        rest
    }

    /// Shortens to `len` bytes, if there are more. Costs nothing.
    pub fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }

    /// The index of the [region](crate::Region) that these bytes are in, and how far behind the region's first byte they start.
    ///
    /// None where memory is from the heap, or between guard pages, and for bytes that belong to no pool, as those of an empty
    /// slice. Costs two loads.
    ///
    /// ```
    /// let bytes = millpond::BufferPool::new().copy_from(b"key=value").freeze();
    /// assert_eq!(bytes.slice(4..).region(), Some((0, 4)));
    /// ```
    #[must_use]
    pub fn region(&self) -> Option<(u32, usize)> {
        let held = self.held()?;
        let (index, offset) = held.place().region()?;
        Some((index, offset + (self.ptr.addr().get() - held.ptr().addr().get())))
    }

    /// Whether no other handle shares the buffer. Bytes that belong to no pool are not unique.
    #[must_use]
    pub fn is_unique(&self) -> bool {
        self.held().is_some_and(|held| held.count.is_one())
    }

    /// The buffer, writable again, if no other handle shares it.
    ///
    /// Costs nothing when the bytes start where the buffer starts; otherwise they are moved to its front. The other
    /// bytes of the buffer are not visible.
    ///
    /// # Errors
    /// These bytes, as they were, when they are shared or belong to no pool.
    ///
    /// # Examples
    ///
    /// ```
    /// let frozen = millpond::BufferPool::shared().copy_from(b"draft").freeze();
    /// let copy = frozen.clone();
    /// let frozen = frozen.try_into_mut().unwrap_err();
    /// drop(copy);
    /// let mut buf = frozen.try_into_mut().unwrap();
    /// buf.extend_from_slice(b", revised");
    /// assert_eq!(buf[..], *b"draft, revised");
    /// ```
    pub fn try_into_mut(self) -> Result<PooledBuf, Self> {
        let (Some(slot), Some(held)) = (self.slot, self.held()) else { return Err(self) };
        if !held.count.is_one() {
            return Err(self);
        }
        held.count.thaw();
        let this = ManuallyDrop::new(self);
        // SAFETY: the only handle, which ends here.
        let taken = unsafe { Taken::new(slot, this.lane) };
        // SAFETY: the handle's bytes are initialised bytes of the block.
        Ok(unsafe { PooledBuf::thawed(taken, this.ptr, this.len) })
    }

    /// These bytes in the smallest buffer of the same pool that holds them, so that a small part does not keep a large
    /// buffer out.
    ///
    /// Copies only when that is a smaller size class than the buffer's; otherwise, or when the pool cannot give such a
    /// buffer, returns the bytes as they are.
    ///
    /// # Examples
    ///
    /// ```
    /// let pool = millpond::BufferPool::new();
    /// let header = pool.get(1 << 20).freeze().slice(..100).compact();
    /// assert_eq!(header.len(), 100);
    /// assert_eq!(pool.stats().outstanding, 256);
    /// ```
    #[must_use]
    pub fn compact(self) -> Self {
        let (Some(slot), Some(held)) = (self.slot, self.held()) else { return self };
        if self.is_empty() {
            return Self::new();
        }
        // SAFETY: the handle holds the slot, one of a byte pool.
        let core = unsafe { ByteCore::of_slot(SlotPtr::new(slot)) };
        if core.keeper().block_for(self.len).is_none_or(|(_, block)| block.size() >= held.capacity()) {
            return self;
        }
        match taken::obtain(core, self.len, Want::Any) {
            Ok(taken) => {
                // SAFETY: the handle holds its slot, and who has `taken` that one.
                unsafe { SlotPtr::new(slot).moved_to(SlotPtr::new(taken.slot())) };
                let mut smaller = PooledBuf::empty(taken);
                smaller.extend_from_slice(&self);
                smaller.freeze()
            }
            Err(_) => self,
        }
    }
}

impl Clone for PooledBytes {
    /// Costs one atomic addition; allocates and copies nothing.
    #[inline]
    fn clone(&self) -> Self {
        if let Some(held) = self.held() {
            held.count.add();
        }
        PooledBytes { ptr: self.ptr, len: self.len, slot: self.slot, lane: self.lane }
    }
}

impl Drop for PooledBytes {
    #[inline]
    fn drop(&mut self) {
        let (Some(slot), Some(held)) = (self.slot, self.held()) else { return };
        if held.count.remove() {
            // SAFETY: the last handle held the slot and ends here.
            let taken = unsafe { Taken::new(slot, self.lane) };
            // SAFETY: not used again; the marks were raised when it was frozen.
            unsafe { taken::go_home(taken) };
        }
    }
}

impl Deref for PooledBytes {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        // SAFETY: initialised bytes that nobody writes while a handle is alive.
        unsafe { std::slice::from_raw_parts(self.ptr.as_ptr(), self.len) }
    }
}

impl AsRef<[u8]> for PooledBytes {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl Borrow<[u8]> for PooledBytes {
    fn borrow(&self) -> &[u8] {
        self
    }
}

impl Default for PooledBytes {
    fn default() -> Self {
        Self::new()
    }
}

impl From<PooledBuf> for PooledBytes {
    fn from(buf: PooledBuf) -> Self {
        buf.freeze()
    }
}

impl From<&'static [u8]> for PooledBytes {
    fn from(bytes: &'static [u8]) -> Self {
        Self::from_static(bytes)
    }
}

impl<T: AsRef<[u8]> + ?Sized> PartialEq<T> for PooledBytes {
    fn eq(&self, other: &T) -> bool {
        **self == *other.as_ref()
    }
}

impl Eq for PooledBytes {}

impl<T: AsRef<[u8]> + ?Sized> PartialOrd<T> for PooledBytes {
    fn partial_cmp(&self, other: &T) -> Option<Ordering> {
        (**self).partial_cmp(other.as_ref())
    }
}

impl Ord for PooledBytes {
    fn cmp(&self, other: &Self) -> Ordering {
        (**self).cmp(&**other)
    }
}

impl Hash for PooledBytes {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (**self).hash(state);
    }
}

/// Shows length, capacity and class, never the content.
impl fmt::Debug for PooledBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("PooledBytes");
        debug.field("len", &self.len);
        if let Some(slot) = self.slot {
            // SAFETY: the handle counts, so the slot is held.
            unsafe { taken::describe(slot, &mut debug) };
        }
        debug.finish()
    }
}

#[cfg(feature = "bytes")]
mod bytes_traits {
    use bytes::{Buf, Bytes};

    use super::PooledBytes;

    impl Buf for PooledBytes {
        #[inline]
        fn remaining(&self) -> usize {
            self.len
        }

        #[inline]
        fn chunk(&self) -> &[u8] {
            self
        }

        /// # Panics
        /// If there are fewer bytes.
        #[inline]
        #[track_caller]
        fn advance(&mut self, count: usize) {
            self.skip(count);
        }

        /// Shares the buffer; copies no bytes.
        fn copy_to_bytes(&mut self, len: usize) -> Bytes {
            self.split_to(len).into()
        }
    }

    impl From<PooledBytes> for Bytes {
        /// Copies no bytes. Costs one small allocation, for the owner that `Bytes` keeps.
        fn from(bytes: PooledBytes) -> Self {
            if bytes.is_empty() { Bytes::new() } else { Bytes::from_owner(bytes) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handle_is_32_bytes_with_a_niche() {
        assert!(size_of::<PooledBytes>() <= 32);
        assert_eq!(size_of::<Option<PooledBytes>>(), size_of::<PooledBytes>());
    }
}
