//! The values of the object rows.

use std::collections::HashMap;
use std::iter;

use millpond::Reuse;

use super::contenders::floor_objects::Stacked;
#[cfg(feature = "rivals")]
use super::contenders::kithara;
use super::objects::{Kept, Value};

/// The most samples that a value holds.
pub const SAMPLES: usize = 4096;
/// Samples of an audio block.
pub const BLOCK: usize = 512;
/// Pairs that a map is filled with.
const PAIRS: u64 = 8;

/// What samples are filled with. Computed, because the time of a copy would depend on where an allocator happened to put
/// the memory beside its source.
#[inline(always)]
pub fn ramp(len: usize) -> impl Iterator<Item = f32> {
    (0..len as i32).map(|n| n as f32)
}

/// Room for `N` samples.
#[derive(Default)]
pub struct Samples<const N: usize>(Vec<f32>);

impl<const N: usize> Value for Samples<N> {
    type Content = [f32];
    type Part = f32;

    #[inline(always)]
    fn touch(&mut self) -> &mut f32 {
        self.0.push(1.0);
        &mut self.0[0]
    }

    #[inline(always)]
    fn fill(&mut self) -> &mut f32 {
        self.0.extend(ramp(N));
        &mut self.0[0]
    }

    fn content(&self) -> &[f32] {
        &self.0
    }
}

impl<const N: usize> Kept for Samples<N>
where
    Self: Stacked,
{
    type Alone = Self;
    #[cfg(feature = "rivals")]
    type Kithara = kithara::KitharaSamples<N>;

    #[inline]
    fn fresh() -> Self {
        Self(Vec::with_capacity(N))
    }

    #[inline]
    fn reset(&mut self) {
        self.0.clear();
    }

    fn weight(&self) -> usize {
        size_of_val(self) + self.0.capacity() * size_of::<f32>()
    }
}

impl<const N: usize> Reuse for Samples<N> {
    #[inline]
    fn reuse(&mut self, trim: usize) -> bool {
        self.0.reuse(trim)
    }
}

/// 200 bytes, of which a reset changes only the length: for those who reset, what a pool itself costs is not buried
/// under the bytes that they write.
pub struct Packet {
    len: usize,
    bytes: [u8; 192],
}

impl Default for Packet {
    fn default() -> Self {
        Self { len: 0, bytes: [0; 192] }
    }
}

impl Value for Packet {
    type Content = [u8];
    type Part = u8;

    #[inline(always)]
    fn touch(&mut self) -> &mut u8 {
        self.len = 1;
        self.bytes[0] = 1;
        &mut self.bytes[0]
    }

    #[inline(always)]
    fn fill(&mut self) -> &mut u8 {
        self.len = self.bytes.len();
        self.bytes.fill(1);
        &mut self.bytes[0]
    }

    fn content(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

impl Kept for Packet {
    type Alone = Box<Self>;
    #[cfg(feature = "rivals")]
    type Kithara = kithara::Unknown<Self>;

    #[inline]
    fn fresh() -> Self {
        Self::default()
    }

    #[inline]
    fn reset(&mut self) {
        self.len = 0;
    }

    fn weight(&self) -> usize {
        size_of_val(self)
    }
}

impl Reuse for Packet {
    #[inline]
    fn reuse(&mut self, _: usize) -> bool {
        self.reset();
        true
    }
}

/// A map on the standard library's hasher.
#[derive(Default)]
pub struct Map(HashMap<u64, u64>);

impl Value for Map {
    type Content = HashMap<u64, u64>;
    type Part = u64;

    #[inline(always)]
    fn touch(&mut self) -> &mut u64 {
        self.0.entry(0).or_insert(1)
    }

    #[inline(always)]
    fn fill(&mut self) -> &mut u64 {
        self.0.extend(iter::zip(0..PAIRS, 0..));
        self.touch()
    }

    fn content(&self) -> &HashMap<u64, u64> {
        &self.0
    }
}

impl Kept for Map {
    type Alone = Self;
    #[cfg(feature = "rivals")]
    type Kithara = kithara::Unknown<Self>;

    #[inline]
    fn fresh() -> Self {
        Self(HashMap::with_capacity(PAIRS as usize))
    }

    #[inline]
    fn reset(&mut self) {
        self.0.clear();
    }

    fn weight(&self) -> usize {
        size_of_val(self) + self.0.capacity() * size_of::<(u64, u64)>()
    }
}

impl Reuse for Map {
    #[inline]
    fn reuse(&mut self, trim: usize) -> bool {
        self.0.reuse(trim)
    }
}
