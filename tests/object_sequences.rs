//! Any sequence of operations on object pools: a value is in one hand at most, the numbers add up after every step, and
//! in the end each value was dropped once.

#[path = "support/identities.rs"]
mod identities;
#[path = "support/values.rs"]
mod values;

use std::collections::HashSet;
use std::sync::Arc;
use std::thread;

use identities::assert_identities;
use millpond::{Error, Pool, Pooled, PooledArc};
use proptest::collection::vec;
use proptest::prelude::*;
use values::{Fate, Value};

const CASES: u32 = if cfg!(miri) { 4 } else { 300 };
const LENGTH: usize = if cfg!(miri) { 30 } else { 150 };

#[derive(Clone, Copy, Debug)]
enum Op {
    Get,
    GetMany(usize),
    Adopt,
    Extend(usize),
    Drop(usize),
    DropElsewhere(usize),
    Discard(usize),
    Detach(usize),
    Freeze(usize),
    Share(usize),
    DropShared(usize),
    Thaw(usize),
    Close,
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        8 => Just(Op::Get),
        3 => (0..70usize).prop_map(Op::GetMany),
        2 => Just(Op::Adopt),
        1 => (0..40usize).prop_map(Op::Extend),
        8 => any::<usize>().prop_map(Op::Drop),
        2 => any::<usize>().prop_map(Op::DropElsewhere),
        2 => any::<usize>().prop_map(Op::Discard),
        2 => any::<usize>().prop_map(Op::Detach),
        3 => any::<usize>().prop_map(Op::Freeze),
        3 => any::<usize>().prop_map(Op::Share),
        4 => any::<usize>().prop_map(Op::DropShared),
        3 => any::<usize>().prop_map(Op::Thaw),
        // Seldom, so that most sequences run on.
        1 => (0..20u8).prop_map(|n| if n == 0 { Op::Close } else { Op::Get }),
    ]
}

/// The pool, and what the test holds of it.
struct World {
    pool: Pool<Value>,
    fate: Arc<Fate>,
    max_objects: usize,
    max_idle: usize,
    closed: bool,
    unique: Vec<Pooled<Value>>,
    shared: Vec<PooledArc<Value>>,
    detached: Vec<Value>,
}

fn pick<T>(from: &mut Vec<T>, at: usize) -> Option<T> {
    (!from.is_empty()).then(|| from.swap_remove(at % from.len()))
}

impl World {
    fn new(max_objects: usize, max_idle: usize, thread_cache: usize) -> Self {
        let fate: Arc<Fate> = Arc::default();
        let make = fate.clone();
        let builder = Pool::builder().create(move || Value::new(&make));
        let pool = builder.max_objects(max_objects).max_idle(max_idle).thread_cache(thread_cache).build().unwrap();
        let (unique, shared, detached) = (Vec::new(), Vec::new(), Vec::new());
        World { pool, fate, max_objects, max_idle, closed: false, unique, shared, detached }
    }

    /// Values of the pool in the test's hands.
    fn out(&self) -> usize {
        let shared: HashSet<_> = self.shared.iter().map(|value| value.number).collect();
        self.unique.len() + shared.len()
    }

    fn assert_refused(&self, error: Error, count: usize) {
        match error {
            Error::Closed => assert!(self.closed),
            Error::Exhausted { limit } => {
                assert!(limit == self.max_objects && self.out() + count > limit, "{} out", self.out());
            }
            other => panic!("{other}"),
        }
    }

    fn apply(&mut self, op: Op) {
        match op {
            Op::Get => match self.pool.try_get() {
                Ok(value) => self.unique.push(value),
                Err(error) => self.assert_refused(error, 1),
            },
            Op::GetMany(count) => match self.pool.try_get_many(count) {
                Ok(batch) => {
                    assert_eq!(batch.len(), count);
                    if count.is_power_of_two() {
                        self.unique.extend(batch);
                    }
                }
                Err(error) => self.assert_refused(error, count),
            },
            Op::Adopt => match self.pool.try_adopt(Value::new(&self.fate)) {
                Ok(value) => self.unique.push(value),
                // Idle values count too, and are not thrown out for a stranger.
                Err((_, Error::Exhausted { limit })) => assert_eq!(self.pool.stats().footprint as usize, limit),
                Err((_, error)) => self.assert_refused(error, 1),
            },
            Op::Extend(count) => self.pool.extend((0..count).map(|_| Value::new(&self.fate)).collect::<Vec<_>>()),
            Op::Drop(at) => drop(pick(&mut self.unique, at)),
            Op::DropElsewhere(at) => {
                let value = pick(&mut self.unique, at);
                thread::spawn(move || drop(value)).join().unwrap();
            }
            Op::Discard(at) => {
                if let Some(mut value) = pick(&mut self.unique, at) {
                    value.keep = false;
                }
            }
            Op::Detach(at) => self.detached.extend(pick(&mut self.unique, at).map(Pooled::detach)),
            Op::Freeze(at) => self.shared.extend(pick(&mut self.unique, at).map(Pooled::freeze)),
            Op::Share(at) => {
                if let Some(value) = pick(&mut self.shared, at) {
                    self.shared.extend([value.clone(), value]);
                }
            }
            Op::DropShared(at) => drop(pick(&mut self.shared, at)),
            Op::Thaw(at) => {
                if let Some(value) = pick(&mut self.shared, at) {
                    let number = value.number;
                    match value.try_into_mut() {
                        Ok(value) => self.unique.push(value),
                        Err(value) => self.shared.push(value),
                    }
                    let others = self.shared.iter().filter(|value| value.number == number).count();
                    assert_ne!(others, 1, "the only handle was not thawed");
                }
            }
            Op::Close => {
                self.pool.close();
                self.closed = true;
            }
        }
    }

    fn check(&self) {
        let stats = self.pool.stats();
        assert_identities(&stats);
        let idle = (stats.idle_in_caches + stats.idle_in_depot) as usize;
        assert_eq!(stats.outstanding as usize, self.out(), "{stats}");
        assert_eq!(self.fate.alive() as usize, self.out() + idle + self.detached.len(), "{stats}");
        assert!(stats.footprint as usize <= self.max_objects && idle <= self.max_idle, "{stats}");
        assert!(!self.closed || idle == 0, "{stats}");
        let mut hands = HashSet::new();
        let unique = self.unique.iter().map(|value| value.number).chain(self.detached.iter().map(|value| value.number));
        unique.for_each(|number| assert!(hands.insert(number), "value {number} is in two hands"));
        assert!(self.shared.iter().all(|value| !hands.contains(&value.number)));
    }

    fn finish(self) {
        let World { pool, fate, unique, shared, detached, .. } = self;
        drop((detached, shared));
        let kept = pool.clone();
        drop(pool);
        drop(unique);
        assert_eq!(kept.stats().outstanding, 0);
        drop(kept);
        assert_eq!(fate.alive(), 0);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: CASES, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn values_are_in_one_hand_and_the_numbers_add_up(
        ops in vec(op(), 1..LENGTH),
        max_objects in prop_oneof![1..20usize, Just(usize::MAX)],
        max_idle in prop_oneof![0..20usize, Just(usize::MAX)],
        thread_cache in 0..80usize,
    ) {
        let mut world = World::new(max_objects, max_idle, thread_cache);
        for op in ops {
            world.apply(op);
            world.check();
        }
        world.finish();
    }
}
