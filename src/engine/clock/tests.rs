//! The clock beside a plain one, which searches where the clock keeps count.

use proptest::prelude::*;

use super::*;

const WEIGHTS: [usize; 3] = [1, 4, 64];
/// Layers of 16, 4 and 1 slots.
const MAX_IDLE: usize = 16 * LAYERS;

/// Entries in a list whose end is its beginning, and hands that are places in it.
#[derive(Debug, Default)]
struct PlainClock {
    circle: Vec<Entry>,
    hands: [usize; 3],
    slots: [usize; 3],
    out: [usize; 3],
    cold_room: usize,
    wanted: usize,
    passed: usize,
}

impl PlainClock {
    fn depth(store: usize) -> usize {
        [16, 4, 1][store]
    }

    fn bytes(entry: &Entry) -> usize {
        WEIGHTS[entry.store] * Self::depth(entry.store)
    }

    fn sum(&self, counts: impl Fn(&Entry) -> bool) -> usize {
        self.circle.iter().filter(|entry| counts(entry)).map(Self::bytes).sum()
    }

    fn resident(&self) -> usize {
        self.sum(|entry| entry.is_resident)
    }

    fn find(&self, store: usize, layer: usize) -> Option<usize> {
        self.circle.iter().position(|entry| (entry.store, entry.layer) == (store, layer))
    }

    fn layers(&self, store: usize) -> usize {
        self.circle.iter().filter(|entry| entry.store == store && entry.is_resident).count()
    }

    fn is_in_use(&self, at: usize) -> bool {
        let entry = &self.circle[at];
        entry.is_resident && entry.layer * Self::depth(entry.store) < self.out[entry.store]
    }

    fn insert(&mut self, entry: Entry) {
        let at = self.hands[Hand::Hot as usize];
        self.circle.insert(at, entry);
        if self.circle.len() > 1 {
            self.hands.iter_mut().filter(|hand| **hand >= at).for_each(|hand| *hand += 1);
        }
    }

    fn remove(&mut self, at: usize) -> Entry {
        let entry = self.circle.remove(at);
        let len = self.circle.len().max(1);
        for hand in &mut self.hands {
            *hand = if *hand > at { *hand - 1 } else { *hand } % len;
        }
        entry
    }

    fn advance(&mut self, hand: Hand) -> usize {
        let at = self.hands[hand as usize];
        self.hands[hand as usize] = (at + 1) % self.circle.len();
        at
    }

    fn heat(&mut self, at: usize) {
        let entry = self.remove(at);
        self.insert(Entry { is_hot: true, is_tested: false, is_referenced: false, ..entry });
    }

    fn see(&mut self, store: usize, sight: Sight) {
        let depth = Self::depth(store);
        let out = sight.resident - sight.idle;
        let most_out = (sight.resident - sight.low).max(out);
        for entry in self.circle.iter_mut().filter(|entry| entry.store == store && entry.is_resident) {
            let first = entry.layer * depth;
            let (was_idle, is_idle, was_used) = (first >= self.out[store], first >= out, first < most_out);
            match entry.is_newborn {
                false if was_used && (was_idle || is_idle) => entry.is_referenced = true,
                true if was_used && is_idle => entry.is_newborn = false,
                _ => {}
            }
        }
        (self.slots[store], self.out[store]) = (sight.resident, out);
        let layers = sight.resident.div_ceil(depth);
        while self.layers(store) > layers {
            self.shrink(store);
        }
        for layer in self.layers(store)..layers {
            let is_newborn = layer * depth < out;
            match self.find(store, layer) {
                Some(at) => {
                    self.circle[at].is_resident = true;
                    self.circle[at].is_newborn = is_newborn;
                    self.cold_room = (self.cold_room + depth * WEIGHTS[store]).min(self.resident());
                    self.heat(at);
                }
                None => self.insert(Entry::newly_cold(store, layer, is_newborn)),
            }
        }
    }

    fn shrink(&mut self, store: usize) {
        let at = self.find(store, self.layers(store) - 1).unwrap();
        let entry = &mut self.circle[at];
        entry.is_resident = false;
        entry.is_referenced = false;
        entry.is_tested |= entry.is_hot;
        entry.is_hot = false;
        if !entry.is_tested {
            self.remove(at);
        }
        for _ in 0..STRIDE {
            if self.circle.is_empty() || self.sum(|entry| !entry.is_resident) <= self.resident() {
                break;
            }
            let at = self.advance(Hand::Test);
            self.end_test(at);
        }
    }

    fn end_test(&mut self, at: usize) {
        let is_in_use = self.is_in_use(at);
        let entry = &mut self.circle[at];
        if entry.is_tested && !entry.is_referenced && !is_in_use {
            entry.is_tested = false;
            self.cold_room = self.cold_room.saturating_sub(Self::bytes(entry));
            if !entry.is_resident {
                self.remove(at);
            }
        }
    }

    fn turn_hot_hand(&mut self) {
        for _ in 0..STRIDE {
            let all = self.resident().saturating_sub(self.wanted);
            let room = all - self.cold_room.clamp(all / LEAST_COLD, all);
            if self.sum(|entry| entry.is_hot) <= room {
                break;
            }
            self.cool_next(true);
        }
    }

    fn cool_next(&mut self, ends_tests: bool) {
        let at = self.advance(Hand::Hot);
        let is_in_use = self.is_in_use(at);
        let entry = &mut self.circle[at];
        match entry.is_hot {
            false if ends_tests => self.end_test(at),
            false => {}
            true if is_in_use => {}
            true => {
                entry.is_hot = entry.is_referenced;
                entry.is_referenced = false;
            }
        }
    }

    fn choose(&mut self, wanted: usize) -> [usize; 3] {
        let mut chosen = [0; 3];
        self.wanted = wanted;
        self.turn_hot_hand();
        for _ in 0..STRIDE {
            if self.wanted == 0 || self.circle.is_empty() {
                break;
            }
            let at = self.hands[Hand::Cold as usize];
            let is_in_use = self.is_in_use(at);
            let entry = &mut self.circle[at];
            if entry.is_hot || !entry.is_resident || is_in_use {
                self.advance(Hand::Cold);
                self.passed += 1;
                if self.passed >= self.circle.len() {
                    self.passed = 0;
                    let before = self.sum(|entry| entry.is_hot);
                    for _ in 0..STRIDE {
                        if before == 0 || self.sum(|entry| entry.is_hot) < before {
                            break;
                        }
                        self.cool_next(false);
                    }
                }
                continue;
            }
            self.passed = 0;
            if !entry.is_referenced {
                let store = entry.store;
                let top = (self.layers(store) - 1) * Self::depth(store);
                let idle = self.slots[store] - top.max(self.out[store]);
                let slots = idle.min(self.wanted.div_ceil(WEIGHTS[store]));
                self.wanted = self.wanted.saturating_sub(slots * WEIGHTS[store]);
                chosen[store] += slots;
                self.slots[store] -= slots;
                if self.slots[store] <= top {
                    self.shrink(store);
                }
            } else if entry.is_tested {
                self.heat(at);
                self.turn_hot_hand();
            } else {
                entry.is_referenced = false;
                entry.is_tested = true;
                let entry = self.remove(at);
                self.insert(entry);
            }
        }
        self.wanted = 0;
        chosen
    }
}

/// A pool, as the clock sees one.
#[derive(Clone, Copy, Default, Debug)]
struct Load(Sight);

impl Load {
    fn get(&mut self, slots: usize) {
        self.0.resident += slots.saturating_sub(self.0.idle);
        self.0.idle = self.0.idle.saturating_sub(slots);
        self.0.low = self.0.low.min(self.0.idle);
    }

    fn put(&mut self, slots: usize) {
        self.0.idle += slots.min(self.0.resident - self.0.idle);
    }

    fn lose(&mut self, slots: usize) {
        let slots = slots.min(self.0.idle);
        self.0.resident -= slots;
        self.0.idle -= slots;
        self.0.low = self.0.low.saturating_sub(slots);
    }

    fn look(&mut self) -> Sight {
        let sight = self.0;
        self.0.low = self.0.idle;
        sight
    }
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Get(usize, usize),
    Put(usize, usize),
    /// Slots go that the clock did not choose.
    Decay(usize, usize),
    Choose(usize),
    /// What is chosen is needed before it has gone.
    ChooseInVain(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let of = |most: [usize; 3]| (0..3usize).prop_flat_map(move |store| (Just(store), 1..=most[store]));
    let step = prop_oneof![
        4 => of([80, 20, 6]).prop_map(|(store, slots)| Step::Get(store, slots)),
        4 => of([120, 30, 8]).prop_map(|(store, slots)| Step::Put(store, slots)),
        1 => of([40, 10, 3]).prop_map(|(store, slots)| Step::Decay(store, slots)),
        4 => (1..200usize).prop_map(Step::Choose),
        1 => (1..100usize).prop_map(Step::ChooseInVain),
    ];
    prop::collection::vec(step, 1..if cfg!(miri) { 20 } else { 200 })
}

fn clock() -> Clock {
    Clock::new(MAX_IDLE, WEIGHTS.into_iter())
}

fn assert_counts(clock: &Clock, plain: &PlainClock) {
    assert_eq!(clock.resident, plain.resident());
    assert_eq!(clock.hot, plain.sum(|entry| entry.is_hot));
    assert_eq!(clock.left, plain.sum(|entry| !entry.is_resident));
    assert_eq!(clock.cold_room, plain.cold_room);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: if cfg!(miri) { 4 } else { 256 }, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn it_chooses_as_a_plain_clock_does(steps in steps()) {
        let (mut clock, mut plain, mut loads) = (clock(), PlainClock::default(), [Load::default(); 3]);
        for step in steps {
            match step {
                Step::Get(store, slots) => loads[store].get(slots),
                Step::Put(store, slots) => loads[store].put(slots),
                Step::Decay(store, slots) => loads[store].lose(slots),
                Step::Choose(wanted) | Step::ChooseInVain(wanted) => {
                    for (store, load) in loads.iter_mut().enumerate() {
                        let sight = load.look();
                        clock.see(store, sight);
                        plain.see(store, sight);
                    }
                    let mut chosen = [0; 3];
                    clock.choose(wanted, |store, slots| chosen[store] += slots);
                    prop_assert_eq!(chosen, plain.choose(wanted));
                    for (store, load) in loads.iter_mut().enumerate() {
                        prop_assert!(chosen[store] <= load.0.idle, "more than lies idle");
                        if matches!(step, Step::Choose(_)) {
                            load.lose(chosen[store]);
                        }
                    }
                    let bytes: usize = chosen.iter().zip(WEIGHTS).map(|(slots, weight)| slots * weight).sum();
                    prop_assert!(bytes < wanted + WEIGHTS[2], "{bytes} bytes for {wanted}");
                    assert_counts(&clock, &plain);
                }
            }
        }
    }
}

/// A load of stores of one slot a layer, with so many slots' room: what each get that finds nothing adds, the clock takes
/// away elsewhere.
struct Cached {
    clock: Clock,
    loads: Vec<Load>,
    room: usize,
    births: usize,
}

impl Cached {
    fn new(stores: usize, room: usize) -> Self {
        let clock = Clock::new(0, std::iter::repeat_n(1, stores));
        Cached { clock, loads: vec![Load::default(); stores], room, births: 0 }
    }

    /// So many slots of a store are needed for a moment.
    fn use_for_a_moment(&mut self, store: usize, slots: usize) {
        let before = self.loads[store].0.resident;
        self.loads[store].get(slots);
        self.births += self.loads[store].0.resident - before;
        self.loads[store].put(slots);
        let resident: usize = self.loads.iter().map(|load| load.0.resident).sum();
        let mut excess = resident.saturating_sub(self.room);
        while excess > 0 {
            let (clock, loads) = (&mut self.clock, &mut self.loads);
            loads.iter_mut().enumerate().for_each(|(store, load)| clock.see(store, load.look()));
            clock.choose(excess, |store, slots| {
                loads[store].lose(slots);
                excess -= slots;
            });
        }
    }
}

#[test]
fn what_is_needed_again_outlives_what_is_needed_once() {
    let mut cached = Cached::new(200, 20);
    let mut scan = |stores: std::ops::Range<usize>| {
        cached.births = 0;
        for once in stores {
            cached.use_for_a_moment(once, 6);
            (0..4).for_each(|hot| cached.use_for_a_moment(hot, 3));
        }
        cached.births
    };
    scan(10..20);
    assert_eq!(scan(20..200), 180 * 6, "only what is needed once is born");
}

#[test]
fn a_new_hot_set_takes_the_place_of_the_old_one() {
    let mut cached = Cached::new(40, 20);
    for base in [0, 10, 20] {
        (0..20).for_each(|_| (0..10).for_each(|store| cached.use_for_a_moment(base + store, 2)));
        cached.births = 0;
        (0..10).for_each(|store| cached.use_for_a_moment(base + store, 2));
        assert_eq!(cached.births, 0, "all of the set at {base} stays");
    }
}

#[test]
fn entries_are_bounded_and_go_with_what_they_stand_for() {
    let mut cached = Cached::new(100, 50);
    (0..10_000).for_each(|turn| cached.use_for_a_moment(turn * 7 % 100, 1 + turn % 5));
    let entries: usize = cached.clock.stores.iter().map(|layers| layers.entries.len()).sum();
    assert!(entries <= 100 + STRIDE, "{entries} entries for 50 layers that have memory, and 50 that left");
    let clock = &mut cached.clock;
    (0..100).for_each(|store| clock.see(store, Sight::default()));
    (0..100).for_each(|store| clock.see(store, Sight::default()));
    assert_eq!((clock.resident, clock.hot, clock.left), (0, 0, 0));
    assert_eq!(clock.bytes(), size_of_val(&*clock.stores), "no memory for entries");
}
