//! Pooled byte buffers and pooled values: they come out of a pool without a lock or a call of the allocator, and go back
//! when they are dropped.
//!
//! A [`BufferPool`] gives out [`PooledBuf`]s, which behave like a `Vec<u8>` and go home on drop. Frozen, they become
//! [`PooledBytes`], which are cheap to clone and to slice, and go home when the last of them is dropped.
//!
//! ```
//! use millpond::{BufferPool, Capacity, PooledBytes, Recycled};
//!
//! let pool = BufferPool::new();
//!
//! let mut buf = pool.get(Capacity(1500));         // empty, with room for 1500 bytes
//! buf.extend_from_slice(b"GET / HTTP/1.1\r\n");
//! let message: PooledBytes = buf.freeze();        // immutable; clones and slices share it
//! let method = message.slice(..3);
//! assert_eq!(method, *b"GET");
//!
//! let zeros = pool.get(10_000);
//! assert!(zeros.iter().all(|&byte| byte == 0));
//! let block = pool.get(Recycled(1 << 20));        // old bytes, to be overwritten
//! let reply = pool.copy_from(b"200 OK");
//! let batch = pool.get_many([2048; 64]);          // a whole batch in a few exchanges with other threads
//! # assert_eq!((zeros.len(), block.len(), reply.len(), batch.len()), (10_000, 1 << 20, 6, 64));
//! ```
//!
//! A [`Pool<T>`](Pool) does the same for any value that is [`Reuse`]: collections, text, or a type of your own, in five
//! lines. Its [`Pooled<T>`](Pooled) is made ready for the next user as it goes home.
//!
//! ```
//! let pool = millpond::Pool::<Vec<f32>>::new();
//! let mut block = pool.get();                     // empty, with the room it had when it was returned
//! block.extend([0.5; 512]);
//! let left = block.freeze();                      // immutable; clones share it
//! let right = left.clone();
//! # assert_eq!(left, right);
//! ```
//!
//! # Verbs and values
//!
//! The verb says what happens when there is no memory, the value says what the buffer holds. Pools of values have the
//! same verbs, without a request.
//!
//! | verb | when memory is short |
//! |---|---|
//! | [`get`](BufferPool::get), [`get_many`](BufferPool::get_many), [`copy_from`](BufferPool::copy_from) | panics with the text of the error; never waits |
//! | [`try_get`](BufferPool::try_get), [`try_get_many`](BufferPool::try_get_many) | returns an [`Error`] with the numbers; never waits |
//! | [`acquire`](BufferPool::acquire), [`acquire_many`](BufferPool::acquire_many) | waits its turn: a future, or [`wait`](Acquire::wait) for threads without a runtime |
//!
//! | request | what the buffer holds |
//! |---|---|
//! | `4096` (a `usize`) | 4096 bytes, all zero |
//! | [`Capacity(n)`](Capacity) | nothing yet, with room for at least `n` bytes |
//! | [`Recycled(n)`](Recycled) | `n` initialised bytes of unspecified value; zero where the pool wipes on return |
//!
//! # How memory is bounded
//!
//! The memory of all buffers of a pool, out or idle, is charged to a [`Budget`], and never exceeds it by a byte. (The
//! header that each buffer has besides, see below, is not charged.) By default it is that of
//! the [process](Budget::process), a quarter of the memory that the process may use;
//! [`max_memory`](BufferPoolBuilder::max_memory) gives a pool a part of it, and [`Budget::new`] one that several pools
//! share. When it is spent, idle memory gives way, wherever it is cached and whichever pool on the budget it belongs to;
//! only then a request fails, [waits](Acquire), or is served from [outside](Overflow::Unpooled). `docs/bounded.md` in the
//! repository tells it in full.
//!
//! # What it costs
//!
//! Each thread has a *magazine* for each size class it uses: a small stack of idle buffers that it alone works on.
//! Behind the magazines is a *depot*, common to all threads, or to those of one node of the machine if the pool asks for
//! [local](Node::Local) memory.
//!
//! | a get or a return | costs |
//! |---|---|
//! | that the thread's magazine serves | no lock, no allocation, no system call, no atomic read-modify-write |
//! | when the magazine is empty or full | one exchange with the depot, a compare-and-swap for up to half a magazine of buffers |
//! | when the depot is empty | one call of the global allocator or, for large classes, a short lock and mostly a mapping |
//! | when more lies idle than may | one call that gives the memory back |
//! | with fresh memory, or giving memory back | besides, an atomic addition to each budget from the pool's to the topmost |
//! | while requests wait in line, and a thousand returns longer | a short lock |
//!
//! Zero bytes cost only what somebody could have written since they were last zero: a buffer of 64 KiB that was written
//! in its first KiB costs the zeroing of one KiB. Indexing and slicing for writing (`DerefMut`) expose the buffer's
//! length; [`spare_capacity_mut`](PooledBuf::spare_capacity_mut) and `BufMut::chunk_mut` expose its capacity.
//!
//! A thread pays 640 bytes for each class of each pool that it uses, and 8 bytes for each class that any thread uses of
//! any pool alive. A buffer pays 128 bytes beside its memory. Requests are rounded up to the next class, by at most
//! half of what was asked for with the default classes. Buffers above the largest class are not pooled.
//!
//! # Registered memory
//!
//! The mappings of a pool are its [regions](Region). [`regions`](BufferPool::regions) lists them by index, address and
//! length, and a buffer knows its [region](PooledBuf::region) and where in it it starts: all that a kernel or a device
//! has to be told of a fixed buffer. A [`RegionPin`] keeps all pages where they are meanwhile, a [`RegionWatcher`] is
//! told which regions come and go, and a [`RawBuf`] is a buffer in the 64 bits that such interfaces hand back. With
//! [`Memory::source`] the regions are memory of the user's: shared, of a device, of a file. `docs/memory.md` in the
//! repository tells it in full.
//!
//! # Threads, and the end of things
//!
//! - A pool is a cheap handle; clones share it. Buffers are `'static`. Any thread may drop anything, in any order, also
//!   while its thread-locals are being destroyed.
//! - A thread that sleeps keeps no idle memory from the others. When the last handle of a pool goes, or with
//!   [`close`](BufferPool::close), all that lies idle is freed at once, in every thread's magazines. Buffers that are
//!   out stay valid and are freed when they come home.
//! - The first use of a class on a thread makes its magazine, which allocates.
//!   [`attach_thread`](BufferPool::attach_thread) does it beforehand, and [`prefill`](BufferPoolBuilder::prefill) has
//!   the memory ready.
//! - In a `cdylib` or a plugin, each access to thread-local state is a call into the dynamic linker, so a hit costs two
//!   calls more.
//! - After a `fork`, the child may drop what it has, unless requests waited in line at that moment. It may use pools if
//!   all other threads were outside of them then. Signal handlers must not use pools.
//!
//! # Features
//!
//! - `bytes` (default): `BufMut` for [`PooledBuf`], `Buf` for [`PooledBytes`], and conversion into `bytes::Bytes`
//!   without a copy. Without it the library depends on `libc` alone (on Windows on `windows-sys`).
//! - `pressure`: on Linux, pools give idle memory back when the kernel tells that tasks wait for memory, those of the
//!   process' control group (`memory.pressure` of version 2) where that can be read, or else those of the machine
//!   (`/proc/pressure/memory`). From a tenth of the time on in which some wait, it is as if
//!   [`pressure`](BufferPool::pressure) were called with [`Pressure::Moderate`] once a second, and where all wait, with
//!   [`Pressure::Critical`], until it is half of that. The maintenance thread reads the file once a second while any pool
//!   has more than was prefilled, and looks after pools that do not decay, too; pools with [`Maintenance::Manual`] heed it
//!   in `maintain`. The file is opened when the first pool is built, and nothing is different where there is none, or on
//!   other systems.
//! - `track`: pools that are built to `track` remember who took what is out, and list it by place in the program
//!   (`outstanding`), to find leaks. The other pools pay a few instructions for each get.
//! - `io-uring-07`: on Linux, the module `io_uring_07`: provided buffers from a pool, and reads and writes on memory of a pool
//!   that the ring knows, with the crate `io-uring` in version 0.7. `docs/io.md` in the repository shows how, and what becomes
//!   of it where the system does not do its part. On other systems the feature changes nothing.
//! - `compio-buf-08`: `IoBuf`, `IoBufMut` and `SetLen` of `compio-buf` 0.8 for [`PooledBuf`], `IoBuf` for
//!   [`PooledBytes`], `IoVectoredBuf` for [`PooledChain`].
//! - `compio-driver-012`: a `BufferAllocator` of `compio-driver` 0.12, so that compio's managed reads take their buffers
//!   from a pool.
//! - `tokio-uring-05`: on Linux, `IoBuf` and `IoBufMut` of `tokio-uring` 0.5. For `writev`, collect a chain's pieces.
//! - `monoio-02`: on Linux, `IoBuf` and `IoBufMut` of `monoio` 0.2, and `IoVecBuf` for chains.
//!
//! - `futures-io-03`: `AsyncWrite` of `futures-io` 0.3 for [`PooledBuf`], `AsyncRead` and `AsyncBufRead` for
//!   [`PooledBytes`] and [`PooledChain`], and the module `futures_io_03` with reads into a [`PooledBuf`]. (For tokio's readers
//!   and writers `bytes` is enough.)
//! - `http-body`: `Body` of `http-body` 1 for [`PooledBytes`] and [`PooledChain`], whose pieces go home as they are sent. With
//!   `bytes` alone, bodies of other crates take [`PooledBytes`], such as `http_body_util::Full`. Enables `bytes`.
//! - `serde`: [`BufferPool`] is a `DeserializeSeed` for [`PooledBuf`]; `Serialize` for [`PooledBuf`] and [`PooledBytes`]; the
//!   module `serde` for fields of the shared pool.
//! - `stable_deref_trait`: `StableDeref` for [`PooledBuf`], [`PooledBytes`], [`Pooled`], [`PooledArc`] and [`PooledSlice`],
//!   `CloneStableDeref` for the shared ones, for types that borrow from what they own.
//! - `zeroize`: `Zeroize` for [`PooledBuf`], [`Pooled`] and [`PooledBatch`], and so `Zeroizing` and secrecy's `SecretBox`.
//! - `metrics-024`, `prometheus-client-025`: what pools have done and hold, for the facade `metrics` 0.24 and as a collector of
//!   `prometheus-client` 0.25, in modules of these names. `tracing-01`: events of `tracing` 0.1 where pools refuse, wait or give
//!   back. None of them costs a hit an instruction. `docs/observe.md` in the repository has names, labels and fields.
//!
//! Features whose names end in a version are for that version alone, so that another can be added beside it; the
//! other crates are above 1.0. Two do not state which Rust they need: those of compio 1.93 at least. All the others build with
//! that of this crate.
//! Each read of the four runtimes' crates lends the whole capacity for writing, and with it old bytes that nobody should look
//! at. With them, as with `Vec<u8>`, storing uninitialised bytes below the length through a slice of `MaybeUninit` breaks their
//! contract.
//!
//! # Platforms
//!
//! Linux, Windows, macOS and other unix systems, with 64-bit atomics. Linux (since 4.14) and Windows let one thread run
//! a memory barrier in all others, which is what makes a hit free of atomic read-modify-writes *and* robbable.
//! Elsewhere, so on macOS, each operation pays a real fence instead, on the hit path too.
//!
//! 32-bit programs are as good where there are 64-bit atomics. In WebAssembly memory is from the global allocator and never
//! given back to the system; nothing decays, for there are no threads, and no clock where there is no system: nobody can wait there.
//!
//! A library that has used pools must not be unloaded: threads have destructors of it to run at their end, and the
//! maintenance thread may be in it.
//!
//! # Safety
//!
//! No safe use shows a byte of an earlier user, except through [`Recycled`], which says so; and none shows an
//! uninitialised one. Unsafe are [`set_len`](PooledBuf::set_len), [`from_raw`](PooledBuf::from_raw), and to write a
//! [`MemorySource`]. The crate denies unsafe code and
//! allows it in the engine, the memory sources and the handles. `DESIGN.md` in the repository argues
//! for the protocol between threads; loom, Miri and the sanitizers check it.

// Where documents are built with `--cfg docsrs`, which needs nightly, items say which features they need.
#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(not(target_has_atomic = "64"))]
compile_error!(
    "millpond needs 64-bit atomics (`target_has_atomic = \"64\"`): lengths and counters share a word, as do indices and tags"
);

mod bytes;
mod cause;
mod engine;
mod interop;
mod memory;
mod object;
mod panics;
mod policy;
mod sync;
mod tell;

pub use crate::bytes::buf::PooledBuf;
pub use crate::bytes::chain::{ChainWriter, PooledChain};
pub use crate::bytes::frozen::PooledBytes;
pub use crate::bytes::pool::BufferPool;
pub use crate::bytes::raw::RawBuf;
pub use crate::bytes::regions::{InFlight, RegionPin, RegionWatch};
pub use crate::bytes::request::{Capacity, Recycled, Request};
pub use crate::engine::batch::PooledBatch;
// Modules of features; on some systems none.
#[allow(unused_imports, unreachable_pub)]
pub use crate::interop::*;
pub use crate::memory::Memory;
pub use crate::memory::options::{HugePages, MemoryOption, Need, Node, OsReason};
pub use crate::memory::regions::{Region, RegionWatcher};
pub use crate::memory::source::{MemorySource, SourceError, SourceMemory};
pub use crate::object::builder::PoolBuilder;
pub use crate::object::pool::Pool;
pub use crate::object::pooled::{Pooled, PooledArc};
pub use crate::object::reuse::Reuse;
pub use crate::object::slice::PooledSlice;
pub use crate::policy::acquire::Acquire;
pub use crate::policy::budget::Budget;
pub use crate::policy::builder::{BufferPoolBuilder, Overflow, Zeroing};
pub use crate::policy::error::{BuildError, CreateError, Error};
pub use crate::policy::eviction::Eviction;
pub use crate::policy::maintenance::Maintenance;
#[cfg(feature = "track")]
pub use crate::policy::outstanding::{CallSite, Outstanding};
pub use crate::policy::pressure::Pressure;
pub use crate::policy::stats::{ClassStats, MemoryStats, Stats};

/// What the feature `compio-driver-012` adds: memory for the managed reads of compio, out of a pool.
#[cfg(feature = "compio-driver-012")]
pub mod compio_driver_012 {
    pub use crate::interop::compio_driver::{PooledAllocator, Shared, StaticPool};
}

/// What the feature `futures-io-03` adds, beside the traits: reads into pooled buffers.
#[cfg(feature = "futures-io-03")]
pub mod futures_io_03 {
    pub use crate::interop::futures_io::{poll_read_buf, read_buf};
}

/// What the feature `metrics-024` adds: the numbers of pools for the facade `metrics`.
#[cfg(feature = "metrics-024")]
pub mod metrics_024 {
    pub use crate::interop::metrics::PoolExporter;
    pub use crate::interop::watched::Observe;
}

/// What the feature `monoio-02` adds on Linux, beside the traits: chains as lists that monoio writes.
#[cfg(all(feature = "monoio-02", target_os = "linux"))]
pub mod monoio_02 {
    pub use crate::interop::monoio::Iovecs;
}

/// What the feature `prometheus-client-025` adds: the numbers of pools as a collector.
#[cfg(feature = "prometheus-client-025")]
pub mod prometheus_client_025 {
    pub use crate::interop::prometheus_client::PoolCollector;
    pub use crate::interop::watched::Observe;
}

/// What the feature `serde` adds, beside the traits.
#[cfg(feature = "serde")]
pub mod serde {
    pub use crate::interop::serde::shared;
}

/// Runs the examples of the papers as tests.
#[cfg(doctest)]
mod papers {
    #[doc = include_str!("../README.md")]
    struct Readme;

    #[doc = include_str!("../docs/memory.md")]
    struct ChoosingMemory;

    #[doc = include_str!("../docs/returning.md")]
    struct Returning;

    #[doc = include_str!("../docs/bounded.md")]
    struct Bounded;

    #[cfg(all(feature = "metrics-024", feature = "prometheus-client-025", feature = "track"))]
    #[doc = include_str!("../docs/observe.md")]
    struct Observing;

    #[cfg(all(feature = "io-uring-07", target_os = "linux"))]
    #[doc = include_str!("../docs/io.md")]
    struct DirectAndRegistered;
}
