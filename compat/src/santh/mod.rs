//! santh-bufpool 0.1: fixed size classes, zero bytes, and statistics with peaks.
//!
//! | requested bytes | capacity |
//! |---|---|
//! | 0 to 4096 | 4 KiB |
//! | to 65,536 | 64 KiB |
//! | to 262,144 | 256 KiB |
//! | to 1,048,576 | 1 MiB |
//! | more | as requested, not pooled |
//!
//! What is different from the original:
//!
//! - [`checkout_aligned`](BufferPool::checkout_aligned) aligns.
//! - A buffer is wiped as far as it was written, not always to its end, before it lies idle anywhere. So a checkout still
//!   gives zero bytes, and costs less.
//! - [`FrozenBuffer`] can be cloned, as its documentation says.
//! - Every checkout and every return is counted, whoever serves it, on whichever thread.
//! - NUMA placement needs no feature.
//!
//! ```
//! use millpond_compat::santh::{BufferPool, PoolConfig};
//!
//! let pool = BufferPool::new(PoolConfig { four_kib_count: 2, ..PoolConfig::default() });
//! let mut buffer = pool.checkout(128)?;
//! buffer[0] = 42;
//! assert_eq!((buffer.len(), buffer.capacity()), (128, 4096));
//! # Ok::<(), millpond_compat::santh::Error>(())
//! ```

mod buffer;
mod config;
pub mod error;
mod pool;
mod stats;
mod tally;

pub use buffer::{FrozenBuffer, PoolBuffer};
pub use config::PoolConfig;
pub use error::{Error, Result};
pub use pool::BufferPool;
pub use stats::{PoolCounters, PoolStats, PoolStatsSnapshot};
