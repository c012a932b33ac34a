//! Memory sources of the user's.
#![allow(unsafe_code)] // The contract of a source is an unsafe trait.

use std::alloc::Layout;
use std::error::Error;
use std::fmt;
use std::ptr::NonNull;
use std::sync::Arc;

use super::regions::user_code;
use super::{Denial, os};
use crate::cause::Cause;

/// Where a pool takes its memory from, instead of from the system: shared memory, memory of a device, a file, an arena.
///
/// A pool asks for [regions](crate::Region) of some KiB to some MiB, from which it cuts buffers, and for one of its own
/// for each buffer of 2 MiB or more. What it keeps, for how long, and within which budget, is the same as with
/// [`Memory::mapped`](crate::Memory::mapped). Methods are called on whichever thread needs or gives up memory, several
/// at once perhaps, and with no lock held. They must not ask the pool itself for memory, directly or by waiting for a
/// thread that does.
///
/// A method that panics has failed, and the panic ends there: a request for memory is refused, `release` has done what
/// it has done, and `release_zeroes` has done nothing. All that is left of the panic is what the hook printed.
///
/// # Safety
/// The implementation promises, whichever threads call it, at whichever time:
/// 1. [`allocate`](Self::allocate) returns `layout.size()` bytes, readable and writable, which belong to the caller
///    alone until it releases them, and stay valid for as long, also if the source is dropped (it is not, before its
///    memory is released). Where others can reach the same bytes, as those of shared memory, it is up to the user that
///    they do so only for buffers that they were given, and only while they have them;
/// 2. all of them are zero when it [says so](SourceMemory::zeroed), and for every process that looks;
/// 3. after [`release_zeroes`](Self::release_zeroes) has returned true, all bytes of the part read as zero, and are
///    valid as before; after false they are valid as before, and their values may be any;
/// 4. [`granule`](Self::granule) is always the same.
///
/// The address alone is checked: memory that is not aligned as asked is released again, and the request fails.
///
/// # Examples
///
/// ```
/// use std::alloc::{Layout, alloc_zeroed, dealloc};
/// use std::error::Error;
/// use std::ptr::NonNull;
/// use std::sync::Arc;
///
/// use millpond::{BufferPool, Memory, MemorySource, SourceMemory};
///
/// struct Heap;
///
/// // SAFETY: 1 is what an allocator promises; the bytes are zeroed, which is 2; 3 and 4 are the defaults.
/// unsafe impl MemorySource for Heap {
///     fn allocate(&self, layout: Layout) -> Result<SourceMemory, Box<dyn Error + Send + Sync>> {
///         // SAFETY: the size is not zero.
///         let ptr = NonNull::new(unsafe { alloc_zeroed(layout) }).ok_or("the heap is exhausted")?;
///         Ok(SourceMemory::zeroed(ptr))
///     }
///
///     unsafe fn release(&self, ptr: NonNull<u8>, layout: Layout) {
///         // SAFETY: allocated above with this layout.
///         unsafe { dealloc(ptr.as_ptr(), layout) }
///     }
/// }
///
/// let pool = BufferPool::builder().memory(Memory::source(Arc::new(Heap))).build()?;
/// assert_eq!(pool.get(4096).region(), Some((0, 0)));
/// # Ok::<(), millpond::BuildError>(())
/// ```
pub unsafe trait MemorySource: Send + Sync + 'static {
    /// Gives memory of this layout: of a size that is a multiple of the [granule](Self::granule) and not zero, and of
    /// an alignment that is at least the granule.
    ///
    /// # Errors
    /// Whatever is the matter. Whoever asked the pool for a buffer gets it as [`Error::Source`](crate::Error::Source), unless
    /// idle memory that the pool gives up makes it possible after all. Refused a large region, a pool tries smaller ones.
    fn allocate(&self, layout: Layout) -> Result<SourceMemory, Box<dyn Error + Send + Sync>>;

    /// Takes memory back.
    ///
    /// # Safety
    /// `allocate` of this source returned `ptr` for this very `layout`, this is its first release, and nobody uses the bytes
    /// from now on.
    unsafe fn release(&self, ptr: NonNull<u8>, layout: Layout);

    /// Gives back what lies behind a part of memory that stays reserved, as far as there is something to be given back.
    /// True: it reads as zero from now on. By default it does nothing, and says false.
    ///
    /// Not called while there are [pins](crate::RegionPin) or [watches](crate::RegionWatch).
    ///
    /// # Safety
    /// `ptr` and `len` are multiples of the granule, `len` is not zero, all of the part belongs to one piece of memory that
    /// `allocate` returned and that was not released, and what its bytes hold is of no use any more. Nobody uses them during
    /// the call.
    unsafe fn release_zeroes(&self, ptr: NonNull<u8>, len: usize) -> bool {
        let _ = (ptr, len); // Nothing to give back.
        false
    }

    /// The unit of all addresses and lengths that are asked for: a power of two. Less than an OS page, which is the
    /// default, counts as one.
    fn granule(&self) -> usize {
        os::page_size()
    }
}

/// What a [`MemorySource`] failed with. Equal to its clones alone.
#[derive(Clone, PartialEq, Eq)]
pub struct SourceError(Cause);

impl SourceError {
    /// The error itself, which can be downcast; or of the pool's own, that the source panicked or where its memory was.
    #[must_use]
    pub fn get_ref(&self) -> &(dyn Error + Send + Sync + 'static) {
        self.0.get_ref()
    }
}

impl fmt::Debug for SourceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl fmt::Display for SourceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// What a [`MemorySource`] gives.
#[derive(Debug)]
pub struct SourceMemory {
    pub(super) ptr: NonNull<u8>,
    pub(super) zeroed: bool,
}

impl SourceMemory {
    /// All its bytes are zero. If they are not, buffers that should be zero hold what was there.
    #[must_use]
    pub fn zeroed(ptr: NonNull<u8>) -> Self {
        SourceMemory { ptr, zeroed: true }
    }

    /// Its bytes may be anything, or uninitialised.
    #[must_use]
    pub fn dirty(ptr: NonNull<u8>) -> Self {
        SourceMemory { ptr, zeroed: false }
    }
}

/// A source of the user's, as a pool uses it.
#[derive(Clone)]
pub(super) struct Origin {
    source: Arc<dyn MemorySource>,
    granule: usize,
}

impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source").field("granule", &self.granule).finish_non_exhaustive()
    }
}

/// Why memory was not taken.
#[derive(Debug)]
enum Fault {
    Panicked,
    Misplaced { addr: usize, layout: Layout },
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Panicked => write!(f, "it panicked"),
            Fault::Misplaced { addr, layout } => {
                write!(f, "it returned the address {addr:#x} for {} bytes aligned to {}", layout.size(), layout.align())
            }
        }
    }
}

impl Error for Fault {}

impl Origin {
    pub(super) fn new(source: Arc<dyn MemorySource>) -> Self {
        let granule = source.granule();
        Origin { source, granule }
    }

    /// As the source has it.
    pub(super) fn granule(&self) -> usize {
        self.granule
    }

    /// What the pool reckons with.
    pub(super) fn unit(&self) -> usize {
        self.granule.max(os::page_size())
    }

    /// Takes memory of whole units.
    pub(super) fn allocate(&self, len: usize, align: usize) -> Result<SourceMemory, Denial> {
        let layout = Layout::from_size_align(len, align).map_err(|_| Denial::NoMemory)?;
        let denied = |error| Denial::Source { bytes: len, error: SourceError(Cause::new(error)) };
        let Some(answer) = user_code::source(|| self.source.allocate(layout)) else {
            return Err(denied(Fault::Panicked.into()));
        };
        let memory = answer.map_err(denied)?;
        let addr = memory.ptr.addr().get();
        if addr % align == 0 && addr.checked_add(len).is_some() {
            return Ok(memory);
        }
        // SAFETY: returned just now for this layout.
        unsafe { self.release(memory.ptr, len, align) };
        Err(denied(Fault::Misplaced { addr, layout }.into()))
    }

    /// # Safety
    /// `allocate` returned it for this length and alignment, it is released once, and not used again.
    pub(super) unsafe fn release(&self, ptr: NonNull<u8>, len: usize, align: usize) {
        let layout = Layout::from_size_align(len, align).expect("as it was allocated");
        // SAFETY: the caller's. If it panics, the memory is the source's all the same.
        user_code::source(|| unsafe { self.source.release(ptr, layout) });
    }

    /// True: the bytes are zero now.
    ///
    /// # Safety
    /// Whole units of memory that was allocated, whose bytes nobody uses and nobody wants.
    pub(super) unsafe fn discard(&self, ptr: NonNull<u8>, len: usize) -> bool {
        // SAFETY: the caller's.
        user_code::source(|| unsafe { self.source.release_zeroes(ptr, len) }).unwrap_or(false)
    }
}
