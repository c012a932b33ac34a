//! A request may be given up at every point of its life. Nothing is lost then, and what was set aside for it goes to the
//! next.

#[path = "support/requests.rs"]
mod requests;
#[path = "support/waiting.rs"]
mod waiting;

use std::collections::VecDeque;

use millpond::{Budget, BufferPool, Error, Pool, Recycled};
use proptest::collection::vec;
use proptest::prelude::*;
use requests::{Block, Held, Request};
use waiting::Waiting;

const KIB: usize = 1024;
const SIZES: [usize; 3] = [KIB, 2 * KIB, 4 * KIB];

fn pool_on(budget: &Budget) -> BufferPool {
    BufferPool::builder().size_classes(SIZES).budget(budget).build().unwrap()
}

#[test]
fn before_its_first_poll_it_is_not_even_there() {
    let pool = pool_on(&Budget::new(KIB));
    let held = pool.get(KIB);
    let first = pool.acquire(KIB);
    let second = Waiting::stand(pool.acquire(KIB));
    drop(held);
    drop(first);
    drop(second.served());
    assert_eq!(pool.stats().waits, 1);
}

#[test]
fn while_it_waits_it_leaves_its_place_to_the_next() {
    let pool = pool_on(&Budget::new(4 * KIB));
    let held = pool.get(4 * KIB);
    let mut line: Vec<_> = (0..9).map(|_| Waiting::stand(pool.acquire(KIB))).collect();
    // The first, one in the middle, the last.
    for place in [8, 4, 0] {
        drop(line.remove(place));
    }
    assert_eq!(pool.stats().waiters, 6);
    drop(held);
    let behind = line.split_off(4);
    let served: Vec<_> = line.into_iter().map(Waiting::served).collect();
    assert!(behind.iter().all(|waiting| waiting.rung() == 0));
    drop(served);
    behind.into_iter().for_each(|waiting| drop(waiting.served()));
}

#[test]
fn a_buffer_that_was_not_fetched_goes_to_the_next() {
    let pool = pool_on(&Budget::new(KIB));
    let held = pool.get(Recycled(KIB));
    let line = [(); 3].map(|()| Waiting::stand(pool.acquire(Recycled(KIB))));
    drop(held);
    let [first, second, third] = line;
    assert_eq!((first.rung(), second.rung()), (1, 0));
    drop(first);
    assert_eq!((second.rung(), third.rung()), (1, 0));
    drop(second);
    drop(third.served());
    let stats = pool.stats();
    assert_eq!((stats.fresh, stats.handed_over, stats.waiters, stats.outstanding), (1, 1, 0, 0));
}

#[test]
fn memory_that_was_not_fetched_goes_to_the_next() {
    let budget = Budget::new(4 * KIB);
    let (pool, other) = (pool_on(&budget), pool_on(&budget));
    let held = other.get(4 * KIB);
    let batch = Waiting::stand(pool.acquire_many([KIB, KIB, 2 * KIB]));
    let (first, second) = (Waiting::stand(pool.acquire(KIB)), Waiting::stand(other.acquire(2 * KIB)));
    drop(held);
    assert_eq!((batch.rung(), first.rung(), second.rung()), (1, 0, 0));
    drop(batch);
    drop((first.served(), second.served()));
}

#[test]
fn a_batch_that_was_not_fetched_goes_home() {
    let pool = pool_on(&Budget::new(4 * KIB));
    let held = pool.get_many([KIB; 4]);
    let batch = Waiting::stand(pool.acquire_many([KIB; 3]));
    drop(held);
    assert_eq!((batch.rung(), pool.try_get_many([KIB; 2]).is_err()), (1, true));
    drop(batch);
    assert_eq!(pool.try_get_many([KIB; 4]).unwrap().len(), 4);
}

#[test]
fn after_it_was_given_up_others_need_not_wait() {
    let pool = pool_on(&Budget::new(4 * KIB));
    let held = pool.get(KIB);
    let large = Waiting::stand(pool.acquire(4 * KIB));
    assert_eq!(pool.try_get(KIB).unwrap_err(), Error::Queued { requested: KIB });
    drop(large);
    assert!(pool.try_get(KIB).is_ok());
    drop(held);
    assert!(pool.try_get(4 * KIB).is_ok());
}

#[derive(Clone, Copy, Debug)]
enum Op {
    /// Asks a pool for a buffer of a class, and polls.
    Acquire(usize, usize),
    /// The same for a batch of two classes.
    AcquireMany(usize, [usize; 2]),
    AcquireValue,
    Poll(usize),
    /// Gives a request up, in whatever state.
    Cancel(usize),
    Return(usize),
    TryGet(usize, usize),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => (0..2usize, 0..3usize).prop_map(|(pool, class)| Op::Acquire(pool, class)),
        2 => (0..2usize, [0..3usize, 0..3]).prop_map(|(pool, classes)| Op::AcquireMany(pool, classes)),
        2 => Just(Op::AcquireValue),
        6 => any::<usize>().prop_map(Op::Poll),
        3 => any::<usize>().prop_map(Op::Cancel),
        8 => any::<usize>().prop_map(Op::Return),
        3 => (0..2usize, 0..3usize).prop_map(|(pool, class)| Op::TryGet(pool, class)),
    ]
}

/// Pools on one budget, and beside them the model: so many bytes are free, whoever holds the rest, and one line.
struct World {
    budget: Budget,
    bytes: [BufferPool; 2],
    blocks: Pool<Block>,
    limit: usize,
    free: usize,
    /// In the order of arrival: bytes, and whether the model has set them aside.
    line: VecDeque<(usize, bool, Request)>,
    held: Vec<(usize, Held)>,
}

impl World {
    fn new(limit: usize) -> Self {
        let budget = Budget::new(limit);
        let bytes = [pool_on(&budget), pool_on(&budget)];
        let blocks = Pool::builder().create(Block::default).budget(&budget).build().unwrap();
        World { budget, bytes, blocks, limit, free: limit, line: VecDeque::new(), held: Vec::new() }
    }

    fn stands(&self) -> bool {
        self.line.iter().any(|&(_, aside, _)| !aside)
    }

    /// Sets aside what the first in line need.
    fn set_aside(&mut self) {
        for (bytes, aside, _) in self.line.iter_mut().filter(|(_, aside, _)| !aside) {
            if *bytes > self.free {
                break;
            }
            self.free -= *bytes;
            *aside = true;
        }
    }

    /// What must come of a request that was polled.
    fn arrived(&mut self, bytes: usize, arrived: Result<Result<Held, Error>, Request>) {
        match arrived {
            Err(request) => {
                assert!(self.stands() || bytes > self.free, "{bytes} waits with {} free", self.free);
                self.line.push_back((bytes, false, request));
            }
            Ok(Ok(held)) => {
                assert!(!self.stands() && bytes <= self.free, "{bytes} served with {} free", self.free);
                self.free -= bytes;
                self.held.push((bytes, held));
            }
            Ok(Err(error)) => {
                assert!(bytes > self.limit);
                assert_eq!(error, Error::NeverFits { requested: bytes, limit: self.limit });
            }
        }
    }

    fn apply(&mut self, op: Op) {
        match op {
            Op::Acquire(pool, class) => {
                let got = Waiting::poll_first(self.bytes[pool].acquire(Recycled(SIZES[class])));
                self.arrived(SIZES[class], got.map(|one| one.map(Held::One)).map_err(Request::One));
            }
            Op::AcquireMany(pool, classes) => {
                let sizes = classes.map(|class| SIZES[class]);
                let got = Waiting::poll_first(self.bytes[pool].acquire_many(sizes.map(Recycled)));
                let bytes = sizes.iter().sum();
                self.arrived(bytes, got.map(|many| many.map(Held::Many)).map_err(Request::Many));
            }
            Op::AcquireValue => {
                let got = Waiting::poll_first(self.blocks.acquire());
                self.arrived(KIB, got.map(|value| value.map(Held::Value)).map_err(Request::Value));
            }
            Op::Poll(at) if !self.line.is_empty() => {
                let at = at % self.line.len();
                let (bytes, aside, request) = &mut self.line[at];
                let (bytes, done) = (*bytes, request.woken());
                assert_eq!(done.is_some(), *aside);
                if let Some(held) = done {
                    self.line.remove(at);
                    self.held.push((bytes, held));
                }
            }
            Op::Cancel(at) if !self.line.is_empty() => {
                let (bytes, aside, request) = self.line.remove(at % self.line.len()).unwrap();
                self.free += if aside { bytes } else { 0 };
                drop(request);
            }
            Op::Return(at) if !self.held.is_empty() => {
                let (bytes, held) = self.held.swap_remove(at % self.held.len());
                self.free += bytes;
                drop(held);
            }
            Op::TryGet(pool, class) => {
                let (requested, available, limit) = (SIZES[class], self.free, self.limit);
                match self.bytes[pool].try_get(requested) {
                    Ok(buf) => self.arrived(requested, Ok(Ok(Held::One(buf)))),
                    Err(Error::Queued { .. }) => assert!(self.stands()),
                    Err(error) => {
                        assert!(!self.stands() && requested > available);
                        assert_eq!(error, Error::OverBudget { requested, available, limit });
                    }
                }
            }
            Op::Poll(_) | Op::Cancel(_) | Op::Return(_) => {}
        }
        self.set_aside();
    }

    fn check(&self) {
        for (bytes, aside, request) in &self.line {
            assert_eq!(request.rung(), usize::from(*aside), "who waits for {bytes} with {} free", self.free);
        }
        assert!(self.budget.used() <= self.limit);
        let waiters: u64 = self.bytes.iter().map(|pool| pool.stats().waiters).sum();
        assert_eq!((waiters + self.blocks.stats().waiters) as usize, self.line.len());
    }

    /// With all returned and given up, there is as much as in the beginning.
    fn finish(mut self) {
        while let Some((bytes, held)) = self.held.pop() {
            drop(held);
            self.free += bytes;
            self.set_aside();
            self.check();
        }
        self.line.clear();
        let World { budget, bytes, blocks, .. } = self;
        budget.trim(0);
        assert_eq!(budget.used(), 0);
        assert!(bytes.iter().all(|pool| pool.try_get_many(vec![KIB; budget.limit() / KIB]).is_ok()));
        drop((bytes, blocks));
        assert_eq!(budget.used(), 0);
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: if cfg!(miri) { 4 } else { 400 },
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn any_script_is_as_one_line_before_so_many_bytes(
        ops in vec(op(), 1..if cfg!(miri) { 30 } else { 120 }),
        limit in (1..12usize).prop_map(|units| units * KIB),
    ) {
        let mut world = World::new(limit);
        for op in ops {
            world.apply(op);
            world.check();
        }
        world.finish();
    }
}
