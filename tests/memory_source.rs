//! A pool over a user's source is like one over mapped memory; a source that misbehaves is refused, with what it said.
#![allow(unsafe_code)] // Sources are an unsafe trait.

#[path = "support/identities.rs"]
mod identities;
#[path = "support/sources.rs"]
mod sources;

use std::alloc::{Layout, alloc, dealloc};
use std::error::Error as _;
use std::fmt;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use identities::assert_identities;
use millpond::{
    BufferPool, BufferPoolBuilder, BuildError, Error, HugePages, Memory, MemoryOption, MemorySource, Need, Node,
    Recycled, SourceMemory, Zeroing,
};
use sources::{Counting, Refusal};

fn over(source: &Arc<Counting>) -> BufferPoolBuilder {
    BufferPool::builder().memory(Memory::source(source.clone())).thread_cache(0)
}

const SIZES: [usize; 5] = [100, 4096, 100 << 10, 1 << 20, 5 << 20];

fn sizes() -> impl Iterator<Item = usize> {
    SIZES.into_iter().filter(|&size| !cfg!(miri) || size <= 100 << 10)
}

#[test]
fn all_memory_is_of_the_source_and_goes_back_to_it() {
    for (granule, zeroes) in [(4096, true), (4096, false), (64, true), (256 << 10, true), (4 << 20, false)] {
        if cfg!(miri) && granule > 4096 {
            continue;
        }
        let source = Arc::new(Counting { granule, zeroes, ..Counting::default() });
        let pool = over(&source).build().unwrap();
        let mut bufs = Vec::new();
        for size in sizes().chain(sizes()) {
            let mut buf = pool.get(size);
            assert!(buf.iter().all(|&byte| byte == 0), "{granule}, {size}");
            buf.fill(3);
            let (index, offset) = buf.region().unwrap();
            let region = pool.regions()[index as usize];
            assert_eq!(region.as_ptr().addr() + offset, buf.as_ptr().addr());
            assert!(source.out.lock().unwrap().contains_key(&region.as_ptr().addr()));
            bufs.push(buf);
        }
        let stats = pool.stats();
        assert_identities(&stats);
        assert!(stats.overhead as usize + stats.footprint as usize >= source.held());
        drop(bufs);
        assert!(pool.get(5000).iter().all(|&byte| byte == 0));
        pool.trim(0);
        assert_eq!((source.held(), pool.regions().len()), (0, 0));
        assert_eq!(source.allocations.load(SeqCst), source.releases.load(SeqCst));
    }
}

/// The source says of what it took back that it is not zero.
#[test]
fn a_block_that_comes_back_dirty_is_zeroed() {
    for size in sizes().filter(|&size| size < 2 << 20) {
        let source = Arc::new(Counting { zeroes: false, ..Counting::default() });
        let pool = over(&source).max_idle(0).build().unwrap();
        // So that its region stays.
        let (_other, mut buf) = (pool.get(size), pool.get(size));
        buf.fill(3);
        let place = buf.as_ptr();
        drop(buf);
        let again = pool.get(size);
        assert_eq!(again.as_ptr(), place);
        assert!(again.iter().all(|&byte| byte == 0), "{size}");
    }
}

#[test]
fn alignments_above_and_below_the_granule_hold() {
    for alignment in [8, 4096, 64 << 10] {
        let source = Arc::new(Counting::default());
        let pool = over(&source).alignment(alignment).build().unwrap();
        for size in sizes() {
            let buf = pool.get(Recycled(size));
            assert_eq!(buf.as_ptr().addr() % alignment, 0);
        }
    }
}

/// A limit of its own is used up to its end, in ever smaller regions; then the refusal reaches the user.
#[test]
fn a_bounded_source_is_used_up() {
    let source = Arc::new(Counting { limit: AtomicUsize::new(1 << 20), ..Counting::default() });
    let pool = over(&source).build().unwrap();
    let mut bufs = Vec::new();
    let error = loop {
        match pool.try_get(Recycled(8192)) {
            Ok(buf) => bufs.push(buf),
            Err(error) => break error,
        }
    };
    assert_eq!(bufs.len(), 128);
    let Error::Source { requested: 8192, error: reason } = &error else { panic!("{error:?}") };
    assert!(reason.to_string().contains("8192 bytes asked of 1048576 held"), "{reason}");
    assert!(error.to_string().contains("8192 bytes") && error.source().is_some());
    assert_eq!(std::io::Error::from(error).kind(), std::io::ErrorKind::OutOfMemory);
    drop(bufs.pop());
    bufs.push(pool.get(Recycled(8192)));
    drop(bufs);
    // What lies idle gives way to another class.
    let other = pool.try_get(Recycled(512 << 10));
    assert!(other.is_ok(), "{other:?}");
    drop(other);
    pool.trim(0);
    assert_eq!(source.held(), 0);
}

#[test]
fn a_build_that_cannot_prefill_says_why() {
    let source = Arc::new(Counting { limit: AtomicUsize::new(100 << 10), ..Counting::default() });
    let error = over(&source).prefill(4096, 100).build().unwrap_err();
    assert!(matches!(&error, BuildError::Source { requested: 4096, .. }), "{error:?}");
    assert!(error.to_string().contains("4096 bytes"), "{error}");
    assert_eq!(source.held(), 0);
}

#[test]
fn budgets_hold_over_a_source() {
    let source = Arc::new(Counting::default());
    let pool = over(&source).max_memory(64 << 10).build().unwrap();
    let bufs: Vec<_> = std::iter::from_fn(|| pool.try_get(Recycled(4096)).ok()).collect();
    assert_eq!(bufs.len(), 16);
    assert!(matches!(pool.try_get(4096), Err(Error::OverBudget { .. })));
}

#[test]
fn a_pool_that_wipes_gives_back_no_secret() {
    struct Looks(Counting);
    // SAFETY: what it does is that of the other.
    unsafe impl MemorySource for Looks {
        fn allocate(&self, layout: Layout) -> Result<SourceMemory, Refusal> {
            self.0.allocate(layout)
        }

        unsafe fn release(&self, ptr: NonNull<u8>, layout: Layout) {
            // SAFETY: so long, initialised, and nobody else's.
            let bytes = unsafe { std::slice::from_raw_parts(ptr.as_ptr(), layout.size()) };
            if bytes.contains(&0x5A) {
                std::process::abort();
            }
            // SAFETY: the caller's.
            unsafe { self.0.release(ptr, layout) }
        }
    }
    let memory = Memory::source(Arc::new(Looks(Counting::default())));
    let pool = BufferPool::builder().zeroing(Zeroing::OnReturn).memory(memory).build().unwrap();
    for size in sizes() {
        let mut buf = pool.get(Recycled(size));
        buf.fill(0x5A);
        drop(buf);
        pool.trim(0);
    }
}

#[test]
fn options_are_refused_or_fall_back() {
    type Ask = fn(Memory, Need) -> Memory;
    let asks: [(MemoryOption, Ask); 6] = [
        (MemoryOption::Locked, |memory, need| memory.locked(need)),
        (MemoryOption::HugePages, |memory, need| memory.huge_pages(HugePages::Transparent, need)),
        (MemoryOption::Numa, |memory, need| memory.numa(Node::Local, need)),
        (MemoryOption::ExcludeFromDumps, |memory, need| memory.exclude_from_dumps(need)),
        (MemoryOption::WipeOnFork, |memory, need| memory.wipe_on_fork(need)),
        (MemoryOption::GuardPages, |memory, need| memory.guard_pages(need)),
    ];
    for (option, ask) in asks {
        let source = Arc::new(Counting::default());
        let memory = || Memory::source(source.clone());
        let error = BufferPool::builder().memory(ask(memory(), Need::Require)).build().unwrap_err();
        assert!(matches!(error, BuildError::Refused { option: named, .. } if named == option), "{error:?}");
        assert_eq!(source.held(), 0);
        let pool = BufferPool::builder().memory(ask(memory(), Need::Prefer)).build().unwrap();
        assert!(pool.get(4096).region().is_some());
        let asked = pool.stats().memory[0];
        assert_eq!((asked.option, asked.asked, asked.got), (option, 1, 0));
    }
    let memory = Memory::source(Arc::new(Counting::default())).prefault(Need::Require);
    let pool = BufferPool::builder().memory(memory).build();
    if cfg!(not(miri)) {
        assert!(pool.unwrap().get(4096).iter().all(|&byte| byte == 0));
    }
}

/// What it does wrong.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Wrong {
    Misaligned,
    PanicsInAllocate,
    PanicsInRelease,
    PanicsInReleaseZeroes,
    Fails,
    Granule(usize),
}

#[derive(Debug)]
struct Misuse {
    wrong: Wrong,
    out: AtomicUsize,
}

#[derive(Debug, PartialEq)]
struct OfTheDevice(u32);

impl fmt::Display for OfTheDevice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "device {} is gone", self.0)
    }
}

impl std::error::Error for OfTheDevice {}

impl Misuse {
    /// One granule more in front, where the address may be wrong.
    fn layout(layout: Layout) -> Layout {
        Layout::from_size_align(layout.size() + 64, layout.align()).unwrap()
    }

    fn shift(&self) -> usize {
        if self.wrong == Wrong::Misaligned { 64 } else { 0 }
    }
}

// SAFETY: memory is as promised but for its address, which is checked.
unsafe impl MemorySource for Misuse {
    fn allocate(&self, layout: Layout) -> Result<SourceMemory, Refusal> {
        match self.wrong {
            Wrong::PanicsInAllocate => panic!("in allocate"),
            Wrong::Fails => return Err(OfTheDevice(7).into()),
            _ => {}
        }
        self.out.fetch_add(1, SeqCst);
        // SAFETY: the size is not zero.
        let ptr = NonNull::new(unsafe { alloc(Self::layout(layout)) }).ok_or("no memory")?;
        // SAFETY: so much longer.
        Ok(SourceMemory::dirty(unsafe { ptr.add(self.shift()) }))
    }

    unsafe fn release(&self, ptr: NonNull<u8>, layout: Layout) {
        self.out.fetch_sub(1, SeqCst);
        // SAFETY: as it was moved.
        let ptr = unsafe { ptr.sub(self.shift()) };
        // SAFETY: allocated above with this layout.
        unsafe { dealloc(ptr.as_ptr(), Self::layout(layout)) };
        assert!(self.wrong != Wrong::PanicsInRelease, "in release");
    }

    unsafe fn release_zeroes(&self, _: NonNull<u8>, _: usize) -> bool {
        assert!(self.wrong != Wrong::PanicsInReleaseZeroes, "in release_zeroes");
        false
    }

    fn granule(&self) -> usize {
        if let Wrong::Granule(granule) = self.wrong { granule } else { 4096 }
    }
}

fn misused(wrong: Wrong) -> (Arc<Misuse>, BufferPoolBuilder) {
    let source = Arc::new(Misuse { wrong, out: AtomicUsize::new(0) });
    let builder = BufferPool::builder().memory(Memory::source(source.clone())).thread_cache(0).max_idle(0);
    (source, builder)
}

#[test]
fn misaligned_memory_is_refused_and_given_back() {
    let (source, builder) = misused(Wrong::Misaligned);
    let pool = builder.build().unwrap();
    for size in sizes() {
        let error = pool.try_get(size).unwrap_err();
        assert!(matches!(error, Error::Source { .. }), "{error:?}");
        assert!(error.to_string().contains("aligned to 4096"), "{error}");
    }
    assert_eq!((source.out.load(SeqCst), pool.regions().len()), (0, 0));
    assert_eq!(pool.stats().footprint, 0);
}

#[test]
fn a_panic_in_allocate_is_a_refusal() {
    let (_, builder) = misused(Wrong::PanicsInAllocate);
    let error = builder.clone().prefill(4096, 0).build().unwrap().try_get(4096).unwrap_err();
    assert!(error.to_string().contains("it panicked"), "{error}");
    assert!(matches!(
        builder.prefill(4096, 1).build(),
        Ok(_) | Err(BuildError::Invalid { .. } | BuildError::Source { .. })
    ));
}

#[test]
fn the_error_of_a_source_can_be_downcast() {
    let (_, builder) = misused(Wrong::Fails);
    let Error::Source { requested, error } = builder.build().unwrap().try_get(3 << 20).unwrap_err() else { panic!() };
    assert_eq!((requested, error.get_ref().downcast_ref()), (3 << 20, Some(&OfTheDevice(7))));
}

#[test]
fn a_panic_in_release_loses_nothing() {
    for wrong in [Wrong::PanicsInRelease, Wrong::PanicsInReleaseZeroes] {
        let (source, builder) = misused(wrong);
        let pool = builder.build().unwrap();
        for size in sizes() {
            let mut bufs = [pool.get(size), pool.get(size)];
            bufs[0].fill(1);
            drop(bufs);
            pool.trim(0);
        }
        assert_eq!((source.out.load(SeqCst), pool.regions().len(), pool.stats().footprint), (0, 0, 0), "{wrong:?}");
    }
}

#[test]
fn a_granule_that_is_none_is_named() {
    for granule in [0, 3, 5000] {
        let error = misused(Wrong::Granule(granule)).1.build().unwrap_err();
        assert_eq!(error.to_string(), format!("granule is {granule}, must be a power of two"));
    }
}

/// A file without a name, mapped and shared.
#[cfg(all(target_os = "linux", not(miri)))]
#[test]
fn shared_memory_can_be_a_source() {
    use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

    struct Memfd(OwnedFd, AtomicUsize);

    // SAFETY: 1 and 2: a new part of the file, mapped at an address of the system's choice. 3: a hole reads as zero.
    unsafe impl MemorySource for Memfd {
        fn allocate(&self, layout: Layout) -> Result<SourceMemory, Refusal> {
            let at = self.1.fetch_add(layout.size(), SeqCst);
            let (file, protection) = (self.0.as_raw_fd(), libc::PROT_READ | libc::PROT_WRITE);
            // SAFETY: lengthens a file of our own.
            if unsafe { libc::ftruncate(file, (at + layout.size()) as libc::off_t) } != 0 {
                return Err(std::io::Error::last_os_error().into());
            }
            let (none, at) = (std::ptr::null_mut(), at as libc::off_t);
            // SAFETY: a new mapping.
            let start = unsafe { libc::mmap(none, layout.size(), protection, libc::MAP_SHARED, file, at) };
            if start == libc::MAP_FAILED {
                return Err(std::io::Error::last_os_error().into());
            }
            Ok(SourceMemory::zeroed(NonNull::new(start.cast()).ok_or("at address 0")?))
        }

        unsafe fn release(&self, ptr: NonNull<u8>, layout: Layout) {
            // SAFETY: the caller's: mapped above, and nobody uses it.
            unsafe { libc::munmap(ptr.as_ptr().cast(), layout.size()) };
        }

        unsafe fn release_zeroes(&self, ptr: NonNull<u8>, len: usize) -> bool {
            // SAFETY: the caller's: nobody uses these pages.
            unsafe { libc::madvise(ptr.as_ptr().cast(), len, libc::MADV_REMOVE) == 0 }
        }
    }

    // SAFETY: the name ends with a zero.
    let file = unsafe { libc::memfd_create(c"millpond".as_ptr(), libc::MFD_CLOEXEC) };
    assert!(file >= 0);
    // SAFETY: just opened.
    let source = Arc::new(Memfd(unsafe { OwnedFd::from_raw_fd(file) }, AtomicUsize::new(0)));
    let pool = BufferPool::builder().memory(Memory::source(source)).thread_cache(0).max_idle(0).build().unwrap();
    let anchor = pool.get(128 << 10);
    for size in [4096, 128 << 10, 3 << 20] {
        for _ in 0..3 {
            let mut buf = pool.get(size);
            assert!(buf.iter().all(|&byte| byte == 0));
            buf.fill(7);
        }
    }
    drop(anchor);
    assert!(pool.regions().is_empty());
}
