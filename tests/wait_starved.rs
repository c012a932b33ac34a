//! Whoever returns, cancels, raises a limit or closes a pool serves those who wait. That needs no memory: where the system
//! has none, nobody fails who could not even be told.

#[path = "support/failing.rs"]
mod failing;
#[path = "support/identities.rs"]
mod identities;
#[path = "support/random.rs"]
mod random;
#[path = "support/requests.rs"]
mod requests;
#[path = "support/waiting.rs"]
mod waiting;

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use failing::starved;
use identities::assert_identities;
use millpond::{Budget, BufferPool, Error, Memory, Pool, Recycled};
use random::Random;
use requests::{Block, Held, Request};
use waiting::Waiting;

const KIB: usize = 1024;
const STEPS: usize = if cfg!(miri) { 150 } else { 20_000 };

fn pool_on(budget: &Budget) -> BufferPool {
    let builder = BufferPool::builder().size_classes([KIB, 2 * KIB, 4 * KIB, 16 * KIB]);
    builder.memory(Memory::heap()).budget(budget).build().unwrap()
}

fn blocks_on(budget: &Budget) -> Pool<Block> {
    Pool::builder().budget(budget).build().unwrap()
}

/// Runs `work` while every allocation of this thread fails.
fn without_memory<R>(work: impl FnOnce() -> R) -> R {
    starved(1, work)
}

#[test]
fn one_release_serves_a_crowd() {
    let budget = Budget::new(16 * KIB);
    let (pool, other, blocks) = (pool_on(&budget), pool_on(&budget), blocks_on(&budget));
    let held = other.get(16 * KIB);
    let line: Vec<_> = (0..5)
        .map(|_| {
            let one = Request::One(Waiting::stand(pool.acquire(KIB)));
            (one, Request::Many(Waiting::stand(pool.acquire_many([KIB; 1]))), Waiting::stand(blocks.acquire()))
        })
        .collect();
    without_memory(|| drop(held));
    for (mut one, mut many, value) in line {
        assert!(one.woken().is_some() && many.woken().is_some());
        drop(value.served());
    }
    assert_eq!(pool.stats().waiters, 0);
}

#[test]
fn slots_are_collected_for_a_batch() {
    let pool = pool_on(&Budget::new(8 * KIB));
    let mut held: Vec<_> = pool.get_many([Recycled(KIB); 8]).into_iter().collect();
    let mut places: Vec<_> = held[..7].iter().map(|buf| buf.as_ptr()).collect();
    let batch = Waiting::stand(pool.acquire_many([Recycled(KIB); 7]));
    let mut spared = None;
    without_memory(|| spared = held.pop());
    without_memory(|| held.clear());
    let batch = batch.served();
    let mut got: Vec<_> = batch.iter().map(|buf| buf.as_ptr()).collect();
    got.sort_unstable();
    places.sort_unstable();
    assert_eq!(got, places);
    drop((batch, spared));
    let stats = pool.stats();
    assert_identities(&stats);
    assert_eq!((stats.fresh, stats.outstanding), (8, 0));
}

#[test]
fn a_batch_given_up_goes_home() {
    let pool = pool_on(&Budget::new(8 * KIB));
    let held = pool.get_many([KIB; 8]);
    let batch = Waiting::stand(pool.acquire_many([KIB; 8]));
    without_memory(|| drop(held));
    assert_eq!(batch.rung(), 1);
    without_memory(|| drop(batch));
    let stats = pool.stats();
    assert_identities(&stats);
    assert_eq!((stats.outstanding, stats.idle_in_depot + stats.idle_in_caches), (0, 8 * KIB as u64));
}

#[test]
fn a_limit_raised_or_lowered_is_told_to_all() {
    let budget = Budget::new(16 * KIB);
    let pool = pool_on(&budget);
    let held = pool.get(16 * KIB);
    let served: Vec<_> = (0..9).map(|_| Waiting::stand(pool.acquire(KIB))).collect();
    let refused: Vec<_> = (0..9).map(|_| Waiting::stand(pool.acquire(16 * KIB))).collect();
    without_memory(|| budget.set_limit(25 * KIB));
    let got: Vec<_> = served.into_iter().map(Waiting::served).collect();
    without_memory(|| budget.set_limit(10 * KIB));
    for waiting in refused {
        assert_eq!(waiting.refused(), Error::NeverFits { requested: 16 * KIB, limit: 10 * KIB });
    }
    drop((held, got));
}

#[test]
fn a_close_is_told_to_all() {
    let budget = Budget::new(16 * KIB);
    let (pool, other) = (pool_on(&budget), pool_on(&budget));
    let held = pool.get(16 * KIB);
    let stand = |pool: &BufferPool| Waiting::stand(pool.acquire_many([KIB, 4 * KIB]));
    let lines: Vec<_> = (0..9).map(|_| (stand(&pool), stand(&other))).collect();
    without_memory(|| pool.close());
    let (closed, mut others): (Vec<_>, Vec<_>) = lines.into_iter().unzip();
    assert!(closed.into_iter().all(|waiting| waiting.refused() == Error::Closed));
    without_memory(|| drop(held));
    let got: Vec<_> = others.drain(..3).map(Waiting::served).collect();
    assert!(others.iter().all(|waiting| waiting.rung() == 0));
    drop(got);
}

#[test]
fn who_stood_above_a_minimum_makes_way_for_others() {
    let all = Budget::new(16 * KIB);
    let tenant = all.child_reserving(4 * KIB, 16 * KIB).unwrap();
    let (pool, beside) = (pool_on(&tenant), pool_on(&all));
    let theirs = beside.get_many([4 * KIB; 3]);
    let own = pool.get(4 * KIB);
    // Above the minimum, and behind it those that the minimum alone could serve.
    let large = Waiting::stand(pool.acquire(16 * KIB));
    let small: Vec<_> = (0..9).map(|_| Waiting::stand(pool.acquire(KIB))).collect();
    without_memory(|| drop(own));
    assert!(small.iter().all(|waiting| waiting.rung() == 0));
    without_memory(|| drop(large));
    let got: Vec<_> = small.into_iter().take(4).map(Waiting::served).collect();
    drop((got, theirs));
}

#[test]
fn who_cannot_stand_in_line_is_told() {
    for every in 1..=8 {
        let budget = Budget::new(4 * KIB);
        let (pool, blocks) = (pool_on(&budget), blocks_on(&budget));
        let held = pool.get(4 * KIB);
        // So many that there is no place for the next.
        let line: Vec<_> = (0..16).map(|_| Waiting::stand(pool.acquire(KIB))).collect();
        let mut context = Context::from_waker(Waker::noop());
        let (mut refused, mut stand) = (0, 0);
        {
            let mut one = pin!(pool.acquire(KIB));
            let mut many = pin!(pool.acquire_many([KIB, 2 * KIB]));
            let mut value = pin!(blocks.acquire());
            let mut count = |error: Option<Option<Error>>| match error {
                None => stand += 1,
                Some(Some(Error::OutOfMemory { requested })) => {
                    assert!(requested > 0);
                    refused += 1;
                }
                Some(other) => panic!("{other:?}"),
            };
            count(told(starved(every, || one.as_mut().poll(&mut context))));
            count(told(starved(every, || many.as_mut().poll(&mut context))));
            count(told(starved(every, || value.as_mut().poll(&mut context))));
            assert_eq!(pool.stats().waiters + blocks.stats().waiters, 16 + stand);
        }
        assert!(every > 1 || refused > 0, "a place in line out of nowhere");
        drop(held);
        for waiting in line {
            drop(waiting.served());
        }
        assert_eq!((pool.stats().waiters, pool.stats().outstanding), (0, 0));
    }
}

fn told<H>(polled: Poll<Result<H, Error>>) -> Option<Option<Error>> {
    match polled {
        Poll::Pending => None,
        Poll::Ready(result) => Some(result.err()),
    }
}

#[test]
fn a_list_of_requests_without_memory_is_an_error() {
    let pool = BufferPool::new();
    let refused = without_memory(|| pool.acquire_many([KIB; 3])).wait();
    assert!(matches!(refused, Err(Error::OutOfMemory { .. })));
}

/// What is held and who waits, in a tree of budgets.
struct Scene {
    budgets: [Budget; 4],
    pools: Vec<BufferPool>,
    blocks: Vec<Pool<Block>>,
    held: Vec<Held>,
    line: Vec<Request>,
    random: Random,
}

impl Scene {
    fn new(seed: u64) -> Self {
        let all = Budget::new(32 * KIB);
        let tenant = all.child_reserving(4 * KIB, 24 * KIB).unwrap();
        let budgets = [tenant.child(16 * KIB), all.child(16 * KIB), tenant, all];
        let pools = budgets.iter().map(pool_on).collect();
        let blocks = budgets.iter().map(blocks_on).collect();
        Scene { budgets, pools, blocks, held: Vec::new(), line: Vec::new(), random: Random::new(seed) }
    }

    fn request(&mut self) {
        let (kind, place, size) = (self.random.below(4), self.random.below(4), KIB << self.random.below(5));
        let request = match kind {
            0 => Waiting::poll_first(self.blocks[place].acquire())
                .map(|got| got.map(Held::Value))
                .map_err(Request::Value),
            1 => Waiting::poll_first(self.pools[place].acquire_many(vec![KIB; 1 + self.random.below(6)]))
                .map(|got| got.map(Held::Many))
                .map_err(Request::Many),
            _ => {
                Waiting::poll_first(self.pools[place].acquire(size)).map(|got| got.map(Held::One)).map_err(Request::One)
            }
        };
        match request {
            Ok(got) => self.held.push(got.unwrap()),
            Err(waiting) => self.line.push(waiting),
        }
    }

    fn fetch(&mut self) {
        let (held, line) = (&mut self.held, &mut self.line);
        line.retain_mut(|request| request.woken().map(|got| held.push(got)).is_none());
    }

    fn step(&mut self) {
        match self.random.below(12) {
            0..=4 if self.held.len() + self.line.len() < 60 => self.request(),
            5..=8 if !self.held.is_empty() => {
                let place = self.random.below(self.held.len());
                without_memory(|| drop(self.held.swap_remove(place)));
            }
            9 if !self.line.is_empty() => {
                let place = self.random.below(self.line.len());
                without_memory(|| drop(self.line.swap_remove(place)));
            }
            10 => {
                // Never so little that the largest request would not fit beside the minimum.
                let (place, limit) = (self.random.below(4), (20 + self.random.below(3) * 8) * KIB);
                without_memory(|| self.budgets[place].set_limit(limit));
            }
            11 => {
                let place = self.random.below(4);
                without_memory(|| self.pools[place].trim(0));
            }
            _ => self.fetch(),
        }
    }
}

#[test]
fn whatever_happens_in_a_tree_of_budgets() {
    for seed in 0..4 {
        let mut scene = Scene::new(seed);
        for _ in 0..STEPS / 4 {
            scene.step();
        }
        assert!(scene.pools.iter().any(|pool| pool.stats().handed_over > 0), "nothing was handed over");
        scene.fetch();
        while !scene.held.is_empty() {
            without_memory(|| scene.held.clear());
            scene.fetch();
        }
        assert!(scene.line.is_empty(), "seed {seed}: {} wait for ever\n{}", scene.line.len(), scene.budgets[3]);
        for pool in &scene.pools {
            assert_identities(&pool.stats());
            assert_eq!((pool.stats().outstanding, pool.stats().waiters), (0, 0));
        }
        let all = &scene.budgets[3];
        without_memory(|| all.trim(0));
        assert_eq!(all.used(), 4 * KIB, "{all}");
    }
}
