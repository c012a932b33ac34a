//! Buffers of operations that the kernel has, by the number that an operation carries.
//!
//! Not the buffer's [raw](crate::RawBuf) form, which user data could hold: safe code may change the user data of a
//! completion, and a number that is looked up cannot be anything but a buffer of an operation that has not been
//! completed.
//!
//! ```text
//! user data   1 | owner: 15 bits | generation: 24 | place: 24
//! ```

use std::sync::atomic::{AtomicU16, Ordering::Relaxed};

use crate::bytes::buf::PooledBuf;

const PLACE_BITS: u32 = 24;
const OWNER_SHIFT: u32 = 48;
const OURS: u64 = 1 << 63;

/// The next owner's number.
static OWNERS: AtomicU16 = AtomicU16::new(0);

/// What an operation does with its buffer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    /// Writes to it.
    Read,
    /// Reads from it.
    Write,
}

#[derive(Debug)]
pub(super) struct Flights {
    /// In place.
    owner: u64,
    places: Vec<Place>,
    free: Vec<u32>,
}

#[derive(Debug)]
struct Place {
    /// How often it was used.
    generation: u32,
    flight: Option<(PooledBuf, Kind)>,
}

impl Flights {
    pub(super) fn new() -> Self {
        // Relaxed: a number that others do not have soon.
        let owner = u64::from(OWNERS.fetch_add(1, Relaxed)) << OWNER_SHIFT;
        Self { owner: OURS | owner, places: Vec::new(), free: Vec::new() }
    }

    pub(super) fn count(&self) -> usize {
        self.places.len() - self.free.len()
    }

    /// Keeps a buffer; the number under which it is found.
    pub(super) fn start(&mut self, buf: PooledBuf, kind: Kind) -> u64 {
        let place = self.free.pop().unwrap_or_else(|| self.add_place());
        let slot = &mut self.places[place as usize];
        slot.generation = slot.generation.wrapping_add(1) % (1 << PLACE_BITS);
        slot.flight = Some((buf, kind));
        self.owner | u64::from(slot.generation) << PLACE_BITS | u64::from(place)
    }

    fn add_place(&mut self) -> u32 {
        let place = self.places.len();
        assert!(place < 1 << PLACE_BITS, "{place} operations are in flight");
        self.places.push(Place { generation: 0, flight: None });
        place as u32
    }

    /// The buffer of this number, and what was done with it; none if it is not, or not any more, in flight.
    pub(super) fn end(&mut self, number: u64) -> Option<(PooledBuf, Kind)> {
        let place = self.find(number)?;
        let flight = self.places[place as usize].flight.take();
        self.free.push(place);
        flight
    }

    /// Whether it is in flight.
    pub(super) fn has(&self, number: u64) -> bool {
        self.find(number).is_some()
    }

    fn find(&self, number: u64) -> Option<u32> {
        let place = (number % (1 << PLACE_BITS)) as u32;
        let slot = self.places.get(place as usize)?;
        let expected = self.owner | u64::from(slot.generation) << PLACE_BITS | u64::from(place);
        (number == expected && slot.flight.is_some()).then_some(place)
    }

    /// All that are in flight.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = PooledBuf> + '_ {
        self.places.iter_mut().filter_map(|place| Some(place.flight.take()?.0))
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_good_for_one_flight_of_its_owner() {
        let pool = BufferPool::new();
        let [mut flights, mut others] = [Flights::new(), Flights::new()];
        let first = flights.start(pool.get(100), Kind::Read);
        assert!(flights.has(first) && !others.has(first));
        assert!(others.end(first).is_none());
        assert_eq!(flights.end(first).unwrap().0.len(), 100);
        assert!(flights.end(first).is_none(), "it has ended");
        let second = flights.start(pool.get(200), Kind::Write);
        assert_ne!(first, second, "the place is the same, the number is not");
        assert!(flights.end(first).is_none());
        let other = others.start(pool.get(300), Kind::Write);
        assert!([second, other].iter().all(|number| number & OURS != 0));
        assert_eq!((flights.count(), others.count()), (1, 1));
        assert_eq!(flights.end(second).unwrap().1, Kind::Write);
        assert_eq!((flights.count(), flights.end(0).is_none()), (0, true));
    }

    use crate::bytes::pool::BufferPool;
}
