//! The memory that a group of provided buffers shares with the kernel: a ring of entries, and its tail.
//!
//! We write entries and the tail, the kernel reads both and writes nothing. How far it has read, it keeps to itself:
//! there is always room, for there are no more buffers than places.
#![allow(unsafe_code)] // Memory that the kernel reads.

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU16, Ordering::Release};

use io_uring::types::BufRingEntry;

use crate::memory::os;

/// Stays where it is until it is [freed](Ring::free): the kernel does not know when a handle is dropped.
#[derive(Debug)]
pub(super) struct Ring {
    entries: NonNull<BufRingEntry>,
    count: u16,
    /// Where the next entry goes; the kernel knows of those before the last [`publish`](Ring::publish).
    tail: u16,
}

// SAFETY: memory of its own, which is written through `&mut` alone.
unsafe impl Send for Ring {}
// SAFETY: `&Ring` gives nothing but an address.
unsafe impl Sync for Ring {}

impl Ring {
    /// An empty ring for so many entries, a power of two. None: the program has no memory.
    pub(super) fn new(count: u16) -> Option<Self> {
        debug_assert!(count.is_power_of_two());
        // SAFETY: not of size 0.
        let memory = unsafe { alloc_zeroed(Self::layout(count)) };
        // Zero is an entry, and the tail of an empty ring.
        Some(Ring { entries: NonNull::new(memory.cast())?, count, tail: 0 })
    }

    fn layout(count: u16) -> Layout {
        let entries = Layout::array::<BufRingEntry>(count.into()).expect("half a mebibyte at most");
        // The kernel wants whole OS pages, and pins them.
        entries.align_to(os::page_size()).expect("as above").pad_to_align()
    }

    /// What the kernel is told.
    pub(super) fn addr(&self) -> u64 {
        self.entries.as_ptr().expose_provenance() as u64
    }

    pub(super) fn count(&self) -> u16 {
        self.count
    }

    /// Writes an entry behind the last, where the kernel does not look before it is [published](Self::publish).
    ///
    /// The caller has no more buffers out than there are places, so the kernel has read what was there.
    pub(super) fn write(&mut self, buf: *mut u8, len: u32, id: u16) {
        let place = self.tail & (self.count - 1);
        // SAFETY: below `count`, which is how long the memory is.
        let mut entry = unsafe { self.entries.add(place.into()) };
        // SAFETY: initialised and ours alone, for the kernel writes nothing; and it reads nothing of it but, of the
        // first, the tail, which none of the following touches.
        let entry = unsafe { entry.as_mut() };
        entry.set_addr(buf.expose_provenance() as u64);
        entry.set_len(len);
        entry.set_bid(id);
        self.tail = self.tail.wrapping_add(1);
    }

    /// Gives the kernel all that was written.
    pub(super) fn publish(&mut self) {
        // SAFETY: the first of the entries, and initialised.
        let tail = unsafe { BufRingEntry::tail(self.entries.as_ptr()) };
        // SAFETY: two aligned bytes of our memory, accessed by us here alone, and by the kernel, which loads them
        // whole.
        let tail = unsafe { AtomicU16::from_ptr(tail.cast_mut()) };
        // Release pairs with the kernel's `smp_load_acquire` of the tail: who sees it sees the entries before it. Were
        // it weaker, the kernel could receive to the address that a place had a turn before, of a buffer that is
        // somebody's.
        tail.store(self.tail, Release);
    }

    /// Gives the memory back.
    ///
    /// # Safety
    /// The kernel does not know it any more, and it is not used again.
    pub(super) unsafe fn free(&mut self) {
        // SAFETY: from `new`, with this layout, and for the last time.
        unsafe { dealloc(self.entries.as_ptr().cast(), Self::layout(self.count)) };
    }
}
