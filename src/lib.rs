//! millpond
#[cfg(not(target_has_atomic = "64"))]
compile_error!(
    "millpond needs 64-bit atomics (`target_has_atomic = \"64\"`): lengths and counters share a word, as do indices and tags"
);

mod bytes;
mod engine;
mod memory;
mod policy;
mod sync;

pub use crate::bytes::batch::PooledBatch;
pub use crate::bytes::buf::PooledBuf;
pub use crate::bytes::frozen::PooledBytes;
pub use crate::bytes::pool::BufferPool;
pub use crate::bytes::request::{Capacity, Recycled, Request};
pub use crate::memory::Memory;
pub use crate::policy::builder::{BufferPoolBuilder, Zeroing};
pub use crate::policy::error::{BuildError, Error};
pub use crate::policy::stats::{ClassStats, Stats};
