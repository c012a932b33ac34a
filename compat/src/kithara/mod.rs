//! kithara-bufpool as it was first published: pools of any value that can be used again.
//!
//! ```
//! use millpond_compat::kithara::{Pool, PooledSlice, SharedPool};
//!
//! let pool = Pool::<32, Vec<u8>>::new(1024, 128 * 1024);
//! let mut buf = pool.get_with(|buf| buf.resize(4096, 0));
//! buf[..5].copy_from_slice(b"hello");
//! let slice = PooledSlice::new(buf, 5);           // what was read, of what there is room for
//! assert_eq!(slice.as_slice(), b"hello");
//!
//! let shared = SharedPool::<32, Vec<f32>>::new(1024, 32_768);
//! let samples = shared.get_with(|samples| samples.resize(512, 0.0));
//! std::thread::spawn(move || assert_eq!(samples.len(), 512)).join().unwrap();
//! ```
//!
//! What is different from the original:
//!
//! - There are no shards. Their number is part of the types, and counts for how many values are kept, as it did: `SHARDS`
//!   times the whole part of `max_buffers / SHARDS`. A thread finds what any other returned, also in its cache.
//! - Values are `Send` and `'static`, which [`Reuse`] demands; wherever a type is generic over the elements of a vector,
//!   they must be, too.
//! - When `init` of `get_with` panics, the value goes home.

mod global;
mod guard;
mod pool;
mod reuse;
mod slice;

#[doc(inline)]
pub use crate::__kithara_global_pool as global_pool;
pub use guard::{Pooled, PooledOwned};
pub use pool::{Pool, SharedPool};
pub use reuse::Reuse;
pub use slice::{PooledSlice, PooledSliceOwned};
