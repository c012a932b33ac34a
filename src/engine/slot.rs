//! Slots: the type-stable headers of pooled things.
//!
//! A slot lies apart from the memory it stands for, so that memory can be page aligned and contiguous, and so that a
//! thread which still holds a stale pointer to a slot reads a header and never freed memory: headers go away with the
//! core alone. Lists link slots by index, because an index and a tag fit one word.

use std::ptr::NonNull;

use crate::engine::store::Store;
use crate::engine::table::INDEX_BITS;
#[cfg(feature = "track")]
use crate::engine::track::Record;
use crate::memory::os::topology::Bank;
use crate::memory::prefetch::prefetch_to_read;
use crate::sync::{AtomicU32, BATCH, Cell, Ordering::*};

/// Where in a slot the second cache line begins.
const HIT_LINE: usize = 64;

/// What the engine knows of a slot. Two cache lines with what the face keeps behind it: the first is used by whole
/// batches only and leads from one to the next, the second is used by every hit.
#[repr(C)]
pub(crate) struct Head {
    /// While this slot leads a batch in a depot: the other members' indices.
    followers: [Cell<u32>; BATCH - 1],
    /// While this slot leads a batch: the index of the leader below it in the stack, and above these bits the number of
    /// its followers. A thread whose pop came too late may read it at any time, hence atomic.
    link: AtomicU32,
    #[cfg(feature = "track")]
    record: Record,
    /// Where it goes home to. Set when the slot gets its memory.
    store: Cell<*const Store>,
    index: u32,
    /// Where its memory is. Set with the store.
    bank: Cell<Bank>,
}

const _: () = assert!(BATCH <= 1 << (u32::BITS - INDEX_BITS), "a link has room for the number of followers");

/// Every slot's address is a multiple of it, and every segment's of slots.
pub(crate) const SLOT_ALIGN: usize = 128;

const _: () = assert!(align_of::<Slot<()>>() == SLOT_ALIGN);

/// A slot with what a face keeps in it.
#[repr(C, align(128))]
pub(crate) struct Slot<C> {
    head: Head,
    content: C,
}

impl<C> Slot<C> {
    #[cfg(not(feature = "track"))]
    pub(super) fn new(index: u32, store: *const Store, content: C) -> Self {
        let head = Head {
            followers: std::array::from_fn(|_| Cell::new(0)),
            link: AtomicU32::new(0),
            store: Cell::new(store),
            index,
            bank: Cell::new(Bank::FIRST),
        };
        Slot { head, content }
    }

    #[inline(always)]
    pub(crate) fn content(&self) -> &C {
        &self.content
    }

    /// Makes a slot anew whose memory has been back with the system, or one in new memory that is zero. Its link and its record
    /// may be read by others meanwhile, and stay what they are.
    ///
    /// # Safety
    /// `slot` is a slot's place that the caller holds.
    pub(super) unsafe fn renew(slot: *mut Self, index: u32, store: *const Store, content: C) {
        // SAFETY: the caller's place.
        let head = unsafe { &raw mut (*slot).head };
        // SAFETY: as above; a field of it.
        let index_place = unsafe { &raw mut (*head).index };
        // SAFETY: valid and aligned.
        unsafe { index_place.write(index) };
        // SAFETY: as `index_place`.
        let store_place = unsafe { &raw mut (*head).store };
        // SAFETY: valid and aligned.
        unsafe { store_place.write(Cell::new(store)) };
        // SAFETY: as `index_place`.
        let bank_place = unsafe { &raw mut (*head).bank };
        // SAFETY: valid and aligned.
        unsafe { bank_place.write(Cell::new(Bank::FIRST)) };
        // SAFETY: the caller's promise.
        unsafe { Self::set_content(slot, content) };
    }

    /// Writes new content over content that needs no drop.
    ///
    /// # Safety
    /// `slot` is held by the caller, and its content was vacated. Only the content is written: a thread late with a pop
    /// may still read the head.
    pub(super) unsafe fn set_content(slot: *mut Self, content: C) {
        // SAFETY: a slot the caller holds.
        let place = unsafe { &raw mut (*slot).content };
        // SAFETY: valid and aligned, as a field of it.
        unsafe { place.write(content) };
    }
}

/// A pointer to a slot, whatever its content. Who holds one out of a magazine or depot holds the slot: nobody else has
/// it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(transparent)]
pub struct SlotPtr(NonNull<Head>);

impl SlotPtr {
    #[inline(always)]
    pub(crate) fn new<C>(slot: NonNull<Slot<C>>) -> Self {
        SlotPtr(slot.cast())
    }

    #[inline(always)]
    pub(crate) fn from_raw(head: NonNull<Head>) -> Self {
        SlotPtr(head)
    }

    /// Writes a number into the slot, as long as it is out.
    ///
    /// # Safety
    /// The caller holds the slot.
    pub(crate) unsafe fn note(self, number: usize) {
        // SAFETY: held, so the table is alive.
        unsafe { self.head() }.note(number as u64);
    }

    /// The number that was written into the slot since it went out.
    ///
    /// # Safety
    /// As [`note`](Self::note).
    pub(crate) unsafe fn noted(self) -> usize {
        // SAFETY: held, so the table is alive.
        unsafe { self.head() }.noted() as usize
    }

    #[inline(always)]
    pub(crate) fn as_ptr(self) -> *mut Head {
        self.0.as_ptr()
    }

    /// The slot with its content.
    #[inline(always)]
    pub(crate) fn cast<C>(self) -> NonNull<Slot<C>> {
        self.0.cast()
    }

    /// Asks for the cache line that every hit uses.
    #[inline(always)]
    pub(super) fn prefetch(self) {
        prefetch_to_read(self.0.cast::<u8>().map_addr(|addr| addr | HIT_LINE));
    }

    /// # Safety
    /// The slot's table is alive.
    #[inline(always)]
    pub(super) unsafe fn head<'a>(self) -> &'a Head {
        // SAFETY: a slot pointer is only made from an initialised slot, and the caller vouches for the table.
        unsafe { self.0.as_ref() }
    }
}

impl Head {
    #[cfg(feature = "track")]
    #[inline(always)]
    pub(super) fn record(&self) -> &Record {
        &self.record
    }

    /// Where in a head that may not be made yet the record is.
    #[cfg(feature = "track")]
    pub(super) const RECORD: usize = std::mem::offset_of!(Head, record);

    pub(super) fn index(&self) -> u32 {
        self.index
    }

    /// The store this slot belongs to. Only the slot's holder may ask.
    pub(super) fn store(&self) -> *const Store {
        self.store.get()
    }

    /// The bank of its memory. Only the slot's holder may ask.
    pub(super) fn bank(&self) -> Bank {
        self.bank.get()
    }

    pub(super) fn set_home(&self, store: *const Store, bank: Bank) {
        self.store.set(store);
        self.bank.set(bank);
    }

    /// Makes this slot the leader of a batch with these followers, on top of the leader `below`. Only the slot's holder may
    /// ask.
    pub(super) fn lead(&self, followers: &[SlotPtr], below: u32) {
        for (place, slot) in self.followers.iter().zip(followers) {
            // SAFETY: the caller holds the followers as it holds the leader, so their table is alive.
            place.set(unsafe { slot.head() }.index);
        }
        self.put_on(below, followers.len());
    }

    /// Puts this leader of so many followers on top of another. Only the slot's holder may ask.
    pub(super) fn put_on(&self, below: u32, followers: usize) {
        // Release pairs with the Acquire in `below`, for a thread that reads this too late.
        self.link.store((followers as u32) << INDEX_BITS | below, Release);
    }

    /// The index of the leader below this one, if it leads a batch; anybody may ask.
    pub(super) fn below(&self) -> u32 {
        // Acquire pairs with the Release in `put_on`.
        self.link.load(Acquire) & ((1 << INDEX_BITS) - 1)
    }

    /// Remembers the index of another slot in hand. Only the slot's holder may ask.
    pub(super) fn chain(&self, next: u32) {
        self.followers[0].set(next);
    }

    /// What was remembered last. Only the slot's holder may ask.
    pub(super) fn chained(&self) -> u32 {
        self.followers[0].get()
    }

    /// Remembers a number, where a slot that is out leads nobody. Only the slot's holder may ask.
    fn note(&self, number: u64) {
        let halves = [number as u32, (number >> u32::BITS) as u32];
        self.followers.iter().zip(halves).for_each(|(place, half)| place.set(half));
    }

    /// What was noted last. Only the slot's holder may ask.
    fn noted(&self) -> u64 {
        self.followers.iter().zip([0, u32::BITS]).map(|(place, shift)| u64::from(place.get()) << shift).sum()
    }

    /// The indices of the batch this slot leads, itself left out. Only the slot's holder may ask.
    pub(super) fn followers(&self) -> impl Iterator<Item = u32> + '_ {
        // Relaxed: written by who held the slot before, who handed it over.
        let count = self.link.load(Relaxed) >> INDEX_BITS;
        self.followers.iter().take(count as usize).map(Cell::get)
    }
}
