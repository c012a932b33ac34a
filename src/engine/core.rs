//! The core of a pool: its stores, its slots, and how long all that lives.
//!
//! One count, `refs`, keeps a core: one for all pool handles together, one for each slot that has memory, one for each
//! attached magazine. It is touched on slow paths only, since a hit neither makes nor ends any of these. When the last
//! handle goes, the core is shut: idle slots are retired wherever they are, attachments are cut, and what is out comes
//! home to be retired. The last of them frees the core.

mod attention;
mod decay;
mod evict;
mod keeper;
mod life;
// For exporters.
#[cfg(any(feature = "metrics-024", feature = "prometheus-client-025"))]
mod whole;

use std::alloc::{Layout, handle_alloc_error};
use std::fmt;
use std::ops::Deref;
use std::ptr::NonNull;

use crate::engine::barrier;
use crate::engine::boxed;
use crate::engine::cache::{self, Cache};
use crate::engine::clock::Clock;
use crate::engine::depot::{Depot, Heed, Loot};
use crate::engine::lanes::Lane;
use crate::engine::seats::Visit;
use crate::engine::slot::{Slot, SlotPtr};
use crate::engine::spare::Spare;
use crate::engine::store::{Keeping, Store, StoreStats};
use crate::engine::table::SlotTable;
use crate::memory::os::topology::Bank;
use crate::sync::{AtomicBool, AtomicU32, AtomicUsize, Mutex, Ordering::*, try_locked};

pub(crate) use attention::Reach;
use decay::Past;
pub(crate) use decay::QUARTERS;
pub(crate) use keeper::Keeper;
use keeper::{free, offer, tidy, told_shut, vacate};
pub(crate) use life::CoreRef;
#[cfg(any(feature = "metrics-024", feature = "prometheus-client-025"))]
pub(crate) use whole::WholeRef;

/// Stores a core may have.
pub(crate) const MAX_STORES: usize = 72;
/// Steps a core may have: what a face computes from a request on the hit path, to be led to a store.
pub(crate) const MAX_STEPS: usize = 40;
/// Magazines robbed behind one barrier.
const ROBBED_AT_ONCE: usize = 16;

/// What a store is to hold.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StoreConfig {
    /// Bytes a slot stands for.
    pub(crate) weight: usize,
    pub(crate) keeping: Keeping,
}

/// How much may lie idle, and where.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Bytes in depots and magazines, of all stores.
    pub(crate) max_idle: usize,
    /// Slots in the depot and magazines of one store.
    pub(crate) max_idle_per_store: usize,
    /// Bytes in the magazines of one thread.
    pub(crate) thread_cache: usize,
    /// Whether a clock picks the slots that give way when stores compete.
    pub(crate) by_clock: bool,
    /// How many banks the memory of slots is told apart by.
    pub(crate) banks: usize,
    /// Whether slots remember who took them.
    #[cfg(feature = "track")]
    pub(crate) tracks: bool,
}

/// The part of a core that does not depend on the face.
#[repr(C)]
pub(crate) struct Core {
    /// For the hit path, the lane that each step leads to: NONE until a thread with a cache has used the store, and for ever where a
    /// step leads to no store.
    lanes: [AtomicU32; MAX_STEPS],
    stores: Box<[Store]>,
    steps: [Option<u8>; MAX_STEPS],
    id: u64,
    limits: Limits,
    table: SlotTable,
    /// Headers without memory.
    vacant: Depot,
    vacate: unsafe fn(*const Core, SlotPtr, usize, Bank) -> usize,
    offer: unsafe fn(*const Core, Spare),
    told_shut: unsafe fn(*const Core),
    tidy: unsafe fn(*const Core),
    free: unsafe fn(*const Core),
    /// Somebody waits for memory, or did a moment ago: what comes home is offered to the keeper.
    attention: AtomicBool,
    /// Since attention was raised, everything that lay in caches has been offered.
    attended: AtomicBool,
    /// Returns to come until attention is lowered.
    restless: AtomicU32,
    /// Nothing can decay before the next birth, of which the keeper is told.
    asleep: AtomicBool,
    /// Somebody looks for what may go back to the system.
    is_looked_at: AtomicBool,
    past: Mutex<Past>,
    clock: Option<Mutex<Clock>>,
    /// Vacant headers that were left when their memory was given back last.
    useless_headers: AtomicUsize,
    counts: Counts,
}

/// What handles and slots count: on cache lines of their own, because others read on every slow path what stands beside
/// them.
#[repr(align(128))]
struct Counts {
    refs: AtomicUsize,
    handles: AtomicUsize,
    /// Bytes of all slots that have memory.
    footprint: AtomicUsize,
}

/// A core with the face's own state.
#[repr(C)]
pub(crate) struct CoreOf<K> {
    core: Core,
    keeper: K,
}

/// A counted handle of a core. The last one to go shuts it.
pub(crate) struct Handle<K: Keeper>(NonNull<CoreOf<K>>);

// SAFETY: a handle is a counted pointer to a core whose shared parts are atomics, and to a keeper that is Send and
// Sync.
unsafe impl<K: Keeper> Send for Handle<K> {}
// SAFETY: as above.
unsafe impl<K: Keeper> Sync for Handle<K> {}

impl<K: Keeper> Handle<K> {
    /// A new core with these stores, whose numbers are the faces' classes. Each step leads to a store, or to the slow path.
    pub(crate) fn new(
        keeper: K,
        stores: &[StoreConfig],
        steps: impl IntoIterator<Item = Option<usize>>,
        limits: Limits,
    ) -> Self {
        assert!(stores.len() <= MAX_STORES);
        let mut led = [None; MAX_STEPS];
        led.iter_mut().zip(steps).for_each(|(step, store)| *step = store.map(|store| store as u8));
        barrier::kind();
        let core = Core {
            lanes: std::array::from_fn(|_| AtomicU32::new(Lane::NONE.0)),
            stores: Box::new([]),
            steps: led,
            id: next_id(),
            limits,
            table: SlotTable::new::<K::Content>(),
            vacant: Depot::new(),
            vacate: vacate::<K>,
            offer: offer::<K>,
            told_shut: told_shut::<K>,
            tidy: tidy::<K>,
            free: free::<K>,
            attention: AtomicBool::new(false),
            attended: AtomicBool::new(false),
            restless: AtomicU32::new(0),
            asleep: AtomicBool::new(false),
            is_looked_at: AtomicBool::new(false),
            past: Mutex::new(Past::of(stores.len() * limits.banks)),
            clock: limits
                .by_clock
                .then(|| Mutex::new(Clock::new(limits.max_idle, stores.iter().map(|store| store.weight)))),
            useless_headers: AtomicUsize::new(0),
            counts: Counts { refs: AtomicUsize::new(1), handles: AtomicUsize::new(1), footprint: AtomicUsize::new(0) },
        };
        let Some(place) = boxed::try_new(CoreOf { core, keeper }) else {
            handle_alloc_error(Layout::new::<CoreOf<K>>())
        };
        let core = place.as_ptr().cast::<Core>();
        let stores =
            stores.iter().enumerate().map(|(class, config)| Store::new(core, class, config, &limits)).collect();
        // SAFETY: `repr(C)` puts the core first; it is ours alone until the handle leaves this function.
        unsafe { (*core).stores = stores };
        Handle(place)
    }

    /// Shuts the pool while handles remain: all idle memory is freed at once, and whatever comes home later.
    pub(crate) fn close(&self) {
        self.core().shut();
    }
}

/// Ids are never used again, unlike addresses and lanes.
fn next_id() -> u64 {
    static NEXT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(1);
    NEXT.fetch_add(1, Relaxed)
}

impl<K: Keeper> Deref for Handle<K> {
    type Target = CoreOf<K>;

    #[inline(always)]
    fn deref(&self) -> &CoreOf<K> {
        // SAFETY: the handle counts, so the core is there.
        unsafe { self.0.as_ref() }
    }
}

impl<K: Keeper> CoreOf<K> {
    #[inline(always)]
    pub(crate) fn core(&self) -> &Core {
        &self.core
    }

    pub(crate) fn keeper(&self) -> &K {
        &self.keeper
    }

    /// Gives `content`, whose memory is in this bank, a slot in this class, or the content back when there is no memory for
    /// a header.
    pub(crate) fn birth(
        &self,
        class: usize,
        bank: Bank,
        bytes: usize,
        content: K::Content,
    ) -> Result<SlotPtr, K::Content> {
        let core = &self.core;
        let store = &core.stores[class];
        core.retain();
        let mut loot = Loot::new();
        // SAFETY: the core's table is the one of all its depots.
        unsafe { core.vacant.pop(&core.table, 1, &mut loot) };
        let slot = match loot.take_newest() {
            Some(slot) => {
                // SAFETY: a slot of this core, so of this content type; taken out of the vacant ones, so ours and
                // vacated.
                unsafe { Slot::set_content(slot.cast::<K::Content>().as_ptr(), content) };
                slot
            }
            None => match core.table.add(store, content) {
                Ok(slot) => slot,
                Err(content) => {
                    // SAFETY: retained above; the caller keeps the core.
                    unsafe { Core::release(core) };
                    return Err(content);
                }
            },
        };
        // SAFETY: ours, not yet shown to anybody.
        unsafe { slot.head() }.set_home(store, bank);
        // SAFETY: ours.
        unsafe { slot.weighs(bytes) };
        store.count_birth(bytes);
        // SeqCst: see `room`.
        core.counts.footprint.fetch_add(bytes, SeqCst);
        store.make_room();
        if core.wakes_up() {
            self.keeper.woken();
        }
        Ok(slot)
    }

    /// The core a slot belongs to.
    ///
    /// # Safety
    /// The slot is held during `'a` and was born by a `CoreOf<K>`.
    pub(crate) unsafe fn of_slot<'a>(slot: SlotPtr) -> &'a CoreOf<K> {
        // SAFETY: the slot is held, which keeps its table.
        let store = unsafe { slot.head() }.store();
        // SAFETY: the slot keeps its store.
        let core = unsafe { &*store }.core_ptr();
        // SAFETY: the pointer was made from one to the whole `CoreOf<K>`, whose first field the core is.
        unsafe { &*core.cast() }
    }
}

/// The slot's class.
///
/// # Safety
/// The slot is held.
pub(crate) unsafe fn class_of(slot: SlotPtr) -> usize {
    // SAFETY: held, so table and store are there.
    let store = unsafe { slot.head() }.store();
    // SAFETY: as above.
    unsafe { &*store }.class()
}

/// Where the slot goes home to; a number to compare.
///
/// # Safety
/// The slot is held.
pub(crate) unsafe fn home_of(slot: SlotPtr) -> usize {
    // SAFETY: held, so the table is there.
    unsafe { slot.head() }.store() as usize
}

/// The bank of the slot's memory.
///
/// # Safety
/// The slot is held.
#[cfg(all(test, not(loom)))]
pub(crate) unsafe fn bank_of(slot: SlotPtr) -> Bank {
    // SAFETY: held, so the table is there.
    unsafe { slot.head() }.bank()
}

impl Core {
    pub(super) fn id(&self) -> u64 {
        self.id
    }

    pub(super) fn limits(&self) -> &Limits {
        &self.limits
    }

    pub(super) fn table(&self) -> &SlotTable {
        &self.table
    }

    pub(super) fn stores(&self) -> &[Store] {
        &self.stores
    }

    /// Bytes that may lie idle beyond the limit, counting every place in a magazine as taken.
    pub(super) fn excess_bytes(&self) -> usize {
        let (footprint, limit) = (self.counts.footprint.load(SeqCst), self.limits.max_idle);
        // One load in the common case.
        if footprint <= limit {
            return 0;
        }
        let idle = self.stores.iter().map(Store::idle_bound).fold(0, usize::saturating_add);
        idle.min(footprint).saturating_sub(limit)
    }

    pub(super) fn place_bytes(&self) -> usize {
        self.stores.iter().map(Store::place_bytes).fold(0, usize::saturating_add)
    }

    /// Bytes of its allowance that this thread's magazines use.
    pub(super) fn allowed_to(&self, cache: &Cache) -> usize {
        self.stores.iter().map(|store| store.allowed_to(cache)).sum()
    }

    /// Halves this thread's largest magazine, if it keeps more than `bytes` even so.
    pub(super) fn halve_largest_above(&self, cache: &Cache, bytes: usize) {
        let largest = self.stores.iter().max_by_key(|store| store.allowed_to(cache));
        if let Some(store) = largest.filter(|store| store.allowed_to(cache) / 2 > bytes) {
            store.halve(cache);
        }
    }

    /// Lets the hit path find a store's magazines.
    pub(super) fn show_lane(&self, store: usize, lane: Lane) {
        for (step, place) in self.steps.iter().zip(&self.lanes) {
            if *step == Some(store as u8) {
                // Relaxed: a number; what is found under it is checked.
                place.store(lane.0, Relaxed);
            }
        }
    }

    /// Where slots of the store that this step leads to are cached.
    #[inline(always)]
    pub(crate) fn lane_at(&self, step: usize) -> Lane {
        Lane(self.lanes[step].load(Relaxed))
    }

    /// Where this store's slots are cached, if any thread has cached one.
    pub(crate) fn lane_of(&self, store: usize) -> Lane {
        self.stores[store].known_lane()
    }

    /// The hit path of every get: the newest slot of this thread's magazine.
    #[inline(always)]
    pub(crate) fn take_cached(&self, cache: &Cache, lane: Lane) -> Option<SlotPtr> {
        cache.magazine(lane)?.pop()
    }

    /// As many slots of this thread's magazine as there are, up to `count`, newest last, into `out`, which is empty.
    pub(crate) fn take_cached_many(&self, cache: &Cache, lane: Lane, count: usize, out: &mut Loot) {
        if let Some(magazine) = cache.magazine(lane) {
            magazine.pop_many(count, out);
        }
    }

    /// A slot that is idle in this thread's magazine or in the depot. Takes no lock; may make this thread's magazine.
    /// `prefetch` is called for the slots that come into it.
    #[cold]
    #[inline(never)]
    pub(crate) fn take_idle(&self, cache: &Cache, class: usize, prefetch: impl Fn(SlotPtr)) -> Option<SlotPtr> {
        self.advance_if_tracking();
        self.stores[class].take_idle(cache, prefetch)
    }

    /// Up to `count` slots that are idle in this thread's magazine or in the depot. May make this thread's magazine.
    pub(crate) fn take_many(&self, class: usize, count: usize, each: impl FnMut(SlotPtr)) {
        cache::with(|cache| self.stores[class].take_many(cache, count, each));
    }

    /// Up to `count` slots that lie idle in depots of other banks than this thread's.
    #[cold]
    pub(crate) fn take_far(&self, class: usize, count: usize, each: impl FnMut(SlotPtr)) {
        cache::with(|cache| self.stores[class].take_far(cache, count, each));
    }

    /// The bank of this thread, if the pool tells banks apart, and otherwise the first.
    pub(crate) fn bank_here(&self) -> Bank {
        self.stores[0].bank_here()
    }

    /// How many banks the pool tells apart.
    pub(crate) fn banks(&self) -> usize {
        self.limits.banks
    }

    /// Robs all threads' magazines of this class: one slot for the caller, the rest for the depot. With attention raised
    /// there is nothing in them.
    #[cold]
    pub(crate) fn steal(&self, class: usize) -> Option<SlotPtr> {
        if self.has_attention() {
            return None;
        }
        let store = &self.stores[class];
        let mut found = None;
        rob(store.seats().visit().map(|visit| (store, visit)), |_, mut loot| {
            found = found.or_else(|| loot.take_newest());
            // SAFETY: robbed, so ours; the caller's handle or slot keeps the core.
            unsafe { Store::send_home(store, loot.as_slice()) };
        });
        if found.is_some() {
            store.count_stolen();
        }
        found
    }

    /// Puts slots that were just born, of one class, into the depot, to stay for good.
    ///
    /// # Safety
    /// The caller holds the slots and keeps the core by other means.
    pub(crate) unsafe fn stock(&self, class: usize, slots: &[SlotPtr]) {
        let store = &self.stores[class];
        slots.iter().for_each(|_| store.uncount_fresh());
        store.raise_floor(slots.len());
        // SAFETY: the caller's promises.
        unsafe { Store::send_home(store, slots) };
    }

    /// A slot that stood for `from` bytes stands for `to`.
    pub(crate) fn count_weight(&self, class: usize, from: usize, to: usize) {
        self.stores[class].count_weight(from, to);
        // Wraps like the difference itself.
        self.counts.footprint.fetch_add(to.wrapping_sub(from), SeqCst);
    }

    /// A birth that no get asked for.
    pub(crate) fn uncount_fresh(&self, class: usize) {
        self.stores[class].uncount_fresh();
    }

    /// Makes this thread's magazines for all stores, so that no later get or return on it has to.
    pub(crate) fn attach_thread(&self) {
        cache::with(|cache| self.attach(cache));
    }

    pub(crate) fn attach(&self, cache: &Cache) {
        self.stores.iter().for_each(|store| store.attach_now(cache));
    }

    /// All magazines, and the stores in which they sit.
    fn seated(&self) -> impl Iterator<Item = (&Store, Visit<'_>)> {
        self.stores.iter().flat_map(|store| store.seats().visit().map(move |visit| (store, visit)))
    }

    /// Gives up the memory of a slot; how many bytes.
    ///
    /// # Safety
    /// The caller holds the slot, and touches nothing afterwards that only the slot kept.
    pub(crate) unsafe fn retire(slot: SlotPtr) -> usize {
        // SAFETY: held.
        unsafe { slot.check_in() };
        // SAFETY: held, so the table is there.
        let store = unsafe { slot.head() }.store();
        // SAFETY: held.
        let bank = unsafe { slot.head() }.bank();
        // SAFETY: held, so store and core are there.
        let store = unsafe { &*store };
        let core = store.core_ptr();
        // SAFETY: as above.
        let this = unsafe { &*core };
        // SAFETY: made for this kind of core; the slot is held.
        let bytes = unsafe { (this.vacate)(core, slot, store.class(), bank) };
        store.count_death(bytes);
        this.counts.footprint.fetch_sub(bytes, Relaxed);
        this.vacant.announce(1);
        // SAFETY: held until here. The slot's own hold on the core, given up last, keeps it meanwhile.
        unsafe { Depot::push(&this.vacant, &[slot], 1, Heed::Nothing) };
        // SAFETY: the hold that came with the slot's birth.
        unsafe { Core::release(core) };
        bytes
    }

    /// Slots that are out. Exact when nobody works on the core.
    pub(crate) fn outstanding(&self) -> usize {
        let out = |stats: StoreStats| stats.resident.saturating_sub(stats.in_caches + stats.in_depot);
        self.stores.iter().map(|store| out(store.stats())).sum()
    }

    pub(crate) fn stats(&self, class: usize) -> StoreStats {
        self.stores[class].stats()
    }

    /// Bytes of headers, tables and lists.
    pub(crate) fn overhead(&self) -> usize {
        let seats: usize = self.stores.iter().map(|store| store.seats().bytes() + store.depot_bytes()).sum();
        let clock = self.clock.as_ref().and_then(try_locked).map_or(0, |clock| clock.bytes());
        size_of::<Core>() + size_of_val(&*self.stores) + self.table.bytes() + seats + clock
    }
}

impl Drop for Core {
    fn drop(&mut self) {
        self.stores.iter().for_each(Store::give_back_lane);
    }
}

impl fmt::Debug for Core {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Core").field("id", &self.id).field("stores", &self.stores.len()).finish_non_exhaustive()
    }
}

/// Robs these magazines, several behind one barrier, and hands what was in them to `each`. False if the system refused
/// a barrier; then some of them are as they were.
fn rob<'a>(magazines: impl Iterator<Item = (&'a Store, Visit<'a>)>, mut each: impl FnMut(&'a Store, Loot)) -> bool {
    let mut asked = magazines.filter(|(_, magazine)| magazine.ask()).fuse();
    let mut all = true;
    loop {
        let mut group = [const { None }; ROBBED_AT_ONCE];
        let filled = group.iter_mut().zip(&mut asked).map(|(place, robbed)| *place = Some(robbed)).count();
        if filled == 0 {
            return all;
        }
        let ordered = barrier::heavy();
        all &= ordered;
        // First all of the group, since `each` may run user code, and then what was in them.
        let loot = group.map(|place| place.map(|(store, magazine)| (store, magazine.take(ordered))));
        loot.into_iter().flatten().for_each(|(store, loot)| each(store, loot));
    }
}
