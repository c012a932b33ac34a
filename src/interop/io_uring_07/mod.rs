//! Buffers of a pool for `io_uring`, with the crate [`io-uring`](::io_uring) in version 0.7. Linux only.
//!
//! [`ProvidedBuffers`] are a group of buffers from which the kernel takes one whenever something has been received, so
//! that a connection that is silent holds none. [`FixedBuffers`] are the pool's memory in the ring's table, so that
//! reads and writes of files need not look up and pin OS pages each time. Both work with every ring and every runtime:
//! they build entries and read completions, and whoever owns the ring pushes and reaps.
//!
//! # Examples
//!
//! Datagrams, received into buffers of a pool until they are all there:
//!
//! ```
//! # use std::net::UdpSocket;
//! # use std::os::fd::AsRawFd;
//! use io_uring::{IoUring, opcode::RecvMulti, types::Fd};
//! use millpond::io_uring_07::ProvidedBuffers;
//! use millpond::{BufferPool, Recycled};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let Ok(mut ring) = IoUring::new(8) else { return Ok(()) };
//! # let (receiver, sender) = (UdpSocket::bind("127.0.0.1:0")?, UdpSocket::bind("127.0.0.1:0")?);
//! # sender.connect(receiver.local_addr()?)?;
//! let pool = BufferPool::new();
//! let provided = ProvidedBuffers::builder(1, 16).register(&ring.submitter(), &pool, Recycled(2048));
//! # let Ok(mut provided) = provided else { return Ok(()) };
//! # (0..100).for_each(|n: u32| { sender.send(&n.to_le_bytes()).unwrap(); });
//! let receive = RecvMulti::new(Fd(receiver.as_raw_fd()), provided.group()).build();
//! let (mut received, mut is_armed) = (Vec::new(), false);
//! while received.len() < 100 {
//!     if !is_armed {
//!         // SAFETY: the socket stays open, and the group is unregistered when the operation has ended.
//!         unsafe { ring.submission().push(&receive) }?;
//!         is_armed = true;
//!     }
//!     ring.submit_and_wait(1)?;
//!     for entry in ring.completion() {
//!         match provided.take(&entry) {
//!             Ok(message) => received.extend(message),
//!             Err(error) if ProvidedBuffers::is_empty_group(&error) => {}     // goes on when it is armed again
//!             Err(error) => return Err(error.into()),
//!         }
//!         is_armed = ProvidedBuffers::is_armed(&entry);
//!     }
//!     provided.refill();
//! }
//! assert!(received.iter().all(|message| message.len() == 4));
//! # ring.submitter().register_sync_cancel(None, io_uring::types::CancelBuilder::any()).or_else(|error| {
//! #     if error.raw_os_error() == Some(2) { Ok(()) } else { Err(error) }
//! # })?;
//! // ... when `receive` has been cancelled:
//! provided.unregister(&ring.submitter())?;
//! # Ok(())
//! # }
//! ```
//!
//! # Who owns what, and why this is safe
//!
//! **The kernel does nothing by itself.** It writes into a group, or into a buffer of an operation, only because
//! somebody has *pushed* an operation, and [`push`](::io_uring::squeue::SubmissionQueue::push) is unsafe: who calls it
//! promises that the operation's memory stays valid until it has ended. Nothing here needs another unsafe function.
//! What the promise means for memory of these types is:
//!
//! - An operation that selects from a group: until it has ended, its group is not
//!   [unregistered](ProvidedBuffers::unregister), and [`take`](ProvidedBuffers::take) is given the ring's completions
//!   as they come out of it, each once, and none of other groups or rings. Bundles and incremental consumption are not
//!   asked for.
//! - An entry of [`FixedBuffers`]: it is pushed once, unchanged, to the ring of the table, and until it has ended,
//!   [`complete`](FixedBuffers::complete) is given completions that come out of a ring as they are, and
//!   [`withdraw`](FixedBuffers::withdraw) is not called for it. Its file stays open.
//!
//! Whoever has a ring, a group and the operations in one place, as in the example, keeps this without effort. Besides,
//! what can be seen to be wrong is refused, before anything is touched:
//!
//! - A buffer is either *with the kernel* or with its user. The group holds each [`PooledBuf`](crate::PooledBuf) that
//!   is with the kernel, under its id, so the pool can neither reuse nor unmap it; `take` moves it out. A completion
//!   that comes twice, or that names an id that is not with the kernel or a length beyond the buffer's, is an error.
//!   (One of another group may name an id that is: hence the promise.)
//! - A buffer is initialised before it is provided, and counts as written to its whole length from then on: what was
//!   written in part, by an operation that failed or by a datagram whose checksum was wrong, is wiped and zeroed as all
//!   else is, also when the buffer comes home unread.
//! - Operations of [`FixedBuffers`] are found by a number that is never used twice and names the instance: a completion
//!   of anything else, of another ring or one that comes twice is none of its own.
//! - Dropped without being unregistered, either keeps what the kernel may still write to: the memory is lost, the pool
//!   counts it as out, and nothing dangles. So it is when the ring is closed before: the kernel ends operations of a
//!   closed ring some time later, and tells nobody.
//!
//! The memory that a group shares with the kernel, and the orderings on it, are in `ring.rs`. Nothing can model the
//! kernel's side, so tests alone check that part.

mod builder;
mod file;
mod fixed;
mod flights;
mod kept;
mod provided;
mod received;
mod ring;
mod table;

pub use builder::ProvidedBuffersBuilder;
pub use file::File;
pub use fixed::FixedBuffers;
pub use kept::StillRegistered;
pub use provided::{ProvidedBuffers, ProvidedStats};
pub use received::{Copied, Received};
pub use table::Registration;
