//! zeropool 0.3: speed first, configured by the number of processors.
//!
//! ```
//! use millpond_compat::zeropool::BufferPool;
//!
//! let pool = BufferPool::builder().min_buffer_size(512 << 10).tls_cache_size(8).build();
//! let mut buffer = pool.get(1 << 20);             // old bytes; nothing is zeroed
//! buffer.fill(0);
//! drop(buffer);                                   // home
//! let again: Vec<u8> = pool.get(1 << 20).into_inner();
//! # assert_eq!(again.len(), 1 << 20);
//! ```
//!
//! What is different from the original:
//!
//! - [`PooledBuffer`] dereferences to [`PooledBuf`](millpond::PooledBuf), not to `Vec<u8>`: to its `clear`, `truncate`,
//!   `resize`, `extend`, `extend_from_slice`, `reserve`, `read_from`, and through it to the bytes. There is no `push`,
//!   `pop` or `insert`, and `&mut buffer` is no `&mut Vec<u8>`. [`into_inner`](PooledBuffer::into_inner) gives a `Vec`, and
//!   copies.
//! - What [`get`](BufferPool::get) exposes is initialised, always.
//! - Sizes are rounded up to two classes a doubling, and a request is served by its class. Where there are limits on
//!   numbers of buffers, each class has them for itself.
//! - [`pinned_memory`](Builder::pinned_memory) pins.
//! - Pools on one thread keep apart, and a thread that ends leaves what it cached to the others.
//! - There are no shards. Their number counts for how many buffers the pool keeps, as it did.

mod buffer;
mod builder;
mod classes;
mod defaults;
mod pool;

pub use buffer::PooledBuffer;
pub use builder::{Builder, EvictionPolicy};
pub use pool::BufferPool;
