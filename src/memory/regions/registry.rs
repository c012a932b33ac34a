//! Which regions a pool has, and who is told of them.
//!
//! Watchers are told without any lock, and nobody waits for a watcher but who calls it. A region that goes while
//! somebody is still telling that it has come waits itself, for the last of those tellers, who then also tells that it
//! is gone. So each watcher hears of each region once that it came and then, once, that it went.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::*};

use super::passes::Passes;
use super::{Region, RegionWatcher, user_code};
use crate::memory::Denial;
use crate::memory::fork::ForkMutex;
use crate::memory::mapping::Mapping;
use crate::panics;

/// The regions of a pool, of all its sources.
#[derive(Debug)]
pub(crate) struct Registry {
    passes: Passes,
    /// Sources that have been given a number.
    owners: AtomicU32,
    list: ForkMutex<List>,
}

#[derive(Debug)]
struct List {
    entries: Vec<Option<Entry>>,
    /// No lower index is free.
    lowest: usize,
    /// How many are kept.
    kept: usize,
    watches: Watches,
}

type Watches = Arc<[Arc<Watch>]>;

#[derive(Debug)]
struct Entry {
    region: Region,
    /// Threads that are telling watchers of it.
    tellers: u32,
    state: State,
}

#[derive(Debug)]
enum State {
    /// In use.
    There,
    /// Given up by this source while there were pins, for it to use again.
    Kept(u32, Mapping),
    /// To go when nobody tells of it any more.
    Leaving(Departure),
    /// Off the list, though its index is taken.
    Gone,
}

/// Somebody who is told.
pub(crate) struct Watch {
    watcher: Arc<dyn RegionWatcher>,
    is_over: AtomicBool,
}

impl std::fmt::Debug for Watch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watch").field("is_over", &self.is_over).finish_non_exhaustive()
    }
}

impl Watch {
    fn tell(&self, what: impl FnOnce(&dyn RegionWatcher)) {
        // Relaxed: who ends a watch on another thread may be a moment too late.
        if !self.is_over.load(Relaxed) {
            panics::isolate(|| what(&*self.watcher));
        }
    }
}

/// A region that is off the list, on its way out.
#[derive(Debug)]
#[must_use = "nobody is told, and the index stays taken, before `go`"]
pub(crate) struct Departure {
    region: Region,
    mapping: Mapping,
    /// Who knows of it.
    watches: Watches,
}

impl Departure {
    /// Tells who knows of the region, gives its memory back, and then its index. Under no lock and no pass.
    pub(crate) fn go(self, registry: &Arc<Registry>) {
        if self.watches.is_empty() {
            return self.leave(registry);
        }
        let registry = registry.clone();
        user_code::tell(move || {
            self.watches.iter().for_each(|watch| watch.tell(|watcher| watcher.removed(&self.region)));
            self.leave(&registry);
        });
    }

    fn leave(self, registry: &Registry) {
        let index = self.region.index as usize;
        drop(self.mapping);
        if let Some(mut list) = registry.list.lock() {
            list.entries[index] = None;
            list.lowest = list.lowest.min(index);
            while let Some(None) = list.entries.last() {
                list.entries.pop();
            }
        }
    }
}

impl Registry {
    pub(crate) fn new() -> Arc<Self> {
        let list = List { entries: Vec::new(), lowest: 0, kept: 0, watches: Arc::new([]) };
        Arc::new(Registry { passes: Passes::new(), owners: AtomicU32::new(0), list: ForkMutex::new(list) })
    }

    pub(crate) fn passes(&self) -> &Passes {
        &self.passes
    }

    /// A number for a source.
    pub(in crate::memory) fn owner(&self) -> u32 {
        // Relaxed: no two get the same, and nothing else is to be learned from it.
        self.owners.fetch_add(1, Relaxed)
    }

    /// Numbers a new region, and tells watchers. When this returns, it is listed and everybody knows.
    pub(in crate::memory) fn add(self: &Arc<Self>, mapping: &Mapping) -> Result<u32, Denial> {
        user_code::reserve().map_err(|_| Denial::NoMemory)?;
        let (region, watches) = {
            let mut list = self.list.lock().ok_or(Denial::NoMemory)?;
            let index = list.free_index()?;
            let region = Region { start: mapping.at(0), len: mapping.len(), index: index as u32 };
            let watches = list.watches.clone();
            let tellers = u32::from(!watches.is_empty());
            list.entries[index] = Some(Entry { region, tellers, state: State::There });
            list.lowest = index + 1;
            (region, watches)
        };
        if !watches.is_empty() {
            let registry = self.clone();
            user_code::tell(move || {
                watches.iter().for_each(|watch| watch.tell(|watcher| watcher.added(&region)));
                registry.told(&region);
            });
        }
        Ok(region.index)
    }

    /// A teller is done. The last one sees a region off that was given up meanwhile.
    fn told(self: &Arc<Self>, region: &Region) {
        let Some(mut list) = self.list.lock() else { return };
        let Some(entry) = list.entry(region.index) else { return };
        entry.tellers -= 1;
        if entry.tellers > 0 || !matches!(entry.state, State::Leaving(_)) {
            return;
        }
        let State::Leaving(departure) = std::mem::replace(&mut entry.state, State::Gone) else { return };
        drop(list);
        departure.go(self);
    }

    /// Takes a region off the list, for which the caller has a pass. None: it goes later, or in the child of a fork
    /// that caught the list in the middle of a change, at once and nobody is told.
    pub(in crate::memory) fn take_off(&self, index: u32, mapping: Mapping) -> Option<Departure> {
        let mut list = self.list.lock()?;
        let watches = list.watches.clone();
        let entry = list.entry(index)?;
        let departure = Departure { region: entry.region, mapping, watches };
        if entry.tellers > 0 {
            entry.state = State::Leaving(departure);
            return None;
        }
        entry.state = State::Gone;
        Some(departure)
    }

    /// Keeps a region for this source, which would be given up if there were no pins.
    pub(in crate::memory) fn keep(&self, index: u32, owner: u32, mapping: Mapping) {
        let Some(mut list) = self.list.lock() else {
            // In the child of a fork, where nobody can use it again: its addresses stay taken.
            std::mem::forget(mapping);
            return;
        };
        list.kept += 1;
        if let Some(entry) = list.entry(index) {
            entry.state = State::Kept(owner, mapping);
        }
    }

    /// A kept region of this source, of this length and alignment, to be used again.
    pub(in crate::memory) fn reuse(&self, owner: u32, len: usize, align: usize) -> Option<(u32, Mapping)> {
        self.take_kept(|of, mapping| of == owner && mapping.len() == len && mapping.align() == align)
    }

    /// Any kept region of this source.
    pub(in crate::memory) fn any_kept(&self, owner: u32) -> Option<(u32, Mapping)> {
        self.take_kept(|of, _| of == owner)
    }

    fn take_kept(&self, fits: impl Fn(u32, &Mapping) -> bool) -> Option<(u32, Mapping)> {
        let mut list = self.list.lock()?;
        if list.kept == 0 {
            return None;
        }
        let mut entries = list.entries.iter_mut().flatten();
        let entry = entries.find(|entry| matches!(&entry.state, State::Kept(of, mapping) if fits(*of, mapping)))?;
        let index = entry.region.index;
        let State::Kept(_, mapping) = std::mem::replace(&mut entry.state, State::There) else { return None };
        list.kept -= 1;
        Some((index, mapping))
    }

    /// All that are there now, by index. None in the child of a fork that caught another thread in the middle of a
    /// change.
    pub(crate) fn regions(&self) -> Vec<Region> {
        let Some(list) = self.list.lock() else { return Vec::new() };
        list.entries.iter().flatten().filter(|entry| entry.is_there()).map(|entry| entry.region).collect()
    }

    /// From now on this watcher is told, and when this returns, it has been told of what there is.
    pub(crate) fn watch(self: &Arc<Self>, watcher: Arc<dyn RegionWatcher>) -> Arc<Watch> {
        self.passes.raise(super::Hold::Watch);
        let watch = Arc::new(Watch { watcher, is_over: AtomicBool::new(false) });
        let there: Vec<Region> = self.list.lock().map_or_else(Vec::new, |mut list| {
            list.watches = list.watches.iter().cloned().chain([watch.clone()]).collect();
            let there = list.entries.iter_mut().flatten().filter(|entry| entry.is_there());
            there.map(Entry::tell_of).collect()
        });
        user_code::tell_at_once(|| {
            for region in there {
                watch.tell(|watcher| watcher.added(&region));
                self.told(&region);
            }
        });
        watch
    }

    /// Ends a watch. True: there is none any more.
    pub(crate) fn unwatch(&self, watch: &Arc<Watch>) -> bool {
        // Relaxed: see `Watch::tell`.
        watch.is_over.store(true, Relaxed);
        if let Some(mut list) = self.list.lock() {
            list.watches = list.watches.iter().filter(|other| !Arc::ptr_eq(other, watch)).cloned().collect();
        }
        self.passes.lower(super::Hold::Watch)
    }

    /// Bytes of the list.
    pub(crate) fn bytes(&self) -> usize {
        let entries = self.list.lock().map_or(0, |list| list.entries.capacity());
        size_of::<Self>() + entries * size_of::<Option<Entry>>()
    }
}

impl List {
    /// The lowest index that is free, with room for its entry.
    fn free_index(&mut self) -> Result<usize, Denial> {
        let free = self.entries.iter().skip(self.lowest).position(Option::is_none);
        let index = free.map_or(self.entries.len(), |free| self.lowest + free);
        if index == self.entries.len() {
            if index >= u32::MAX as usize {
                return Err(Denial::NoMemory);
            }
            self.entries.try_reserve(1).map_err(|_| Denial::NoMemory)?;
            self.entries.push(None);
        }
        Ok(index)
    }

    fn entry(&mut self, index: u32) -> Option<&mut Entry> {
        self.entries.get_mut(index as usize)?.as_mut()
    }
}

impl Entry {
    fn is_there(&self) -> bool {
        matches!(self.state, State::There | State::Kept(..))
    }

    /// One teller more.
    fn tell_of(&mut self) -> Region {
        self.tellers += 1;
        self.region
    }
}
