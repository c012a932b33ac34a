//! Dmitry Vyukov's bounded MPMC queue
//! (<https://www.1024cores.net/home/lock-free-algorithms/queues/bounded-mpmc-queue>), used by spinning, for the rows
//! in which buffers change threads.
//!
//! Every place has a turn, written `{ lap, index }` here and `lap * capacity + index` in memory. A place whose turn
//! is that of the tail is free to be filled; filling it makes it one more, which is the turn the head waits for;
//! emptying it makes it the tail's turn of the next lap.

#![allow(unsafe_code, reason = "places are filled by one thread and emptied by another")]

use std::cell::UnsafeCell;
use std::hint;
use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// Tries before a thread that cannot go on lets another run: there may be fewer processors than threads. A power of
/// two.
const SPINS: u32 = 128;

/// A queue of bounded length; both ends may be used by any number of threads.
pub struct Queue<T> {
    places: Box<[Place<T>]>,
    head: Line,
    tail: Line,
}

struct Place<T> {
    turn: AtomicUsize,
    value: UnsafeCell<MaybeUninit<T>>,
}

/// A counter alone on its cache line, and on the line that the prefetcher brings with it.
#[repr(align(128))]
struct Line(AtomicUsize);

// SAFETY: a place's value is touched only by the thread that won the place's turn, and turns hand it from one thread
// to the next with release and acquire; so values move between threads, and nothing else does.
unsafe impl<T: Send> Sync for Queue<T> {}

impl<T> Queue<T> {
    /// `capacity` is a power of two.
    pub fn new(capacity: usize) -> Self {
        assert!(capacity.is_power_of_two());
        let place = |turn| Place { turn: AtomicUsize::new(turn), value: UnsafeCell::new(MaybeUninit::uninit()) };
        let line = || Line(AtomicUsize::new(0));
        Self { places: (0..capacity).map(place).collect(), head: line(), tail: line() }
    }

    /// Waits for a free place.
    pub fn send(&self, mut value: T) {
        for tries in 1.. {
            match self.push(value) {
                Ok(()) => return,
                Err(back) => value = back,
            }
            wait(tries);
        }
    }

    /// Waits for a value.
    pub fn receive(&self) -> T {
        for tries in 1.. {
            if let Some(value) = self.pop() {
                return value;
            }
            wait(tries);
        }
        unreachable!("nobody tries 2^32 times in vain")
    }

    fn push(&self, value: T) -> Result<(), T> {
        let Some((place, turn)) = self.claim(&self.tail.0, 0) else {
            return Err(value);
        };
        // SAFETY: the claim makes this thread the only one to touch the value until the turn is passed on.
        unsafe { (*place.value.get()).write(value) };
        // Release: whoever sees the turn sees the value.
        place.turn.store(turn + 1, Ordering::Release);
        Ok(())
    }

    fn pop(&self) -> Option<T> {
        let (place, turn) = self.claim(&self.head.0, 1)?;
        // SAFETY: as in `push`; and only readers of a filled place come this far.
        let filled = unsafe { &*place.value.get() };
        // SAFETY: the value is initialised, and nobody reads it again.
        let value = unsafe { filled.assume_init_read() };
        // Release: whoever fills the place next does so after the value was moved out.
        place.turn.store(turn + self.places.len(), Ordering::Release);
        Some(value)
    }

    /// Claims the place at `end` if its turn has come, which is `ahead` of the end's; gives the place and the end's
    /// turn.
    fn claim(&self, end: &AtomicUsize, ahead: usize) -> Option<(&Place<T>, usize)> {
        let mut at = end.load(Ordering::Relaxed);
        loop {
            let place = &self.places[at & (self.places.len() - 1)];
            // Acquire: pairs with the release that passed the turn on.
            let turn = place.turn.load(Ordering::Acquire);
            if turn == at + ahead {
                // Relaxed: the counter only shares out places, the turn orders what is in them.
                match end.compare_exchange_weak(at, at + 1, Ordering::Relaxed, Ordering::Relaxed) {
                    Ok(_) => return Some((place, at)),
                    Err(now) => at = now,
                }
            } else if turn < at + ahead {
                return None;
            } else {
                at = end.load(Ordering::Relaxed);
            }
        }
    }
}

impl<T> Drop for Queue<T> {
    fn drop(&mut self) {
        while self.pop().is_some() {}
    }
}

fn wait(tries: u32) {
    if tries & (SPINS - 1) == 0 { thread::yield_now() } else { hint::spin_loop() }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn values_come_out_in_order_and_no_more_than_fit_go_in() {
        let queue = Queue::new(4);
        for lap in 0..3 {
            assert!(queue.pop().is_none());
            (0..4).for_each(|n| queue.send(lap * 4 + n));
            assert_eq!(queue.push(99), Err(99));
            (0..4).for_each(|n| assert_eq!(queue.receive(), lap * 4 + n));
        }
    }

    #[test]
    fn every_value_arrives_once() {
        let queue = Queue::new(8);
        let sum = AtomicUsize::new(0);
        thread::scope(|scope| {
            for part in 0..4 {
                let (queue, sum) = (&queue, &sum);
                scope.spawn(move || (part * 1000..(part + 1) * 1000).for_each(|n| queue.send(n)));
                scope.spawn(move || sum.fetch_add((0..1000).map(|_| queue.receive()).sum(), Ordering::Relaxed));
            }
        });
        assert_eq!(sum.into_inner(), (0..4000).sum::<usize>());
    }

    #[test]
    fn values_left_behind_are_dropped() {
        let value = Arc::new(());
        let queue = Queue::new(2);
        queue.send(value.clone());
        drop(queue);
        assert_eq!(Arc::strong_count(&value), 1);
    }
}
