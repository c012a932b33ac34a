//! Which store's idle slots give way: CLOCK-Pro over layers.
//!
//! After S. Jiang, F. Chen and X. Zhang ("CLOCK-Pro: An Effective Improvement of the CLOCK Replacement", USENIX ATC 2005),
//! who choose among pages of a file cache. Here nobody asks for a certain slot, for all of a store are alike; what a load
//! asks for is so many at once. So the pages are *layers*: layer k of a store is what it takes beyond k layers full of slots.
//! It is resident while the store has that many slots, in use while that many are out of the depot, and referenced when,
//! having been idle, it is in use again. A store grows and shrinks at its topmost layer, which is always the least used.
//!
//! An entry is hot or cold. Cold ones leave, in the order of the cold hand, unless they were referenced: then, if their
//! test is on, they were needed twice within a while, and become hot; else their test begins. What leaves during its test
//! stays as an entry without memory, and if the store is born that many slots again before the test hand comes by, the layer
//! should have stayed: it becomes hot, and more room is given to cold ones, so that tests last longer. The hot hand makes
//! cold what it finds not referenced while there are more hot ones than there is room for, and ends the tests it passes;
//! each that ends in vain takes room from the cold ones.
//!
//! Nothing here is told of gets and returns. Whoever needs memory shows the clock each store's [`Sight`], which says what
//! happened since the last one.

mod ring;
#[cfg(all(test, not(loom)))]
mod tests;

use std::collections::TryReserveError;

use ring::{Hand, NONE, Ring};

/// Bytes and slots of a layer, at most: what a thread's magazine of small slots holds.
const LAYER_BYTES: usize = 256 << 10;
const LAYER_SLOTS: usize = 64;
/// Layers that the idle memory of a pool is divided into, at least, where slots are small enough.
const LAYERS: usize = 256;
/// Entries that a hand passes at most before others get their turn at the clock.
const STRIDE: usize = 128;
/// The share of memory that cold layers have at least.
const LEAST_COLD: usize = 100;

/// What a store shows.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Sight {
    /// Slots that have memory.
    pub(super) resident: usize,
    /// As many of them as lie in the depot.
    pub(super) idle: usize,
    /// The fewest that lay there at once since the last sight, counting what has left since as never there.
    pub(super) low: usize,
}

/// A layer.
#[derive(Debug)]
struct Entry {
    store: usize,
    layer: usize,
    is_hot: bool,
    is_resident: bool,
    /// Its test is on.
    is_tested: bool,
    is_referenced: bool,
    /// In use since it was born, which is no second use.
    is_newborn: bool,
}

impl Entry {
    /// A layer that was just born.
    fn newly_cold(store: usize, layer: usize, is_newborn: bool) -> Self {
        Entry { store, layer, is_hot: false, is_resident: true, is_tested: true, is_referenced: false, is_newborn }
    }
}

/// The layers of one store.
#[derive(Debug)]
struct Layers {
    /// Slots in a layer.
    depth: usize,
    /// Bytes of a slot.
    weight: usize,
    /// The entry of each layer, or [`NONE`].
    entries: Vec<u32>,
    /// As many of them have memory.
    resident: usize,
    /// Slots that have memory, and that are out of the depot.
    slots: usize,
    out: usize,
}

impl Layers {
    /// Bytes of a layer.
    fn bytes(&self) -> usize {
        self.depth * self.weight
    }

    /// Layers that are in use, at least in part.
    fn in_use(&self) -> usize {
        self.out.div_ceil(self.depth)
    }

    /// Slots of the topmost layer that lie idle.
    fn idle_on_top(&self) -> usize {
        let below = self.resident.saturating_sub(1) * self.depth;
        self.slots - below.max(self.out).min(self.slots)
    }
}

/// Which layers of a pool were needed, and how lately.
#[derive(Debug)]
pub(super) struct Clock {
    ring: Ring<Entry>,
    stores: Box<[Layers]>,
    /// Bytes of layers that have memory, of hot ones, and of those that left during their test.
    resident: usize,
    hot: usize,
    left: usize,
    /// Bytes that cold layers may have.
    cold_room: usize,
    /// Bytes that are to go, and count as gone where the room of hot layers is measured.
    wanted: usize,
    /// Entries that the cold hand has passed since it found a cold layer that is idle.
    passed: usize,
}

impl Clock {
    /// A clock for stores whose slots have so many bytes each, of a pool where so many may lie idle.
    pub(super) fn new(max_idle: usize, weights: impl Iterator<Item = usize>) -> Self {
        let bytes = LAYER_BYTES.min(max_idle / LAYERS);
        let layers = |weight: usize| Layers {
            depth: (bytes / weight.max(1)).clamp(1, LAYER_SLOTS),
            weight: weight.max(1),
            entries: Vec::new(),
            resident: 0,
            slots: 0,
            out: 0,
        };
        Clock {
            ring: Ring::new(),
            stores: weights.map(layers).collect(),
            resident: 0,
            hot: 0,
            left: 0,
            cold_room: 0,
            wanted: 0,
            passed: 0,
        }
    }

    /// Learns what became of a store. Without memory for entries the clock knows of fewer layers than there are.
    pub(super) fn see(&mut self, store: usize, sight: Sight) {
        let out = sight.resident.saturating_sub(sight.idle);
        let most_out = sight.resident.saturating_sub(sight.low).max(out);
        let Layers { slots, out: out_before, .. } = self.stores[store];
        if (slots, out_before, out_before) == (sight.resident, out, most_out) {
            return;
        }
        self.mark(store, out, most_out);
        (self.stores[store].slots, self.stores[store].out) = (sight.resident, out);
        let layers = sight.resident.div_ceil(self.stores[store].depth);
        while self.stores[store].resident > layers {
            self.shrink(store);
        }
        while self.stores[store].resident < layers && self.grow(store).is_ok() {}
    }

    /// Marks layers that were idle and then in use.
    fn mark(&mut self, store: usize, out: usize, most_out: usize) {
        let layers = &self.stores[store];
        let in_use = out.div_ceil(layers.depth);
        let used = most_out.div_ceil(layers.depth).min(layers.resident);
        for layer in in_use.min(layers.in_use())..used {
            let entry = &mut self.ring[layers.entries[layer]];
            if !entry.is_newborn {
                entry.is_referenced = true;
            } else if layer >= in_use {
                entry.is_newborn = false;
            }
        }
    }

    /// The store has one layer more.
    fn grow(&mut self, store: usize) -> Result<(), TryReserveError> {
        let layers = &mut self.stores[store];
        let layer = layers.resident;
        let is_newborn = layer < layers.in_use();
        let left = layers.entries.get(layer).copied().filter(|&entry| entry != NONE);
        if left.is_none() {
            layers.entries.try_reserve(1)?;
            let entry = self.ring.add(Entry::newly_cold(store, layer, is_newborn))?;
            match layers.entries.get_mut(layer) {
                Some(place) => *place = entry,
                None => layers.entries.push(entry),
            }
        }
        layers.resident += 1;
        self.resident += layers.bytes();
        if let Some(entry) = left {
            self.come_back(entry, is_newborn);
        }
        Ok(())
    }

    /// A layer that left is needed during its test: it should have stayed.
    fn come_back(&mut self, at: u32, is_newborn: bool) {
        let entry = &mut self.ring[at];
        entry.is_resident = true;
        entry.is_newborn = is_newborn;
        let bytes = self.stores[entry.store].bytes();
        self.left -= bytes;
        self.cold_room = (self.cold_room + bytes).min(self.resident);
        self.heat(at);
    }

    /// The store has one layer fewer.
    fn shrink(&mut self, store: usize) {
        let layers = &mut self.stores[store];
        layers.resident -= 1;
        let (at, bytes) = (layers.entries[layers.resident], layers.bytes());
        self.resident -= bytes;
        let entry = &mut self.ring[at];
        entry.is_resident = false;
        entry.is_referenced = false;
        if entry.is_hot {
            entry.is_hot = false;
            entry.is_tested = true;
            self.hot -= bytes;
        }
        if entry.is_tested {
            self.left += bytes;
        } else {
            self.forget(at);
        }
        self.turn_test_hand();
    }

    /// Drops the entry of a layer that has no memory.
    fn forget(&mut self, at: u32) {
        let Entry { store, layer, .. } = self.ring[at];
        self.ring.remove(at);
        let entries = &mut self.stores[store].entries;
        entries[layer] = NONE;
        while entries.last() == Some(&NONE) {
            entries.pop();
        }
        if entries.is_empty() {
            *entries = Vec::new();
        }
    }

    /// Makes an entry hot that was needed twice within a while.
    fn heat(&mut self, at: u32) {
        let entry = &mut self.ring[at];
        entry.is_hot = true;
        entry.is_tested = false;
        entry.is_referenced = false;
        self.hot += self.stores[entry.store].bytes();
        self.ring.renew(at);
    }

    /// Makes hot layers cold while there are more than there is room for.
    fn turn_hot_hand(&mut self) {
        for _ in 0..STRIDE {
            let all = self.resident.saturating_sub(self.wanted);
            let room = all - self.cold_room.clamp(all / LEAST_COLD, all);
            if self.hot <= room {
                break;
            }
            if let Some(at) = self.cool_next() {
                self.end_test(at);
            }
        }
    }

    /// Makes a hot layer cold, be there room or not, if one is found that was not referenced.
    fn cool_one(&mut self) {
        let before = self.hot;
        for _ in 0..STRIDE {
            if before == 0 || self.hot < before {
                break;
            }
            self.cool_next();
        }
    }

    /// Moves the hot hand on; what it leaves behind is cold unless it was referenced. What was cold before.
    fn cool_next(&mut self) -> Option<u32> {
        let at = self.ring.at(Hand::Hot)?;
        self.ring.advance(Hand::Hot);
        let is_in_use = self.is_in_use(at);
        let entry = &mut self.ring[at];
        if !entry.is_hot {
            return Some(at);
        }
        if !is_in_use && !std::mem::take(&mut entry.is_referenced) {
            entry.is_hot = false;
            self.hot -= self.stores[entry.store].bytes();
        }
        None
    }

    /// Ends tests while those that have left would need more memory than there is.
    fn turn_test_hand(&mut self) {
        for _ in 0..STRIDE {
            let Some(at) = self.ring.at(Hand::Test).filter(|_| self.left > self.resident) else { return };
            self.ring.advance(Hand::Test);
            self.end_test(at);
        }
    }

    /// Ends a layer's test, if it was not needed in time.
    fn end_test(&mut self, at: u32) {
        let entry = &self.ring[at];
        if !entry.is_tested || entry.is_referenced || self.is_in_use(at) {
            return;
        }
        let entry = &mut self.ring[at];
        entry.is_tested = false;
        let bytes = self.stores[entry.store].bytes();
        self.cold_room = self.cold_room.saturating_sub(bytes);
        if !entry.is_resident {
            self.left -= bytes;
            self.forget(at);
        }
    }

    fn is_in_use(&self, at: u32) -> bool {
        let entry = &self.ring[at];
        entry.is_resident && entry.layer < self.stores[entry.store].in_use()
    }

    /// Chooses idle slots of so many bytes, and counts them as gone; `give` is told how many of which store. May choose
    /// less, when much is in use.
    pub(super) fn choose(&mut self, wanted: usize, mut give: impl FnMut(usize, usize)) {
        self.wanted = wanted;
        self.turn_hot_hand();
        for _ in 0..STRIDE {
            let Some(at) = self.ring.at(Hand::Cold).filter(|_| self.wanted > 0) else { break };
            let is_in_use = self.is_in_use(at);
            let entry = &mut self.ring[at];
            if entry.is_hot || !entry.is_resident || is_in_use {
                self.pass();
                continue;
            }
            self.passed = 0;
            if std::mem::take(&mut entry.is_referenced) {
                if entry.is_tested {
                    self.heat(at);
                    self.turn_hot_hand();
                } else {
                    entry.is_tested = true;
                    self.ring.renew(at);
                }
            } else {
                let store = entry.store;
                give(store, self.take_from_top(store));
            }
        }
        self.wanted = 0;
    }

    /// Moves the cold hand on from what cannot go. Where all cold layers are in use, a hot one has to give way.
    fn pass(&mut self) {
        self.ring.advance(Hand::Cold);
        self.passed += 1;
        if self.passed >= self.ring.len() {
            self.passed = 0;
            self.cool_one();
        }
    }

    /// Counts idle slots of the store's topmost layer as gone, as many as are wanted; how many.
    fn take_from_top(&mut self, store: usize) -> usize {
        let layers = &mut self.stores[store];
        let slots = layers.idle_on_top().min(self.wanted.div_ceil(layers.weight));
        layers.slots -= slots;
        self.wanted = self.wanted.saturating_sub(slots * layers.weight);
        if layers.slots <= (layers.resident - 1) * layers.depth {
            self.shrink(store);
        }
        slots
    }

    /// Whether it knows of no layer.
    pub(super) fn is_empty(&self) -> bool {
        self.ring.len() == 0
    }

    /// Bytes of its entries.
    pub(super) fn bytes(&self) -> usize {
        let lists: usize = self.stores.iter().map(|layers| layers.entries.capacity()).sum();
        self.ring.bytes() + lists * size_of::<u32>() + size_of_val(&*self.stores)
    }
}
