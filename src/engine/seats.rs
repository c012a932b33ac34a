//! Seats: how a store finds the magazines of all threads, without a lock.
//!
//! A list of seats that only grows while the core lives; a seat left is taken again by the next thread. A seat counts
//! who uses the magazine that sits in it: the attachment itself, and each visitor for the length of its visit. The last
//! one out gives up the seat's hold on the magazine, so a visitor's magazine stays while it copies and nobody waits for
//! a visitor.

use std::ptr::{self, NonNull};

use crate::engine::boxed;
use crate::engine::magazine::Magazine;
use crate::sync::{AtomicPtr, AtomicU32, Ordering::*};

const VACANT: u32 = 0;
/// Between vacant and occupied, while the newcomer writes the magazine's address.
const RESERVED: u32 = u32::MAX;

/// One place in the list.
pub(crate) struct Seat {
    /// VACANT, RESERVED, or how many use the magazine.
    users: AtomicU32,
    magazine: AtomicPtr<Magazine>,
    next: AtomicPtr<Seat>,
}

/// All seats of one store.
pub(super) struct Seats {
    first: AtomicPtr<Seat>,
}

impl Seats {
    pub(super) fn new() -> Self {
        Seats { first: AtomicPtr::new(ptr::null_mut()) }
    }

    /// Seats a magazine; false when there is no memory for one more seat. The seat becomes a holder of the magazine.
    ///
    /// # Safety
    /// `magazine` is alive, held by the caller's thread, and in no seat.
    pub(super) unsafe fn occupy(&self, magazine: NonNull<Magazine>) -> bool {
        let seat =
            match self.iter().find(|seat| seat.users.compare_exchange(VACANT, RESERVED, Acquire, Relaxed).is_ok()) {
                Some(seat) => seat,
                None => match self.add() {
                    Some(seat) => seat,
                    None => return false,
                },
            };
        // SAFETY: the caller vouches for it.
        let held = unsafe { magazine.as_ref() };
        // Relaxed: only the owner's thread holds it, so nobody else can count at the same time.
        held.holders().fetch_add(1, Relaxed);
        held.seat().store(ptr::from_ref(seat).cast_mut(), Relaxed);
        seat.magazine.store(magazine.as_ptr(), Relaxed);
        // Release pairs with the Acquire in `enter`: visitors see the magazine's address and its contents.
        seat.users.store(1, Release);
        true
    }

    /// A new seat, reserved.
    fn add(&self) -> Option<&Seat> {
        let seat = boxed::try_new(Seat {
            users: AtomicU32::new(RESERVED),
            magazine: AtomicPtr::new(ptr::null_mut()),
            next: AtomicPtr::new(ptr::null_mut()),
        })?;
        // SAFETY: made above; seats are freed with the list alone.
        let shared = unsafe { seat.as_ref() };
        let mut first = self.first.load(Relaxed);
        loop {
            // Relaxed: published by the Release below.
            shared.next.store(first, Relaxed);
            // Release pairs with the Acquire in `iter`. No ABA: seats never leave the list.
            match self.first.compare_exchange_weak(first, seat.as_ptr(), Release, Relaxed) {
                Ok(_) => return Some(shared),
                Err(now) => first = now,
            }
        }
    }

    fn iter(&self) -> impl Iterator<Item = &Seat> {
        // Acquire pairs with the Release in `add`; a seat's `next` was written before it, and never again.
        let mut next = self.first.load(Acquire);
        std::iter::from_fn(move || {
            // SAFETY: null, or a seat of this list, which stays as long as `self`.
            let seat = unsafe { next.as_ref() }?;
            next = seat.next.load(Relaxed);
            Some(seat)
        })
    }

    /// The magazines that sit here now.
    pub(super) fn visit(&self) -> impl Iterator<Item = Visit<'_>> {
        self.iter().filter_map(Seat::enter)
    }

    /// Bytes of the list itself.
    pub(super) fn bytes(&self) -> usize {
        self.iter().count() * size_of::<Seat>()
    }
}

impl Drop for Seats {
    fn drop(&mut self) {
        let mut next = self.first.load(Relaxed);
        while let Some(seat) = NonNull::new(next) {
            // SAFETY: a seat of this list; nobody else is left.
            next = unsafe { seat.as_ref() }.next.load(Relaxed);
            // SAFETY: made in `add`; the list goes away, so nobody uses it again.
            unsafe { boxed::free(seat) };
        }
    }
}

impl Seat {
    fn enter(&self) -> Option<Visit<'_>> {
        let mut users = self.users.load(Relaxed);
        loop {
            if users == VACANT || users == RESERVED {
                return None;
            }
            // Acquire pairs with the Release in `occupy`.
            match self.users.compare_exchange_weak(users, users + 1, Acquire, Relaxed) {
                Ok(_) => return Some(Visit { seat: self }),
                Err(now) => users = now,
            }
        }
    }

    /// One user fewer; the last gives up the seat's hold on the magazine.
    ///
    /// # Safety
    /// The caller is one of the users and is none afterwards.
    pub(super) unsafe fn leave(&self) {
        // While we count, the address stays; afterwards the seat may be another's.
        let magazine = self.magazine.load(Relaxed);
        // Release, for the other users' sake: what this one did with the magazine is over. Acquire, for the last one's.
        if self.users.fetch_sub(1, AcqRel) == 1 {
            let magazine = NonNull::new(magazine).expect("an occupied seat has a magazine");
            // SAFETY: the seat held it, and ceases to.
            unsafe { let_go(magazine) };
        }
    }
}

/// One holder fewer; the last frees the magazine.
///
/// # Safety
/// The caller is a holder (the owner's thread or the seat) and is none afterwards.
pub(super) unsafe fn let_go(magazine: NonNull<Magazine>) {
    // SAFETY: the caller holds it.
    // Release and Acquire as in `Seat::leave`.
    if unsafe { magazine.as_ref() }.holders().fetch_sub(1, AcqRel) == 1 {
        // SAFETY: made by `boxed::try_new` in `cache`, and this was the last holder.
        unsafe { boxed::free(magazine) };
    }
}

/// A visit to a seated magazine, which stays until the visit ends.
pub(super) struct Visit<'a> {
    seat: &'a Seat,
}

impl std::ops::Deref for Visit<'_> {
    type Target = Magazine;

    fn deref(&self) -> &Magazine {
        // SAFETY: a user counts, so the seat holds its magazine.
        unsafe { &*self.seat.magazine.load(Relaxed) }
    }
}

impl Drop for Visit<'_> {
    fn drop(&mut self) {
        // SAFETY: entered once, left once.
        unsafe { self.seat.leave() };
    }
}
