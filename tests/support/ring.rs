//! A bounded queue from one thread to another that calls neither the allocator nor the kernel: whoever must wait, spins.

use std::hint::spin_loop;
use std::sync::Mutex;

/// Messages are numbered from 0 in the order in which they pass.
pub(crate) struct Ring<T, const PLACES: usize> {
    /// Locked by `try_lock` alone, so that nobody ever sleeps at one, nor has to wake anybody.
    places: [Mutex<Option<T>>; PLACES],
}

impl<T, const PLACES: usize> Ring<T, PLACES> {
    pub(crate) fn new() -> Self {
        Ring { places: [const { Mutex::new(None) }; PLACES] }
    }

    /// Passes message `number` on when there is room.
    pub(crate) fn put(&self, number: usize, message: T) {
        let mut message = Some(message);
        while message.is_some() {
            match self.places[number % PLACES].try_lock() {
                Ok(mut place) if place.is_none() => *place = message.take(),
                _ => spin_loop(),
            }
        }
    }

    /// Message `number`, when it is there.
    pub(crate) fn take(&self, number: usize) -> T {
        loop {
            let message = self.places[number % PLACES].try_lock().ok().and_then(|mut place| place.take());
            match message {
                Some(message) => return message,
                None => spin_loop(),
            }
        }
    }
}
