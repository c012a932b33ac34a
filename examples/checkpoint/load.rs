//! A load of all tensors of a file in one way, with what it took.

use std::fs::File;
use std::time::{Duration, Instant};

use crate::Result;
use crate::model::Place;
use crate::system;
use crate::ways::Way;

/// What a load took.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Load {
    /// Until memory was there: allocated, and each OS page of it touched.
    pub(crate) memory: Duration,
    /// Until the tensors were in it.
    pub(crate) read: Duration,
    /// Until they were used.
    pub(crate) used: Duration,
    /// Until memory was given back.
    pub(crate) dropped: Duration,
    pub(crate) faults: Option<u64>,
    /// What came to be resident while all tensors were kept.
    pub(crate) kept: Option<i64>,
    /// What stayed resident when all were dropped.
    pub(crate) stayed: Option<i64>,
    /// Of all that was loaded.
    pub(crate) checksum: u64,
}

impl Load {
    pub(crate) fn whole(&self) -> Duration {
        self.memory + self.read + self.used + self.dropped
    }
}

/// Loads each tensor and uses it, then drops it before the next, or keeps it until all are there.
pub(crate) fn load<W: Way>(way: &W, file: &File, places: &[Place], keep: bool) -> Result<Load> {
    let mut load = Load::default();
    let mut kept = Vec::with_capacity(places.len());
    let (faults, resident) = (system::page_faults(), system::resident());
    for &place in places {
        let mut memory = timed(&mut load.memory, || way.take(file, place))?;
        timed(&mut load.read, || way.fill(&mut memory, file, place))?;
        let sum = timed(&mut load.used, || checksum(&memory));
        load.checksum = load.checksum.wrapping_add(sum);
        if keep {
            kept.push(memory);
        } else {
            timed(&mut load.dropped, || drop(memory));
        }
    }
    let beyond = |before: i64| Some(system::resident()? - before);
    load.kept = resident.and_then(beyond);
    timed(&mut load.dropped, || drop(kept));
    load.stayed = resident.and_then(beyond);
    load.faults = faults.and_then(|before| Some(system::page_faults()? - before));
    Ok(load)
}

fn timed<T>(sum: &mut Duration, act: impl FnOnce() -> T) -> T {
    let begin = Instant::now();
    let value = act();
    *sum += begin.elapsed();
    value
}

/// Stands for what a program does with a tensor: reads all of it once. Tensors are whole words here, as those of `f32` in
/// even numbers are; what is beyond does not count.
fn checksum(bytes: &[u8]) -> u64 {
    let words = bytes.chunks_exact(8).map(|word| u64::from_le_bytes(word.try_into().expect("eight bytes")));
    words.fold(bytes.len() as u64, |sum, word| (sum.rotate_left(5) ^ word).wrapping_mul(0x9E37_79B9_7F4A_7C15))
}
