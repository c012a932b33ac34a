//! Where the bytes come from. Memory knows nothing of threads, pools and budgets.
//!
//! [`BlockSource`] is the contract. [`Heap`] is the global allocator, [`Mapped`] cuts slabs that
//! it maps from the operating system, or has from a source of the user's; [`Memory`] is the user's choice between them. `wipe`
//! holds the writes that must not be optimised away.
//!
//! A *block* is the memory of one slot. A *slab* is a mapping that blocks are cut from. A *region* is a mapping, by its
//! number. An *OS page* is the system's unit of mapping. A *plan* is what is asked of a pool's memory besides, and how it went; a
//! *denial*, why there is no block.
#![allow(unsafe_code)] // The contract of a source is an unsafe trait.

mod fork;
mod heap;
mod mapped;
mod mapping;
pub(crate) mod options;
pub(crate) mod os;
pub(crate) mod plan;
pub(crate) mod prefetch;
pub(crate) mod regions;
#[cfg(all(test, target_os = "linux", not(miri)))]
mod resident;
mod slab;
pub(crate) mod source;
pub(crate) mod wipe;

use std::alloc::Layout;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::ptr::NonNull;
use std::sync::Arc;

pub(crate) use heap::Heap;
pub(crate) use mapped::Mapped;
use options::{HugePages, MemoryOption, Need, Node, Options, OsReason};
use os::topology::Bank;
use plan::Plan;
use regions::{Place, Registry};
use source::{MemorySource, Origin, SourceError};

use crate::tell::Name;

/// Memory as it comes from a source.
#[derive(Debug)]
pub(crate) struct Block {
    /// The first byte, for access to all of the block.
    pub(crate) ptr: NonNull<u8>,
    /// All bytes are known to be zero. When false, they may not even be initialised.
    pub(crate) zeroed: bool,
    /// Where in a region it is, if it is in one.
    pub(crate) place: Place,
}

/// What the caller hopes to find in a block. A hint: [`Block::zeroed`] is the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Want {
    /// Zero bytes, which a source may know to get at less than the price of writing them.
    Zeroed,
    /// Any bytes, which will be overwritten.
    Any,
}

/// Why there is no block.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Denial {
    /// The system has none, or the layout is empty.
    NoMemory,
    /// The system has no memory with an option that is required.
    Option { option: MemoryOption, bytes: usize, reason: OsReason },
    /// The user's source refuses so many bytes.
    Source { bytes: usize, error: SourceError },
}

impl Denial {
    /// Whether it could be otherwise if some other memory were given up.
    pub(crate) fn is_shortage(&self) -> bool {
        match self {
            Denial::NoMemory | Denial::Source { .. } => true,
            Denial::Option { option, .. } => matches!(option, MemoryOption::HugePages | MemoryOption::Locked),
        }
    }
}

/// A source of blocks.
///
/// # Safety
/// The implementation promises, whichever threads call it, at whichever time:
/// 1. a block has `layout.size()` writable bytes from an address that is a multiple of `layout.align()`, shares no byte
///    with another block that is out, and stays so until released;
/// 2. all its bytes are zero when it says so;
/// 3. no method unwinds;
/// 4. a denial changes nothing.
pub(crate) unsafe trait BlockSource: Send + Sync {
    /// Takes a block.
    fn allocate(&self, layout: Layout, want: Want) -> Result<Block, Denial>;

    /// Gives a block back. Any thread may, while or after others allocate.
    ///
    /// # Safety
    /// 1. `allocate` of this source returned `ptr` and `place` for this very `layout`, and this is its first release;
    /// 2. nobody uses its bytes from now on, and none of them is poisoned (see [`wipe::poison`]).
    unsafe fn release(&self, ptr: NonNull<u8>, place: Place, layout: Layout);

    /// Bytes held from the system beyond the blocks that are out, resident or not.
    fn overhead(&self) -> usize;
}

/// The source of one size class, or of the requests that are larger than every class.
#[derive(Debug)]
pub(crate) enum Source {
    /// All from the global allocator.
    Heap(Heap),
    /// All mapped.
    Mapped(Mapped),
}

impl Source {
    /// Gives back what was kept because memory was [held](regions::Hold).
    pub(crate) fn sweep(&self) {
        match self {
            Self::Heap(_) => {}
            Self::Mapped(mapped) => mapped.sweep(),
        }
    }

    /// Gives back to the system what released blocks have kept.
    pub(crate) fn tidy(&self) {
        match self {
            Self::Heap(_) => {}
            Self::Mapped(mapped) => mapped.tidy(),
        }
    }
}

// SAFETY: each block comes from, and goes back to, a source that keeps the promises: the layout
// alone decides which one.
unsafe impl BlockSource for Source {
    fn allocate(&self, layout: Layout, want: Want) -> Result<Block, Denial> {
        match self {
            Self::Heap(heap) => heap.allocate(layout, want),
            Self::Mapped(mapped) => mapped.allocate(layout, want),
        }
    }

    unsafe fn release(&self, ptr: NonNull<u8>, place: Place, layout: Layout) {
        match self {
            // SAFETY: the caller's conditions, and `allocate` chose the same source.
            Self::Heap(heap) => unsafe { heap.release(ptr, place, layout) },
            // SAFETY: as above.
            Self::Mapped(mapped) => unsafe { mapped.release(ptr, place, layout) },
        }
    }

    fn overhead(&self) -> usize {
        match self {
            Self::Heap(heap) => heap.overhead(),
            Self::Mapped(mapped) => mapped.overhead(),
        }
    }
}

/// Where a pool takes its memory from.
///
/// By default it maps it from the operating system, because allocators may keep what a pool gives
/// back.
///
/// # Examples
///
/// ```
/// use millpond::{BufferPool, Memory};
///
/// let pool = BufferPool::builder().memory(Memory::mapped()).build()?;
/// assert_eq!(pool.get(4096).len(), 4096);
/// # Ok::<(), millpond::BuildError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Memory {
    choice: Choice,
    options: Options,
}

#[derive(Clone, Debug, Default)]
enum Choice {
    Heap,
    #[default]
    Mapped,
    Source(Origin),
}

// What a source may have behind it is its own affair, as that of an allocator: pools do not touch it.
impl UnwindSafe for Memory {}
impl RefUnwindSafe for Memory {}

impl Memory {
    /// All memory from the global allocator, in every size class.
    ///
    /// Whether memory that the pool gives up goes back to the system is the allocator's affair.
    ///
    /// # Cost
    /// One call of the allocator for a buffer that the pool has not ready, and one for a buffer
    /// that it gives up.
    ///
    /// # Examples
    ///
    /// ```
    /// use millpond::{BufferPool, Memory};
    ///
    /// let pool = BufferPool::builder().memory(Memory::heap()).build()?;
    /// # Ok::<(), millpond::BuildError>(())
    /// ```
    #[must_use]
    pub fn heap() -> Self {
        Self { choice: Choice::Heap, options: Options::NONE }
    }

    /// All memory mapped from the operating system, in every size class.
    ///
    /// This is the default. Buffers of a class lie side by side in slabs of at most about 2 MiB; from
    /// 2 MiB on, each is a mapping of its own. They start on an OS page if the pool's alignment says so, and otherwise
    /// at different distances from one, so that they do not compete for the same sets of the caches. A
    /// buffer of 64 KiB or more that the pool gives up goes back to the system at once, smaller ones
    /// together when idle memory [decays](crate::BufferPoolBuilder::decay) or is trimmed, save for OS
    /// pages that they share with buffers in use.
    ///
    /// # Cost
    /// A buffer that the pool has not ready takes a short lock, a system call if a slab has to be
    /// mapped, and page faults when it is first written. A buffer that the pool gives up takes
    /// the lock, and if it is large, or with others like it, a system call, which interrupts the other
    /// cores that run this process.
    ///
    /// # Examples
    ///
    /// ```
    /// use millpond::{BufferPool, Memory};
    ///
    /// let pool = BufferPool::builder().memory(Memory::mapped()).build()?;
    /// # Ok::<(), millpond::BuildError>(())
    /// ```
    #[must_use]
    pub fn mapped() -> Self {
        Self { choice: Choice::Mapped, options: Options::NONE }
    }

    /// All memory from a source of the user's, in every size class.
    ///
    /// Buffers are cut from what it gives as from [mapped](Self::mapped) memory, and it goes back as that does, with two
    /// differences: regions are whole [granules](MemorySource::granule), and they are shorter where the source refuses
    /// longer ones. Of the options, [`prefault`](Self::prefault) alone can be had; whatever else is required is refused by
    /// [`build`](crate::BufferPoolBuilder::build).
    ///
    /// # Panics
    /// If the source does when it is asked for its granule.
    ///
    /// # Cost
    /// As mapped memory, where what the source does stands for the system call.
    ///
    /// # Examples
    ///
    /// See [`MemorySource`].
    #[must_use]
    pub fn source(source: Arc<dyn MemorySource>) -> Self {
        Self { choice: Choice::Source(Origin::new(source)), options: Options::NONE }
    }

    /// Uses huge pages. They save page faults and the walks through page tables of programs that read their buffers in no
    /// order, from a few hundred MiB on.
    ///
    /// Slabs are whole huge pages then, of 2 MiB each, which go back to the system when all their buffers are given up.
    /// The child of a fork that writes to an explicit one may be ended by the system, if there are no more of them.
    ///
    /// # Examples
    ///
    /// ```
    /// use millpond::{BufferPool, HugePages, Memory, Need};
    ///
    /// let memory = Memory::mapped().huge_pages(HugePages::Explicit2M, Need::Prefer);
    /// let pool = BufferPool::builder().memory(memory).build()?;
    /// drop(pool.get(1 << 20));
    /// let asked = &pool.stats().memory[0];
    /// println!("{} of {} mappings are of huge pages", asked.got, asked.asked);
    /// # Ok::<(), millpond::BuildError>(())
    /// ```
    #[must_use]
    pub fn huge_pages(mut self, pages: HugePages, need: Need) -> Self {
        self.options.ask(MemoryOption::HugePages, need);
        self.options.huge_pages = pages;
        self
    }

    /// Locks memory in RAM, so that it is never swapped out. A page is locked when it is first touched, or before with
    /// [`prefault`](Self::prefault).
    ///
    /// Slabs are at most 2 MiB long then, and shorter where the limit on locked memory (`RLIMIT_MEMLOCK`) has no more
    /// room, so that it is used up to its end. The limit counts whole mappings, idle or not.
    ///
    /// # Examples
    ///
    /// ```
    /// use millpond::{BufferPool, Memory, Need};
    ///
    /// let pool = BufferPool::builder().memory(Memory::mapped().locked(Need::Prefer)).build()?;
    /// # Ok::<(), millpond::BuildError>(())
    /// ```
    #[must_use]
    pub fn locked(mut self, need: Need) -> Self {
        self.options.ask(MemoryOption::Locked, need);
        self
    }

    /// Has the memory of a buffer ready when it is handed out for the first time, so that no access to it faults.
    ///
    /// Costs a system call for each buffer that the pool had not ready, and the faults of all its pages, together: less
    /// than one by one.
    ///
    /// # Examples
    ///
    /// ```
    /// use millpond::{BufferPool, Memory, Need};
    ///
    /// let memory = Memory::mapped().prefault(Need::Prefer);
    /// let pool = BufferPool::builder().memory(memory).prefill(64 << 10, 8).build()?;
    /// # Ok::<(), millpond::BuildError>(())
    /// ```
    #[must_use]
    pub fn prefault(mut self, need: Need) -> Self {
        self.options.ask(MemoryOption::Prefault, need);
        self
    }

    /// Takes memory of a node of the machine. Linux alone has this option.
    ///
    /// # Examples
    ///
    /// ```
    /// use millpond::{BufferPool, Memory, Need, Node};
    ///
    /// let memory = Memory::mapped().numa(Node::Preferred(0), Need::Prefer);
    /// let pool = BufferPool::builder().memory(memory).build()?;
    /// # Ok::<(), millpond::BuildError>(())
    /// ```
    #[must_use]
    pub fn numa(mut self, node: Node, need: Need) -> Self {
        self.options.ask(MemoryOption::Numa, need);
        self.options.node = node;
        self
    }

    /// Leaves memory out of core dumps. Linux alone has this option.
    ///
    /// # Examples
    ///
    /// ```
    /// use millpond::{BufferPool, Memory, Need};
    ///
    /// let pool = BufferPool::builder().memory(Memory::mapped().exclude_from_dumps(Need::Prefer)).build()?;
    /// # Ok::<(), millpond::BuildError>(())
    /// ```
    #[must_use]
    pub fn exclude_from_dumps(mut self, need: Need) -> Self {
        self.options.ask(MemoryOption::ExcludeFromDumps, need);
        self
    }

    /// Has the child of a fork find zero bytes in this memory. Linux has this option; on Windows nobody forks.
    ///
    /// # Examples
    ///
    /// ```
    /// use millpond::{BufferPool, Memory, Need};
    ///
    /// let pool = BufferPool::builder().memory(Memory::mapped().wipe_on_fork(Need::Prefer)).build()?;
    /// # Ok::<(), millpond::BuildError>(())
    /// ```
    #[must_use]
    pub fn wipe_on_fork(mut self, need: Need) -> Self {
        self.options.ask(MemoryOption::WipeOnFork, need);
        self
    }

    /// Puts a page without access behind each buffer, and one before the first of a slab: whoever reads or writes past
    /// the OS page in which the capacity ends is ended by the system.
    ///
    /// Buffers are whole OS pages then, with one more of addresses each. Before Linux 6.13, and on other systems, each
    /// guard makes two mappings of one, of which a process may not have more than some ten thousands.
    ///
    /// # Examples
    ///
    /// ```
    /// use millpond::{BufferPool, Memory, Need};
    ///
    /// let pool = BufferPool::builder().memory(Memory::mapped().guard_pages(Need::Prefer)).build()?;
    /// # Ok::<(), millpond::BuildError>(())
    /// ```
    #[must_use]
    pub fn guard_pages(mut self, need: Need) -> Self {
        self.options.ask(MemoryOption::GuardPages, need);
        self
    }

    /// What a pool's sources share. An error: the system refuses what is required even for a little memory.
    pub(crate) fn plan(&self, name: &Name) -> Result<Option<Arc<Plan>>, Denial> {
        self.probe(name)?;
        Ok((!self.options.is_empty()).then(|| Arc::new(Plan::new(self.options, name))))
    }

    /// How many banks a pool tells apart by its sources.
    pub(crate) fn banks(&self) -> usize {
        let is_local = self.options.asks_for(MemoryOption::Numa) && self.options.node == Node::Local;
        match &self.choice {
            Choice::Mapped if is_local => Bank::count(),
            _ => 1,
        }
    }

    /// The plan of the sources of one bank. Where there is one alone, the system is asked for each mapping where it should
    /// be: there may be nodes that it does not tell of.
    pub(crate) fn plan_on(&self, bank: Bank, plan: Option<&Arc<Plan>>) -> Option<Arc<Plan>> {
        let plan = plan?;
        match bank.node().filter(|_| self.banks() > 1) {
            Some(node) => Some(Arc::new(plan.on(node))),
            None => Some(plan.clone()),
        }
    }

    /// Takes a little memory with all that is required, and gives it back.
    fn probe(&self, name: &Name) -> Result<(), Denial> {
        let required = self.options.required();
        if required.is_empty() {
            return Ok(());
        }
        let source = self.source_for(Self::APART, Some(&Arc::new(Plan::new(required, name))), &Registry::new());
        let layout = Layout::new::<u64>();
        let block = source.allocate(layout, Want::Any)?;
        // SAFETY: allocated above, and not used.
        unsafe { source.release(block.ptr, block.place, layout) };
        Ok(())
    }

    /// The source of blocks of one size class. Takes no memory before the first of them.
    pub(crate) fn source_for(&self, class: Layout, plan: Option<&Arc<Plan>>, registry: &Arc<Registry>) -> Source {
        let origin = match &self.choice {
            Choice::Heap => return Source::Heap(Heap { plan: plan.cloned() }),
            Choice::Mapped => None,
            Choice::Source(origin) => Some(origin.clone()),
        };
        Source::Mapped(Mapped::new(class, plan.cloned(), origin, registry))
    }

    /// A granule that is none.
    pub(crate) fn wrong_granule(&self) -> Option<usize> {
        match &self.choice {
            Choice::Source(origin) => Some(origin.granule()).filter(|granule| !granule.is_power_of_two()),
            _ => None,
        }
    }

    /// The class of blocks that belong to none, each of its own size. No block has the empty layout, so each is a mapping of
    /// its own.
    pub(crate) const APART: Layout = Layout::new::<()>();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(size: usize) -> Layout {
        Layout::from_size_align(size, 64).unwrap()
    }

    #[test]
    fn a_choice_holds_for_every_class() {
        for size in [64, 64 << 10, 1 << 24] {
            assert!(matches!(Memory::heap().source_for(layout(size), None, &Registry::new()), Source::Heap(_)));
            assert!(matches!(Memory::mapped().source_for(layout(size), None, &Registry::new()), Source::Mapped(_)));
            assert!(matches!(Memory::default().source_for(layout(size), None, &Registry::new()), Source::Mapped(_)));
        }
    }

    #[test]
    fn every_source_takes_back_what_it_gives() {
        let class = layout(8192);
        for memory in [Memory::heap(), Memory::mapped(), Memory::default()] {
            let sizes = [
                (memory.source_for(class, None, &Registry::new()), 8192),
                (memory.source_for(Memory::APART, None, &Registry::new()), 70_000),
            ];
            for (source, size) in sizes {
                give_and_take_back(&source, layout(size));
            }
            give_and_take_back(&memory.source_for(Memory::APART, None, &Registry::new()), layout(100));
        }
    }

    fn give_and_take_back(source: &Source, layout: Layout) {
        let block = source.allocate(layout, Want::Zeroed).unwrap();
        assert!(block.zeroed);
        // SAFETY: the block has this many bytes, all initialised.
        let bytes = unsafe { std::slice::from_raw_parts(block.ptr.as_ptr(), layout.size()) };
        assert!(bytes[0] == 0 && bytes[1..] == bytes[..layout.size() - 1]);
        // SAFETY: allocated above with the same layout, and not used any more.
        unsafe { source.release(block.ptr, block.place, layout) };
        assert_eq!(source.overhead(), 0);
    }
}
