//! `compio-driver` 0.12: memory for the buffers that the kernel chooses from, out of a pool.
//!
//! The allocator is a type and not a value, and what it gave comes back as an address. So handles of what is lent lie in
//! one table of the process, by address. It is looked at when a runtime makes its buffers and when it gives them up, not
//! for reads. A handle beside the bytes would need no table, and would push each buffer of a size class into the next.

// The trait's `deallocate` is unsafe.
#![allow(unsafe_code)]

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::ptr::NonNull;
use std::sync::{Mutex, MutexGuard, PoisonError};

use compio_driver_012::BufferAllocator;

use crate::{BufferPool, Capacity, PooledBuf};

/// Names a pool that lives as long as the program, for [`PooledAllocator`].
pub trait StaticPool: 'static {
    /// The pool; the same each time.
    fn pool() -> &'static BufferPool;
}

/// [`BufferPool::shared`].
#[derive(Debug, Clone, Copy)]
pub struct Shared;

impl StaticPool for Shared {
    fn pool() -> &'static BufferPool {
        BufferPool::shared()
    }
}

/// Takes the buffers of compio's managed reads from a pool, by default from the [shared](BufferPool::shared) one.
///
/// So they are within the pool's budget and in its statistics, in the memory that its options ask for, and serve others
/// when the runtime ends.
///
/// # Cost
/// A short lock and a get for each buffer, when the runtime makes them; a short lock and a return when it ends. None for
/// each read.
///
/// # Panics
/// When the pool refuses a buffer, since the trait knows no errors.
///
/// # Examples
///
/// ```
/// use std::sync::LazyLock;
/// use compio_driver_012::ProactorBuilder;
/// use millpond::BufferPool;
/// use millpond::compio_driver_012::{PooledAllocator, StaticPool};
///
/// struct Received;
///
/// impl StaticPool for Received {
///     fn pool() -> &'static BufferPool {
///         static POOL: LazyLock<BufferPool> = LazyLock::new(BufferPool::new);
///         &POOL
///     }
/// }
///
/// let mut builder = ProactorBuilder::new();
/// builder.buffer_pool_allocator::<PooledAllocator<Received>>();
/// ```
pub struct PooledAllocator<P = Shared> {
    pool: PhantomData<fn() -> P>,
}

impl<P> fmt::Debug for PooledAllocator<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PooledAllocator")
    }
}

impl<P: StaticPool> BufferAllocator for PooledAllocator<P> {
    fn allocate(len: u32) -> NonNull<MaybeUninit<u8>> {
        let mut buf = P::pool().get(Capacity(len as usize));
        let block = NonNull::from(buf.spare_capacity_mut()).cast();
        lent().insert(block.addr().get(), buf);
        block
    }

    unsafe fn deallocate(block: NonNull<MaybeUninit<u8>>, _len: u32) {
        let buf = lent().remove(&block.addr().get());
        // Goes home without the lock.
        drop(buf);
    }
}

/// What runtimes have, by address.
fn lent() -> MutexGuard<'static, BTreeMap<usize, PooledBuf>> {
    static LENT: Mutex<BTreeMap<usize, PooledBuf>> = Mutex::new(BTreeMap::new());
    LENT.lock().unwrap_or_else(PoisonError::into_inner)
}
