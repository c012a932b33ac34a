//! Three older buffer pools by their own names, over [`millpond`]: a program written for one of them compiles when one
//! line is changed.
//!
//! | written for | line |
//! |---|---|
//! | santh-bufpool 0.1 | `use millpond_compat::santh as santh_bufpool;` |
//! | zeropool 0.3 | `use millpond_compat::zeropool;` |
//! | kithara-bufpool, as first published | `use millpond_compat::kithara as kithara_bufpool;` |
//!
//! ```
//! use millpond_compat::santh as santh_bufpool;
//! use santh_bufpool::{BufferPool, PoolConfig};
//!
//! let pool = BufferPool::new(PoolConfig { four_kib_count: 64, ..PoolConfig::default() });
//! let mut buf = pool.checkout(1024)?;
//! buf[..11].copy_from_slice(b"hello world");
//! # Ok::<(), santh_bufpool::Error>(())
//! ```
//!
//! Each module keeps what its original documents, and says where it differs. What they share:
//!
//! - Buffers go home to their own pool, on whichever thread and however late they are dropped; a thread that ends, or
//!   sleeps, keeps none of them.
//! - No byte is uninitialised, and none is of an earlier user where zero bytes are promised.
//! - There is no unsafe code here, and `millpond` argues for its own.
//! - Pools are on no [budget](millpond::Budget), because the originals know none. A pool of `millpond` is; that is one
//!   reason to go on to it. `docs/coming-from.md` in the repository has the names, old and new.
#![forbid(unsafe_code)]

pub mod kithara;
pub mod santh;
pub mod zeropool;

use std::num::NonZero;
use std::thread;

/// How many processors the process may use.
fn processors() -> usize {
    thread::available_parallelism().map_or(4, NonZero::get)
}

/// Runs the examples of the papers as tests.
#[cfg(doctest)]
mod papers {
    #[doc = include_str!("../README.md")]
    struct Readme;

    #[doc = include_str!("../../docs/coming-from.md")]
    struct ComingFrom;
}
