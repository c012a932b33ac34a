//! Where waiters find what they got, without the lock: a hatch for each key.

use std::collections::TryReserveError;
use std::sync::OnceLock;

use crate::engine::spare::Hatch;
use crate::sync::FIRST_HATCHES;

/// Rows of hatches, each twice as long as the one before. They stay where they are until the tree goes, so nobody who
/// looks for one must be kept from those who make others.
pub(super) struct Hatches {
    rows: [OnceLock<Box<[Hatch]>>; ROWS],
}

/// Enough for all keys.
const ROWS: usize = (u32::BITS - FIRST_HATCHES.ilog2()) as usize;

impl Hatches {
    pub(super) fn new() -> Self {
        Hatches { rows: [const { OnceLock::new() }; ROWS] }
    }

    /// Makes a hatch for a key, when it is the first of its row together with the rest of that. Under the lock of the lines.
    pub(super) fn make(&self, key: usize) -> Result<(), TryReserveError> {
        let (row, _) = place_of(key);
        if self.rows[row].get().is_none() {
            let mut hatches = Vec::new();
            hatches.try_reserve_exact(FIRST_HATCHES << row)?;
            hatches.resize_with(FIRST_HATCHES << row, Hatch::new);
            self.rows[row].get_or_init(|| hatches.into_boxed_slice());
        }
        Ok(())
    }

    /// The hatch of a key.
    #[inline]
    pub(super) fn at(&self, key: usize) -> &Hatch {
        let (row, place) = place_of(key);
        &self.rows[row].get().expect("a hatch is made for each key")[place]
    }
}

/// The row of a key's hatch, and its place there.
#[inline]
fn place_of(key: usize) -> (usize, usize) {
    let number = key + FIRST_HATCHES;
    let row = (number.ilog2() - FIRST_HATCHES.ilog2()) as usize;
    (row, number - (FIRST_HATCHES << row))
}
