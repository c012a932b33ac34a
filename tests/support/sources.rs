//! Memory sources for tests: what they were asked for, and what they hold.
#![allow(dead_code, unsafe_code)] // Each test uses some of it. A source is an unsafe trait.

use std::alloc::{Layout, alloc, alloc_zeroed, dealloc};
use std::collections::{BTreeMap, HashSet};
use std::error::Error;
use std::ptr::NonNull;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};

use millpond::{MemorySource, Region, SourceMemory};

pub(crate) type Refusal = Box<dyn Error + Send + Sync>;

/// The global allocator, which notes what is out, and holds at most so many bytes.
#[derive(Debug)]
pub(crate) struct Counting {
    pub(crate) limit: AtomicUsize,
    pub(crate) granule: usize,
    /// Whether memory is zero, and is zeroed by `release_zeroes`.
    pub(crate) zeroes: bool,
    pub(crate) out: Mutex<BTreeMap<usize, Layout>>,
    pub(crate) allocations: AtomicUsize,
    pub(crate) refusals: AtomicUsize,
    pub(crate) releases: AtomicUsize,
    pub(crate) discards: AtomicUsize,
    /// While this is set, `release` and `release_zeroes` are mistakes.
    pub(crate) is_pinned: AtomicBool,
    /// Where they are mistakes besides: starts and ends.
    pub(crate) quiet: Mutex<Vec<(usize, usize)>>,
}

impl Default for Counting {
    fn default() -> Self {
        Counting {
            limit: AtomicUsize::new(usize::MAX),
            granule: 4096,
            zeroes: true,
            out: Mutex::default(),
            allocations: AtomicUsize::new(0),
            refusals: AtomicUsize::new(0),
            releases: AtomicUsize::new(0),
            discards: AtomicUsize::new(0),
            is_pinned: AtomicBool::new(false),
            quiet: Mutex::default(),
        }
    }
}

impl Counting {
    /// Bytes that are out.
    pub(crate) fn held(&self) -> usize {
        self.out.lock().unwrap().values().map(Layout::size).sum()
    }

    /// Does this while nothing of these regions may be given back.
    pub(crate) fn is_quiet_for(&self, regions: &HashSet<Region>, work: impl FnOnce()) {
        let ends = |region: &Region| (region.as_ptr().addr(), region.as_ptr().addr() + region.len());
        *self.quiet.lock().unwrap() = regions.iter().map(ends).collect();
        work();
        self.quiet.lock().unwrap().clear();
    }

    fn assert_free(&self, ptr: NonNull<u8>, what: &str) {
        let addr = ptr.addr().get();
        let is_quiet = self.quiet.lock().unwrap().iter().any(|&(start, end)| (start..end).contains(&addr));
        if is_quiet || self.is_pinned.load(SeqCst) {
            eprintln!("{what} under a pin");
            std::process::abort();
        }
    }
}

// SAFETY: 1: the allocator's promise, and a layout that is out is released once, or the test fails. 2 and 3: it does as it says.
unsafe impl MemorySource for Counting {
    fn allocate(&self, layout: Layout) -> Result<SourceMemory, Refusal> {
        assert!(
            layout.size() != 0 && layout.size() % self.granule == 0 && layout.align() >= self.granule,
            "{layout:?}"
        );
        let mut out = self.out.lock().unwrap();
        let held: usize = out.values().map(Layout::size).sum();
        if held + layout.size() > self.limit.load(SeqCst) {
            self.refusals.fetch_add(1, SeqCst);
            return Err(format!("{} bytes asked of {held} held", layout.size()).into());
        }
        // SAFETY: the size is not zero.
        let zeroed = || unsafe { alloc_zeroed(layout) };
        // SAFETY: as above.
        let dirty = || unsafe { alloc(layout) };
        let ptr = if self.zeroes { zeroed() } else { dirty() };
        let ptr = NonNull::new(ptr).ok_or("no memory")?;
        self.allocations.fetch_add(1, SeqCst);
        out.insert(ptr.addr().get(), layout);
        Ok(if self.zeroes {
            SourceMemory::zeroed(ptr)
        } else {
            // SAFETY: ours, and so long.
            unsafe { ptr.write_bytes(0xEE, layout.size()) };
            SourceMemory::dirty(ptr)
        })
    }

    unsafe fn release(&self, ptr: NonNull<u8>, layout: Layout) {
        self.assert_free(ptr, "release");
        self.releases.fetch_add(1, SeqCst);
        let known = self.out.lock().unwrap().remove(&ptr.addr().get());
        assert_eq!(known, Some(layout));
        // SAFETY: allocated above with this layout.
        unsafe { dealloc(ptr.as_ptr(), layout) };
    }

    unsafe fn release_zeroes(&self, ptr: NonNull<u8>, len: usize) -> bool {
        self.assert_free(ptr, "release_zeroes");
        assert!(len != 0 && len % self.granule == 0 && ptr.addr().get() % self.granule == 0);
        self.discards.fetch_add(1, SeqCst);
        if self.zeroes {
            // SAFETY: the caller's: nobody uses it.
            unsafe { ptr.write_bytes(0, len) };
        }
        self.zeroes
    }

    fn granule(&self) -> usize {
        self.granule
    }
}
