//! Who came first is served first, as seen from outside: the order in which requests first had to wait is the order in
//! which they are done. Nobody overtakes, from whatever thread.

#[path = "support/random.rs"]
mod random;
#[path = "support/requests.rs"]
mod requests;
#[path = "support/waiting.rs"]
mod waiting;

use std::sync::mpsc;
use std::thread;

use millpond::{Budget, BufferPool, Error, Pool, Recycled};
use random::Random;
use requests::{Block, Held, Request};
use waiting::Waiting;

const KIB: usize = 1024;
const SIZES: [usize; 3] = [KIB, 4 * KIB, 16 * KIB];

fn pool_of(limit: usize) -> BufferPool {
    BufferPool::builder().size_classes(SIZES).max_memory(limit).build().unwrap()
}

fn blocks_on(budget: &Budget) -> Pool<Block> {
    Pool::builder().budget(budget).build().unwrap()
}

#[test]
fn equal_requests_are_served_in_the_order_of_arrival() {
    let pool = pool_of(4 * KIB);
    let mut held: Vec<_> = (0..4).map(|_| pool.get(KIB)).collect();
    let waiting: Vec<_> = (0..12).map(|_| Waiting::stand(pool.acquire(KIB))).collect();
    let mut waiting = waiting.into_iter();
    while let Some(first) = waiting.next() {
        drop(held.remove(0));
        assert!(waiting.as_slice().iter().all(|behind| behind.rung() == 0));
        held.push(first.served());
    }
    assert_eq!(pool.stats().waiters, 0);
}

#[test]
fn a_large_request_is_not_starved_by_small_ones() {
    let pool = pool_of(16 * KIB);
    let mut held: Vec<_> = (0..16).map(|_| pool.get(KIB)).collect();
    let mut large = Waiting::stand(pool.acquire(16 * KIB));
    let mut small: Vec<_> = (0..16).map(|_| Waiting::stand(pool.acquire(KIB))).collect();
    while let Some(buf) = held.pop() {
        assert!(large.woken().is_none());
        drop(buf);
        assert_eq!(pool.try_get(KIB).unwrap_err(), Error::Queued { requested: KIB });
        assert!(small.iter_mut().all(|behind| behind.woken().is_none()));
    }
    drop(large.served());
    assert!(small.drain(..).map(Waiting::served).all(|buf| buf.len() == KIB));
}

#[test]
fn a_large_batch_is_not_starved_and_takes_all_or_nothing() {
    let pool = pool_of(8 * KIB);
    let mut held: Vec<_> = (0..8).map(|_| pool.get(KIB)).collect();
    let mut batch = Waiting::stand(pool.acquire_many([KIB, 4 * KIB, KIB, KIB]));
    let mut small = Waiting::stand(pool.acquire(KIB));
    for _ in 0..6 {
        held.pop();
        assert!(batch.woken().is_none() && small.woken().is_none());
    }
    held.pop();
    let batch = batch.served();
    assert_eq!(batch.iter().map(|buf| buf.len()).collect::<Vec<_>>(), [KIB, 4 * KIB, KIB, KIB]);
    assert!(small.woken().is_none(), "all is out: 7 KiB in the batch, 1 KiB besides");
    held.pop();
    drop(small.served());
}

#[test]
fn values_of_a_full_pool_are_handed_over_in_order() {
    let pool = Pool::<Block>::builder().max_objects(3).build().unwrap();
    let mut held: Vec<_> = pool.get_many(3).into_iter().collect();
    let first = Waiting::stand(pool.acquire());
    let mut pair = Waiting::stand(pool.acquire_many(2));
    let mut last = Waiting::stand(pool.acquire());
    assert!(matches!(pool.try_get(), Err(Error::Queued { .. })));
    held.pop();
    let first = first.served();
    held.pop();
    assert!(pair.woken().is_none() && last.woken().is_none());
    held.pop();
    let pair = pair.served();
    assert!(last.woken().is_none());
    drop(pair);
    last.served();
    drop(first);
    assert_eq!(pool.stats().fresh, 3);
}

#[test]
fn a_batch_of_nothing_waits_for_nobody() {
    let budget = Budget::new(KIB);
    let bytes = BufferPool::builder().size_classes(SIZES).budget(&budget).build().unwrap();
    let blocks = blocks_on(&budget);
    let held = bytes.get(KIB);
    let _line = [Waiting::stand(bytes.acquire(KIB))];
    let _other = Waiting::stand(blocks.acquire());
    assert!(Waiting::poll_first(bytes.acquire_many([0_usize; 0])).is_ok_and(|none| none.unwrap().is_empty()));
    assert!(Waiting::poll_first(blocks.acquire_many(0)).is_ok_and(|none| none.unwrap().is_empty()));
    drop(held);
}

/// Pools of both kinds on one budget that is always short.
struct Crowd {
    bytes: [BufferPool; 2],
    blocks: Pool<Block>,
    random: Random,
    line: Vec<Request>,
    held: Vec<Held>,
}

impl Crowd {
    /// A request, which stands behind all others or is served because there are none.
    fn arrive(&mut self) {
        let pool = &self.bytes[self.random.below(2)];
        let size = SIZES[self.random.below(3)];
        let arrived = match self.random.below(4) {
            0 => Waiting::poll_first(self.blocks.acquire())
                .map(|value| Held::Value(value.unwrap()))
                .map_err(Request::Value),
            1 => Waiting::poll_first(pool.acquire_many([size, KIB, size].map(Recycled)))
                .map(|many| Held::Many(many.unwrap()))
                .map_err(Request::Many),
            _ => Waiting::poll_first(pool.acquire(Recycled(size)))
                .map(|one| Held::One(one.unwrap()))
                .map_err(Request::One),
        };
        match arrived {
            Ok(held) => {
                assert!(self.line.is_empty(), "it came last and was served first");
                self.held.push(held);
            }
            Err(request) => self.line.push(request),
        }
    }

    /// Something comes home. Those that are done now stood before all others.
    fn serve(&mut self) {
        drop(self.held.swap_remove(self.random.below(self.held.len())));
        let done: Vec<_> = self.line.iter_mut().map(Request::woken).collect();
        let served = done.iter().take_while(|done| done.is_some()).count();
        assert!(done[served..].iter().all(Option::is_none), "somebody overtook");
        self.held.extend(done.into_iter().flatten());
        self.line.drain(..served);
        assert!(!self.held.is_empty(), "{} wait for nothing", self.line.len());
    }
}

#[test]
fn mixed_requests_to_pools_on_one_budget_are_served_in_the_order_of_arrival() {
    for seed in 0..if cfg!(miri) { 1 } else { 20 } {
        let budget = Budget::new(64 * KIB);
        let bytes = [(); 2].map(|()| BufferPool::builder().size_classes(SIZES).budget(&budget).build().unwrap());
        let held = (0..64).map(|_| Held::One(bytes[0].get(KIB))).collect();
        let (blocks, random) = (blocks_on(&budget), Random::new(seed));
        let mut crowd = Crowd { bytes, blocks, random, line: Vec::new(), held };
        for _ in 0..if cfg!(miri) { 20 } else { 300 } {
            while crowd.line.len() < 3 || crowd.random.below(3) == 0 {
                crowd.arrive();
            }
            crowd.serve();
        }
        drop(crowd);
        assert_eq!(budget.used(), 0);
    }
}

/// Each way to ask for a buffer now.
fn assert_nobody_overtakes(pool: &BufferPool) {
    assert_eq!(pool.try_get(KIB).unwrap_err(), Error::Queued { requested: KIB });
    assert_eq!(pool.try_get_many([KIB, KIB]).unwrap_err(), Error::Queued { requested: 2 * KIB });
    let panicked = std::panic::catch_unwind(|| pool.get(KIB)).unwrap_err();
    assert!(panicked.downcast_ref::<String>().unwrap().contains("wait in line"));
    drop(Waiting::stand(pool.acquire(KIB)));
    drop(Waiting::stand(pool.acquire_many([KIB])));
}

#[test]
fn nobody_overtakes_from_any_thread_with_whatever_its_cache_held() {
    let pool = pool_of(20 * KIB);
    let kept = pool.get(16 * KIB);
    let (to_other, orders) = mpsc::channel::<()>();
    let (to_main, done) = mpsc::channel();
    let theirs = pool.clone();
    let other = thread::spawn(move || {
        let mut held: Vec<_> = (0..3).map(|_| theirs.get(KIB)).collect();
        drop(theirs.get(KIB));
        to_main.send(()).unwrap();
        orders.recv().unwrap();
        // The line stands. What was cached is gone, and what comes back is not for this thread.
        assert_nobody_overtakes(&theirs);
        held.pop();
        assert_nobody_overtakes(&theirs);
        to_main.send(()).unwrap();
        orders.recv().unwrap();
    });
    done.recv().unwrap();
    let mut waiting = Waiting::stand(pool.acquire(16 * KIB));
    assert_nobody_overtakes(&pool);
    to_other.send(()).unwrap();
    done.recv().unwrap();
    thread::scope(|scope| scope.spawn(|| assert_nobody_overtakes(&pool)).join().unwrap());
    assert!(waiting.woken().is_none());
    drop(kept);
    drop(waiting.served());
    assert_eq!(pool.try_get(KIB).unwrap().len(), KIB);
    to_other.send(()).unwrap();
    other.join().unwrap();
}

#[test]
fn a_value_made_elsewhere_does_not_overtake() {
    let budget = Budget::new(4 * KIB);
    let (blocks, bytes) = (blocks_on(&budget), BufferPool::builder().budget(&budget).build().unwrap());
    let held = bytes.get(KIB);
    let waiting = Waiting::stand(bytes.acquire(4 * KIB));
    let (_, error) = blocks.try_adopt(Block::default()).unwrap_err();
    assert_eq!(error, Error::Queued { requested: KIB });
    assert_eq!(blocks.try_get().unwrap_err(), Error::Queued { requested: KIB });
    drop(held);
    drop(waiting.served());
    assert!(blocks.try_adopt(Block::default()).is_ok());
}

#[test]
fn what_was_handed_over_is_nobody_elses_before_it_is_fetched() {
    let pool = pool_of(KIB);
    let held = pool.get(KIB);
    let waiting = Waiting::stand(pool.acquire(KIB));
    drop(held);
    assert_eq!(waiting.rung(), 1);
    // There is no line any more, and nothing to be had.
    assert_eq!(pool.try_get(KIB).unwrap_err(), Error::OverBudget { requested: KIB, available: 0, limit: KIB });
    let next = Waiting::stand(pool.acquire(KIB));
    drop(waiting.served());
    drop(next.served());
}

#[test]
fn what_was_handed_over_stays_while_others_come_and_go() {
    let pool = pool_of(2 * KIB);
    let mut held: Vec<_> = (0..2).map(|_| pool.get(KIB)).collect();
    let mut served = [(); 2].map(|()| Waiting::stand(pool.acquire(KIB)));
    held.clear();
    for _ in 0..50 {
        let (mut gone, third) = (Waiting::stand(pool.acquire(KIB)), Waiting::stand(pool.acquire(KIB)));
        assert!(gone.poll().is_pending());
        drop(gone);
        let [first, second] = served;
        drop(first.served());
        served = [second, third];
    }
    assert_eq!(pool.stats().waiters, 2);
    let [first, second] = served;
    assert_eq!((first.served().capacity(), second.served().capacity()), (KIB, KIB));
    assert_eq!((pool.stats().waiters, pool.stats().waits), (0, 102));
}
