//! What is out, and the most that ever was.
//!
//! A buffer that goes home must be counted there, on whichever thread and after the pool is gone. An `Arc` in each would
//! cost two atomic operations more for each buffer, twice what the counting costs. So tallies are never freed: when the
//! pool is gone and its last buffer is home, the next pool takes the tally over.

use std::mem;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Bits of the word that count bytes; those above count buffers, and the pool as one more. Both wrap, so that what was
/// too much to count leaves no trace when it is home.
const BYTE_BITS: u32 = 42;
/// One buffer.
const ONE: u64 = 1 << BYTE_BITS;

/// Tallies of pools that are gone.
static FREE: Mutex<Vec<&Tally>> = Mutex::new(Vec::new());

fn free() -> MutexGuard<'static, Vec<&'static Tally>> {
    FREE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What is out of one pool: exact below four million buffers and four TiB.
// On a line of its own: every checkout and every return writes it.
#[repr(align(128))]
#[derive(Debug, Default)]
pub(super) struct Tally {
    out: AtomicU64,
    peak_buffers: AtomicUsize,
    peak_bytes: AtomicUsize,
}

/// A tally that a pool holds.
#[derive(Debug)]
pub(super) struct Book(&'static Tally);

/// Buffers, and the bytes that were requested.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Amount {
    pub(super) buffers: usize,
    pub(super) bytes: usize,
}

impl Book {
    /// An empty one.
    pub(super) fn open() -> Self {
        let tally = free().pop().unwrap_or_else(|| Box::leak(Box::default()));
        tally.out.store(ONE, Relaxed);
        tally.peak_buffers.store(0, Relaxed);
        tally.peak_bytes.store(0, Relaxed);
        Book(tally)
    }

    pub(super) fn tally(&self) -> &'static Tally {
        self.0
    }
}

impl Drop for Book {
    fn drop(&mut self) {
        self.0.less(ONE);
    }
}

impl Tally {
    /// A buffer of `bytes` goes out.
    #[inline]
    pub(super) fn lend(&self, bytes: usize) {
        let more = ONE.wrapping_add(bytes as u64);
        let now = amount(self.out.fetch_add(more, Relaxed).wrapping_add(more));
        raise(&self.peak_buffers, now.buffers);
        raise(&self.peak_bytes, now.bytes);
    }

    /// It is back.
    #[inline]
    pub(super) fn receive(&'static self, bytes: usize) {
        self.less(ONE.wrapping_add(bytes as u64));
    }

    #[inline]
    fn less(&'static self, amount: u64) {
        if self.out.fetch_sub(amount, Relaxed) == amount {
            self.retire();
        }
    }

    /// Pool and buffers are gone. Whoever takes the tally over is behind the lock.
    #[cold]
    fn retire(&'static self) {
        free().push(self);
    }

    /// What is out now.
    pub(super) fn out(&self) -> Amount {
        amount(self.out.load(Relaxed))
    }

    /// The most that was out at once.
    pub(super) fn peak(&self) -> Amount {
        Amount { buffers: self.peak_buffers.load(Relaxed), bytes: self.peak_bytes.load(Relaxed) }
    }
}

/// What the word of a pool says that is alive.
#[inline]
fn amount(word: u64) -> Amount {
    Amount { buffers: (word >> BYTE_BITS).saturating_sub(1) as usize, bytes: (word & (ONE - 1)) as usize }
}

#[inline]
fn raise(peak: &AtomicUsize, now: usize) {
    if now > peak.load(Relaxed) {
        peak.fetch_max(now, Relaxed);
    }
}

const _: () = assert!(mem::size_of::<Tally>() == 128);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tally_is_taken_over_when_pool_and_buffers_are_gone() {
        let book = Book::open();
        let tally = book.tally();
        tally.lend(10);
        tally.lend(20);
        drop(book);
        tally.receive(10);
        let is_free = || free().iter().any(|&free| std::ptr::eq(free, tally));
        assert!(!is_free(), "a buffer is out");
        tally.receive(20);
        assert!(is_free());
        // No other test may take it meanwhile.
        let mut held = Vec::new();
        while is_free() {
            held.push(Book::open());
        }
        assert!(held.iter().all(|book| book.tally().out() == Amount::default()));
        assert!(held.iter().all(|book| book.tally().peak() == Amount::default()));
    }

    #[test]
    fn too_much_to_count_leaves_no_trace() {
        let book = Book::open();
        let tally = book.tally();
        tally.lend(7);
        tally.lend(usize::MAX >> 2);
        tally.receive(usize::MAX >> 2);
        assert_eq!(tally.out(), Amount { buffers: 1, bytes: 7 });
        tally.receive(7);
    }
}
