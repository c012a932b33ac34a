//! One mapping of the operating system, or piece of a user's memory, as a value: given back when dropped.
#![allow(unsafe_code)] // The one caller of `os::unmap`, and of what is asked for pages.

use std::ptr::NonNull;

use super::options::{HugePages, MemoryOption, OsReason};
use super::os::pages::{self, HUGE_PAGE};
use super::plan::Plan;
use super::source::Origin;
use super::{Denial, os};

/// `len` bytes from an address that is a multiple of `align`.
#[derive(Debug)]
pub(super) struct Mapping {
    base: NonNull<u8>,
    len: usize,
    align: usize,
    /// Its pages were locked when it was made.
    is_locked: bool,
    /// All its bytes were zero when it was made.
    is_zeroed: bool,
    /// None where it is the operating system's.
    origin: Option<Origin>,
}

/// Where mappings come from, and what is asked of them.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Supply<'a> {
    /// None where nothing is asked.
    pub(super) plan: Option<&'a Plan>,
    /// None for those of the operating system.
    pub(super) origin: Option<&'a Origin>,
}

impl Supply<'_> {
    /// The unit of what can be given back alone.
    pub(super) fn unit(self) -> usize {
        self.origin.map_or_else(os::page_size, Origin::unit)
    }

    /// Gives whole units back, under memory that stays mapped. True: all their bytes are zero now. False: any value.
    ///
    /// # Safety
    /// They lie inside one mapping of this supply, and nobody uses them or wants what they hold.
    pub(super) unsafe fn discard(self, start: NonNull<u8>, len: usize) -> bool {
        match self.origin {
            // SAFETY: the caller's.
            Some(origin) => unsafe { origin.discard(start, len) },
            // SAFETY: the caller's.
            None => unsafe { os::discard(start, len) },
        }
    }
}

// SAFETY: a mapping belongs to the process, and the value is its only owner.
unsafe impl Send for Mapping {}

/// How a mapping is laid out for blocks of one layout, under a plan.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Shape {
    /// Behind each block is a guard page, and one before the first.
    pub(super) guarded: bool,
    pub(super) locked: bool,
    pub(super) huge: Option<HugePages>,
    /// The unit of a user's memory.
    pub(super) unit: Option<usize>,
}

impl Shape {
    pub(super) fn of(supply: Supply<'_>) -> Self {
        if let Some(origin) = supply.origin {
            // No option is given there.
            return Shape { unit: Some(origin.unit()), ..Shape::default() };
        }
        let Some(options) = supply.plan.map(Plan::options) else { return Shape::default() };
        Shape {
            unit: None,
            guarded: options.asks_for(MemoryOption::GuardPages),
            locked: options.asks_for(MemoryOption::Locked),
            huge: options.asks_for(MemoryOption::HugePages).then_some(options.huge_pages),
        }
    }

    /// Where the first block starts.
    pub(super) fn front(self, align: usize) -> usize {
        if self.guarded { align.max(os::page_size()) } else { 0 }
    }

    /// The length of a mapping that has room for so many bytes.
    pub(super) fn len_for(self, bytes: usize) -> Option<usize> {
        let unit = if self.huge == Some(HugePages::Explicit2M) { HUGE_PAGE } else { self.unit() };
        bytes.checked_next_multiple_of(unit).filter(|&len| len != 0)
    }

    pub(super) fn align_for(self, align: usize) -> usize {
        let unit = if self.huge.is_some() { Some(HUGE_PAGE) } else { self.unit };
        unit.map_or(align, |unit| align.max(unit))
    }

    /// The unit of what can be given back alone, if anything can.
    pub(super) fn unit(self) -> usize {
        self.unit.unwrap_or_else(os::page_size)
    }

    /// Nothing is asked of the memory that changes how it is cut.
    pub(super) fn is_plain(self) -> bool {
        Shape { unit: None, ..self } == Shape::default()
    }

    /// The length of a mapping for one block.
    pub(super) fn len_for_one(self, size: usize, align: usize) -> Option<usize> {
        if size == 0 {
            return None;
        }
        let guard = if self.guarded { os::page_size() } else { 0 };
        let end = size.checked_next_multiple_of(os::page_size())?.checked_add(guard)?;
        self.len_for(end.checked_add(self.front(align))?)
    }
}

impl Mapping {
    /// Maps so many zero bytes, whole OS pages, as planned, and makes guards of the OS pages at these places.
    pub(super) fn new(
        len: usize,
        align: usize,
        supply: Supply<'_>,
        mut guards: impl Iterator<Item = usize>,
    ) -> Result<Self, Denial> {
        if let Some(origin) = supply.origin {
            return Self::of_source(len, align, origin, supply.plan);
        }
        let Some(plan) = supply.plan else {
            return Ok(Self::of_system(os::map(len, align).ok_or(Denial::NoMemory)?, len, align));
        };
        let mut mapping = Self::map_huge(len, align, plan)?;
        let (base, options) = (mapping.base, plan.options());
        let ask = |option, act: &mut dyn FnMut() -> Result<(), OsReason>| plan.ask(option, len, act);
        // Before anything is touched.
        // SAFETY: all of the mapping, which is ours; as for those that follow.
        ask(MemoryOption::Numa, &mut || unsafe { pages::place(base, len, options.node) })?;
        // SAFETY: as above.
        ask(MemoryOption::ExcludeFromDumps, &mut || unsafe { pages::exclude_from_dumps(base, len) })?;
        // SAFETY: as above.
        ask(MemoryOption::WipeOnFork, &mut || unsafe { pages::wipe_on_fork(base, len) })?;
        // Guards before the lock, since Linux makes none of the cheap kind of pages that are locked.
        let page = os::page_size();
        // SAFETY: pages of the mapping that no block has a part in.
        ask(MemoryOption::GuardPages, &mut || guards.try_for_each(|at| unsafe { pages::guard(mapping.at(at), page) }))?;
        // SAFETY: as above.
        mapping.is_locked = ask(MemoryOption::Locked, &mut || unsafe { pages::lock(base, len) })?;
        Ok(mapping)
    }

    fn of_system(base: NonNull<u8>, len: usize, align: usize) -> Self {
        Self { base, len, align, is_locked: false, is_zeroed: true, origin: None }
    }

    /// Memory of a user's source, of which no option can be asked: what is behind it is not known. That blocks are
    /// touched before they are used is asked for each.
    fn of_source(len: usize, align: usize, origin: &Origin, plan: Option<&Plan>) -> Result<Self, Denial> {
        let memory = origin.allocate(len, align)?;
        let origin = Some(origin.clone());
        let mapping = Self { base: memory.ptr, len, align, is_locked: false, is_zeroed: memory.zeroed, origin };
        for option in MemoryOption::ALL.into_iter().filter(|&option| option != MemoryOption::Prefault) {
            plan.map_or(Ok(false), |plan| plan.ask(option, len, || Err(OsReason::UNKNOWN)))?;
        }
        Ok(mapping)
    }

    /// Maps huge pages, if the plan has them, or others.
    fn map_huge(len: usize, align: usize, plan: &Plan) -> Result<Self, Denial> {
        let mut huge = None;
        let is_explicit = plan.options().huge_pages == HugePages::Explicit2M;
        if is_explicit {
            plan.ask(MemoryOption::HugePages, len, || pages::map_huge(len).map(|base| huge = Some(base)))?;
        }
        let base = huge.or_else(|| os::map(len, align)).ok_or(Denial::NoMemory)?;
        let mapping = Self::of_system(base, len, align);
        if !is_explicit {
            // SAFETY: all of the mapping, which is ours.
            plan.ask(MemoryOption::HugePages, len, || unsafe { pages::allow_huge(base, len) })?;
        } else if huge.is_none() && plan.options().asks_for(MemoryOption::HugePages) {
            // Better than none, and not what was asked for: refused, it leaves the usual pages, and nobody is to be
            // told, because that there are no explicit ones has been counted.
            // SAFETY: as above.
            unsafe { pages::allow_huge(base, len) }.unwrap_or_default();
        }
        Ok(mapping)
    }

    /// Maps one block, which starts at the address that is returned with it.
    pub(super) fn for_one(size: usize, align: usize, supply: Supply<'_>) -> Result<Self, Denial> {
        let shape = Shape::of(supply);
        let len = shape.len_for_one(size, align).ok_or(Denial::NoMemory)?;
        let (front, page) = (shape.front(align), os::page_size());
        let guards = [front.wrapping_sub(page), front + size.next_multiple_of(page)];
        Self::new(len, shape.align_for(align), supply, guards.into_iter())
    }

    /// Takes back what [`into_block`](Self::into_block) has let go.
    ///
    /// # Safety
    /// `block` comes from `into_block` of a mapping made by `for_one(size, align, supply)`, and is taken back once.
    pub(super) unsafe fn from_block(block: NonNull<u8>, size: usize, align: usize, supply: Supply<'_>) -> Self {
        let shape = Shape::of(supply);
        let len = shape.len_for_one(size, align).expect("as it was mapped");
        // SAFETY: the block starts so far behind the first byte of its mapping.
        let base = unsafe { block.sub(shape.front(align)) };
        let (align, origin) = (shape.align_for(align), supply.origin.cloned());
        Self { base, len, align, is_locked: shape.locked, is_zeroed: false, origin }
    }

    /// Lets the mapping go without unmapping it; where its one block starts.
    pub(super) fn into_block(self, align: usize, shape: Shape) -> NonNull<u8> {
        let block = self.at(shape.front(align));
        let this = std::mem::ManuallyDrop::new(self);
        // What takes it back counts the source anew.
        // SAFETY: not used again.
        drop(unsafe { std::ptr::read(&this.origin) });
        block
    }

    /// The address of the first byte.
    pub(super) fn addr(&self) -> usize {
        self.base.addr().get()
    }

    /// Its length in bytes, a multiple of the OS page.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn align(&self) -> usize {
        self.align
    }

    pub(super) fn is_zeroed(&self) -> bool {
        self.is_zeroed
    }

    pub(super) fn is_locked(&self) -> bool {
        self.is_locked
    }

    /// The byte at `offset`, for access to all the bytes that follow it.
    pub(super) fn at(&self, offset: usize) -> NonNull<u8> {
        assert!(offset < self.len, "{offset} is outside a mapping of {} bytes", self.len);
        // SAFETY: the offset is inside the mapping, whose length fits in an `isize`.
        unsafe { self.base.add(offset) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        let Self { base, len, align, .. } = *self;
        match &self.origin {
            // SAFETY: these are the values of one `allocate`, and the owner drops it once, with nothing left that
            // points into it.
            Some(origin) => unsafe { origin.release(base, len, align) },
            // SAFETY: the same of one `os::map`.
            None => unsafe { os::unmap(base, len, align) },
        }
    }
}
