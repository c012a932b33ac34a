//! The values of the object pools.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use millpond::Reuse;

/// The room that a brick may keep, and the room from which on it is not kept at all.
const TRIM: usize = 16 << 10;
const TOO_LARGE: usize = 128 << 10;

/// A value that is weighed, and that adds up the weights by itself.
pub struct Brick {
    pub bytes: Vec<u8>,
    weight: AtomicUsize,
    /// Of all bricks that there are.
    total: Arc<AtomicUsize>,
}

impl Brick {
    /// A brick with room, or none where there is no memory for it.
    pub fn with_room(room: usize, total: &Arc<AtomicUsize>) -> Result<Self, NoBrick> {
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(room).map_err(|_| NoBrick)?;
        Ok(Self { bytes, weight: AtomicUsize::new(0), total: total.clone() })
    }

    /// What the pool charges for it.
    pub fn weigh(&self) -> usize {
        let weight = size_of::<Self>() + self.bytes.capacity();
        // Relaxed: read when nobody works.
        self.total.fetch_add(weight, Relaxed);
        self.total.fetch_sub(self.weight.swap(weight, Relaxed), Relaxed);
        weight
    }
}

impl Drop for Brick {
    fn drop(&mut self) {
        self.total.fetch_sub(self.weight.load(Relaxed), Relaxed);
    }
}

impl Reuse for Brick {
    fn reuse(&mut self, _: usize) -> bool {
        self.bytes.clear();
        if self.bytes.capacity() > TRIM {
            self.bytes.shrink_to(TRIM);
        }
        // Some are never taken back, so that discarding has its turn, too.
        self.bytes.capacity() % 16 != 15 && self.bytes.capacity() < TOO_LARGE
    }
}

/// What `try_create` fails with when a failure is injected.
#[derive(Debug)]
pub struct NoBrick;

impl fmt::Display for NoBrick {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("injected")
    }
}

impl std::error::Error for NoBrick {}

/// A value of one size, which knows who has it.
pub struct Token {
    pub owner: u64,
    pub places: [u64; 15],
}

impl Token {
    pub fn new() -> Self {
        Self { owner: 0, places: [0; 15] }
    }
}

impl Reuse for Token {
    fn reuse(&mut self, _: usize) -> bool {
        *self = Self::new();
        true
    }
}
