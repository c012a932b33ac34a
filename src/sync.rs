//! The one switch between `std` and [loom](https://docs.rs/loom): everything below `src/engine` takes its atomics from here.
//!
//! Loom explores every interleaving of a small model, so the sizes it sees are small too; they stand here and nowhere else.

#[cfg(loom)]
pub(crate) use loom::{
    cell::Cell,
    sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence},
};
#[cfg(not(loom))]
pub(crate) use std::{
    cell::Cell,
    sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence},
};

/// Places in a magazine, at most.
pub(crate) const DEPTH: usize = if cfg!(loom) { 3 } else { 64 };
/// Slots in a batch, at most.
pub(crate) const BATCH: usize = if cfg!(loom) { 2 } else { 16 };
/// Slots in the first segment of a slot table.
pub(crate) const FIRST_SEGMENT: u32 = if cfg!(loom) { 4 } else { 32 };
