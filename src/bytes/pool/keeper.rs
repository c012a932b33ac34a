//! What a byte pool keeps besides its slots: where memory comes from, and what is charged for it.

use std::alloc::Layout;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use crate::bytes::SizeClasses;
use crate::bytes::buf::{Held, PooledBuf, taken};
use crate::engine::core::{Core, Keeper};
use crate::engine::lists::Lists;
use crate::engine::spare::Spare;
use crate::memory::os::topology::Bank;
use crate::memory::plan::Plan;
use crate::memory::regions::Registry;
use crate::memory::{Source, os};
use crate::policy::acquire::{Site, Waits};
use crate::policy::budget::{self, Amount, Node};
use crate::policy::builder::{BufferPoolBuilder, Overflow};
use crate::policy::maintenance::{self, Upkeep};
#[cfg(feature = "track")]
use crate::policy::outstanding::log_abandoned;
use crate::tell::Name;

/// What a byte pool keeps besides its slots.
#[derive(Debug)]
pub(crate) struct ByteKeeper {
    pub(super) classes: SizeClasses,
    /// Zeroed before it lies idle.
    pub(super) wipes: bool,
    /// [`BufferPool::close`](crate::BufferPool::close) was called; the pool may also be shut because its last handle is gone.
    pub(super) closed: AtomicBool,
    pub(super) max_request: usize,
    pub(super) alignment: usize,
    /// For each class one of each bank, side by side; and behind them those for all larger requests, and for what is outside
    /// the budget.
    pub(in crate::bytes) sources: Arc<[Source]>,
    /// The regions of all of them.
    pub(in crate::bytes) registry: Arc<Registry>,
    pub(super) banks: usize,
    /// What is asked of the memory of all of them.
    pub(super) plan: Option<Arc<Plan>>,
    /// What is charged for memory.
    pub(super) leaf: Arc<Node>,
    pub(super) overflow: Overflow,
    pub(super) waits: Arc<Waits>,
    /// None where idle memory stays.
    pub(super) upkeep: Option<Arc<Upkeep>>,
    pub(super) lists: Lists<PooledBuf>,
    pub(super) name: Name,
    /// The options, for `Debug`.
    pub(super) builder: BufferPoolBuilder,
}

impl Keeper for ByteKeeper {
    type Content = Held;

    fn vacate(&self, held: &Held, class: usize, bank: Bank) -> usize {
        let layout = Layout::from_size_align(held.capacity(), self.alignment).expect("as the block was made");
        taken::release(self.source(class, bank), held, layout);
        if class != self.unpooled() {
            self.leaf.release(Amount::bytes(layout.size()));
        }
        layout.size()
    }

    fn offer(&self, core: &Core, spare: Spare) {
        budget::offer(Site { leaf: &self.leaf, core, waits: &self.waits }, spare);
    }

    fn tidy(&self) {
        self.sources.iter().for_each(Source::tidy);
    }

    fn woken(&self) {
        self.upkeep.iter().for_each(maintenance::wake);
    }

    fn shut(&self, core: &Core) {
        self.upkeep.iter().for_each(maintenance::dismiss);
        self.leaf.leave(core);
        budget::dismiss(&self.leaf, &self.waits);
        self.lists.clear();
    }

    #[cfg(feature = "track")]
    fn abandoned(&self, core: &Core) {
        log_abandoned(core, &self.name);
    }
}

impl ByteKeeper {
    pub(crate) fn classes(&self) -> &SizeClasses {
        &self.classes
    }

    pub(crate) fn max_request(&self) -> usize {
        self.max_request
    }

    pub(crate) fn name(&self) -> &Name {
        &self.name
    }

    pub(crate) fn wipes(&self) -> bool {
        self.wipes
    }

    pub(crate) fn is_closed(&self) -> bool {
        // Relaxed: closing races with requests in any order.
        self.closed.load(Relaxed)
    }

    pub(crate) fn source(&self, store: usize, bank: Bank) -> &Source {
        &self.sources[store * self.banks + bank.index()]
    }

    /// The store of requests above all classes.
    pub(super) fn oversize(&self) -> usize {
        self.classes.sizes().len()
    }

    /// The store of what is not charged.
    pub(crate) fn unpooled(&self) -> usize {
        self.oversize() + 1
    }

    pub(crate) fn leaf(&self) -> &Arc<Node> {
        &self.leaf
    }

    pub(crate) fn overflow(&self) -> Overflow {
        self.overflow
    }

    pub(crate) fn lists(&self) -> &Lists<PooledBuf> {
        &self.lists
    }

    pub(crate) fn waits(&self) -> &Arc<Waits> {
        &self.waits
    }

    /// The block that serves `size` bytes: its store, and its layout; none when no such block can exist.
    pub(crate) fn block_for(&self, size: usize) -> Option<(usize, Layout)> {
        let (store, unit, size) = match self.classes.of(size) {
            Some(class) => (class.0, self.alignment, self.classes.sizes()[class.0]),
            None => (self.oversize(), self.alignment.max(os::page_size()), size),
        };
        // A power of two, which spares a division.
        let size = size.checked_add(unit - 1)? & !(unit - 1);
        Some((store, Layout::from_size_align(size, self.alignment).ok()?))
    }
}
