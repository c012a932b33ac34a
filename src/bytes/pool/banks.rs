//! Pools on a machine of several nodes, which the tests pretend: a thread says on which it runs.

use std::future::Future;
use std::pin::Pin;
use std::sync::Mutex;
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::bytes::request::Recycled;
use crate::engine::core::QUARTERS;
use crate::engine::tally;
use crate::memory::options::Node;
use crate::memory::os::topology::pretended::run_on;

/// Larger than what a thread caches whatever its allowance.
const SIZE: usize = 512 << 10;
const BANKS: u8 = 3;

/// From now on this thread runs on this node.
fn go_to(bank: u8) {
    run_on(bank, BANKS.into());
}

/// The options of a pool on a machine of three nodes, of which this thread runs on the first.
fn builder() -> BufferPoolBuilder {
    go_to(0);
    let memory = Memory::mapped().numa(Node::Local, Need::Prefer);
    let builder = BufferPool::builder().size_classes([SIZE]).memory(memory);
    builder.maintenance(Maintenance::Manual).decay(Duration::MAX)
}

/// The same where threads cache nothing, so that all that comes home comes to a depot.
fn uncached() -> BufferPoolBuilder {
    builder().thread_cache(0)
}

fn get(pool: &BufferPool) -> PooledBuf {
    pool.get(Recycled(SIZE))
}

fn get_many(pool: &BufferPool, count: usize) -> PooledBatch<PooledBuf> {
    pool.get_many(vec![Recycled(SIZE); count])
}

/// Leaves so many idle buffers of this bank in its depot, and this thread there.
fn stock(pool: &BufferPool, bank: u8, count: usize) {
    go_to(bank);
    let bufs = get_many(pool, count);
    assert!(bufs.iter().all(|buf| bank_under(buf) == bank));
}

fn bank_under(buf: &PooledBuf) -> u8 {
    buf.bank().0
}

fn returns(pool: &BufferPool) -> (u64, u64) {
    let stats = pool.stats();
    (stats.local_returns, stats.remote_returns)
}

fn resident(pool: &BufferPool) -> usize {
    let stats = pool.stats();
    assert_eq!(stats.footprint, stats.outstanding + stats.idle_in_caches + stats.idle_in_depot);
    assert_eq!(stats.gets, stats.cache_hits + stats.depot_hits + stats.stolen + stats.handed_over + stats.fresh);
    stats.footprint as usize / SIZE
}

#[test]
fn fresh_memory_is_of_the_threads_node() {
    let pool = uncached().build().unwrap();
    // A slab with blocks that are not out.
    let has_slab = |bank| pool.keeper().source(0, Bank(bank)).overhead() > 0;
    for here in [0, 2, 1] {
        go_to(here);
        assert!(!has_slab(here));
        assert_eq!(bank_under(&get(&pool)), here);
        assert!(has_slab(here), "it is cut from a slab of that node");
        assert_eq!(bank_under(&pool.get(Recycled(5 * SIZE))), here, "above all classes");
        assert!(get_many(&pool, 3).iter().all(|buf| bank_under(buf) == here));
    }
}

#[test]
fn one_node_is_enough_for_others() {
    go_to(2);
    for memory in [Memory::mapped(), Memory::heap(), Memory::mapped().numa(Node::Preferred(0), Need::Prefer)] {
        let pool = uncached().memory(memory).build().unwrap();
        go_to(2);
        let buf = get(&pool);
        assert_eq!((pool.core.core().banks(), bank_under(&buf)), (1, 0));
        drop(buf);
        assert_eq!((returns(&pool), resident(&pool)), ((0, 0), 1));
    }
}

#[test]
fn buffers_go_home_whoever_drops_them() {
    let pool = uncached().build().unwrap();
    let bufs = Vec::from_iter((0..10).map(|_| get(&pool)));
    let first = bufs[9].as_ptr();
    go_to(1);
    drop(bufs);
    assert_eq!(returns(&pool), (0, 10));
    assert_eq!(bank_under(&get(&pool)), 1, "memory of another node is not taken while there is some here");
    assert_eq!((returns(&pool), resident(&pool)), ((1, 10), 11));
    go_to(0);
    let again = get(&pool);
    assert_eq!((bank_under(&again), again.as_ptr(), pool.stats().fresh), (0, first, 11));
}

/// What a thread has cached is dealt out to all nodes when the cache is full, and to one by one exchange.
#[test]
fn a_full_cache_is_dealt_out_by_node() {
    let pool = builder().thread_cache(64 * SIZE).build().unwrap();
    // Its cache grows as long as it has needed.
    (0..64).for_each(|_| drop(get_many(&pool, 64)));
    pool.trim(0);
    let fill = |near: usize, far: usize| {
        let local = Vec::from_iter((0..near).map(|_| get(&pool)));
        go_to(1);
        let remote = get_many(&pool, far);
        go_to(0);
        (local, remote)
    };
    let (local, remote) = fill(65, 0);
    assert_eq!(tally::of(|| drop(local)).0, 1, "one exchange for one node");
    drop(remote);
    pool.trim(0);
    let before = returns(&pool);
    let (local, remote) = fill(33, 32);
    let dropped = || {
        local.into_iter().zip(remote).for_each(drop);
    };
    assert_eq!(tally::of(dropped).0, 2);
    let (near, far) = returns(&pool);
    assert_eq!((near - before.0) + (far - before.1), 32);
    assert!(near > before.0 && far > before.1);
    resident(&pool);
}

#[test]
fn idle_memory_of_other_nodes_comes_before_a_refusal() {
    let pool = uncached().max_memory(6 * SIZE).build().unwrap();
    stock(&pool, 1, 3);
    stock(&pool, 2, 2);
    go_to(0);
    let one = get(&pool);
    assert_eq!((bank_under(&one), pool.stats().fresh), (0, 6));
    let two = get(&pool);
    assert_eq!((bank_under(&two), pool.stats().fresh, resident(&pool)), (1, 6, 6), "taken as it is");
    let rest = get_many(&pool, 4);
    let banks = Vec::from_iter(rest.iter().map(bank_under));
    assert_eq!(banks.iter().filter(|&&bank| bank == 2).count(), 2, "{banks:?}");
    assert!(pool.try_get(Recycled(SIZE)).is_err());
    assert_eq!((pool.stats().fresh, resident(&pool)), (6, 6));
}

/// A thread that must not enter the kernel gets what was prefilled, wherever that is.
#[test]
fn prefilled_buffers_are_of_all_nodes_and_for_all() {
    let pool = uncached().prefill(SIZE, 9).build().unwrap();
    for here in 0..BANKS {
        go_to(here);
        let bufs = get_many(&pool, 9);
        let banks = Vec::from_iter(bufs.iter().map(bank_under));
        assert!((0..BANKS).all(|bank| banks.iter().filter(|&&found| found == bank).count() == 3), "{banks:?}");
        let singly = || Vec::from_iter((0..9).map(|_| get(&pool)));
        drop(bufs);
        let bufs = singly();
        assert_eq!(bank_under(&bufs[0]), here, "its own come first");
        assert_eq!(pool.stats().fresh, 0);
    }
}

#[test]
fn every_depot_is_emptied() {
    let stocked = || {
        let pool = uncached().build().unwrap();
        (0..BANKS).for_each(|bank| stock(&pool, bank, 4));
        assert_eq!(resident(&pool), 12);
        pool
    };
    let pool = stocked();
    assert_eq!(pool.trim(5 * SIZE), 7 * SIZE);
    assert_eq!(pool.trim(0), 5 * SIZE);
    assert_eq!(resident(&pool), 0);
    let pool = stocked();
    assert_eq!((pool.pressure(Pressure::Critical), resident(&pool)), (12 * SIZE, 0));
    let pool = stocked();
    pool.close();
    assert_eq!(resident(&pool), 0);
    let pool = stocked();
    let mut ticks = 1;
    while pool.core.core().tick(1) {
        ticks += 1;
    }
    assert_eq!((resident(&pool), ticks), (0, QUARTERS + 1));
}

/// What was prefilled stays, on each node as much.
#[test]
fn each_node_keeps_what_was_prefilled() {
    let levels = |pool: &BufferPool| {
        [0, 1, 2].map(|bank| {
            go_to(bank);
            let bufs = get_many(pool, 9);
            bufs.iter().filter(|buf| bank_under(buf) == bank).count()
        })
    };
    let spikes = [[0, 0, 6], [6, 6, 0], [2, 0, 5]];
    for (spike, by_decay) in spikes.into_iter().flat_map(|spike| [(spike, false), (spike, true)]) {
        let pool = uncached().prefill(SIZE, 9).build().unwrap();
        // So many more of each than were prefilled, all out at once.
        let mut bufs = vec![get_many(&pool, 9)];
        for (bank, more) in spike.into_iter().enumerate() {
            go_to(bank as u8);
            bufs.push(get_many(&pool, more));
        }
        drop(bufs);
        assert_eq!(resident(&pool), 9 + spike.iter().sum::<usize>());
        if by_decay {
            while pool.core.core().tick(1) {}
        } else {
            pool.pressure(Pressure::Critical);
        }
        assert_eq!((resident(&pool), levels(&pool)), (9, [3; 3]), "{spike:?}, by decay: {by_decay}");
    }
}

/// Each node keeps what its threads need, however little the others do.
#[test]
fn what_is_needed_on_one_node_does_not_decay_there() {
    let pool = uncached().build().unwrap();
    (0..BANKS).for_each(|bank| stock(&pool, bank, if bank == 1 { 20 } else { 4 }));
    for _ in 0..=QUARTERS {
        stock(&pool, 1, 20);
        pool.core.core().tick(1);
    }
    assert_eq!(resident(&pool), 20);
    stock(&pool, 1, 20);
    assert_eq!(pool.stats().fresh, 28);
}

#[test]
fn the_limit_on_idle_memory_is_that_of_all_nodes() {
    for eviction in [Eviction::Lifo, Eviction::ClockPro] {
        let pool = uncached().max_idle(5 * SIZE).eviction(eviction).build().unwrap();
        let bufs = Vec::from_iter((0..BANKS).flat_map(|bank| {
            go_to(bank);
            [(); 4].map(|()| get(&pool))
        }));
        drop(bufs);
        let (near, far) = returns(&pool);
        assert_eq!((resident(&pool), near + far <= 12), (5, true), "{eviction:?}");
    }
}

fn poll<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    Pin::new(future).poll(&mut Context::from_waker(Waker::noop()))
}

#[test]
fn who_waits_is_served_from_every_node() {
    let pool = uncached().max_memory(2 * SIZE).build().unwrap();
    go_to(1);
    let (near, far) = (get(&pool), get(&pool));
    go_to(0);
    let mut first = pool.acquire(Recycled(SIZE));
    assert!(poll(&mut first).is_pending());
    go_to(2);
    drop(near);
    go_to(0);
    let Poll::Ready(Ok(served)) = poll(&mut first) else { panic!("handed over") };
    assert_eq!((bank_under(&served), pool.stats().handed_over), (1, 1));
    // For those who want two at once, one lies in the depot of its node until there are.
    let mut both = pool.acquire_many([Recycled(SIZE); 2]);
    assert!(poll(&mut both).is_pending());
    drop(served);
    assert!(poll(&mut both).is_pending());
    drop(far);
    let Poll::Ready(Ok(both)) = poll(&mut both) else { panic!("both were there") };
    assert!(both.iter().all(|buf| bank_under(buf) == 1));
    drop(both);
    assert_eq!(resident(&pool), 2);
}

/// Runs this on a thread of each node. Their caches are empty afterwards: a scope by itself waits for no thread's exit.
fn on_each(work: impl Fn(u8) + Sync) {
    let at = |bank| {
        go_to(bank);
        work(bank);
    };
    let at = &at;
    thread::scope(|scope| {
        let threads: Vec<_> = (0..BANKS).map(|bank| scope.spawn(move || at(bank))).collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    });
}

/// Each thread takes what it gets, and drops what any has taken.
#[test]
fn threads_of_all_nodes_lose_nothing() {
    let pool = builder().max_memory(12 * SIZE).build().unwrap();
    let (taken, rounds) = (Mutex::new(Vec::<(u64, PooledBuf)>::new()), if cfg!(miri) { 20 } else { 5_000 });
    on_each(|bank| {
        for round in 0..rounds {
            let number = u64::from(bank) << 32 | round;
            if let Ok(mut buf) = pool.try_get(Recycled(SIZE)) {
                buf[..8].copy_from_slice(&number.to_ne_bytes());
                taken.lock().unwrap().push((number, buf));
            }
            let mut taken = taken.lock().unwrap();
            let oldest = (round % 4 > 0 && !taken.is_empty()).then(|| taken.swap_remove(0));
            drop(taken);
            if let Some((number, buf)) = oldest {
                assert_eq!(buf[..8], number.to_ne_bytes(), "two had it");
            }
            if round % 500 == 7 {
                pool.trim(0);
            }
        }
    });
    let taken = taken.into_inner().unwrap();
    assert_eq!(pool.stats().outstanding as usize, taken.len() * SIZE);
    assert!((taken.len()..=12).contains(&resident(&pool)));
    drop(taken);
    pool.trim(0);
    assert_eq!(resident(&pool), 0);
}

/// Three nodes, and two buffers.
#[test]
fn threads_of_all_nodes_wait_for_each_other() {
    let pool = builder().max_memory(2 * SIZE).build().unwrap();
    let rounds = if cfg!(miri) { 5 } else { 500 };
    on_each(|bank| {
        for round in 0..rounds {
            match (round + usize::from(bank)) % 5 {
                0 => drop(pool.acquire_many([Recycled(SIZE); 2]).wait().unwrap()),
                _ => drop(pool.acquire(Recycled(SIZE)).wait().unwrap()),
            }
        }
    });
    assert_eq!(pool.stats().waiters, 0);
    assert!(resident(&pool) <= 2);
}

/// A pool as it is to be: idle buffers by bank, and which they are, newest last.
#[derive(Default)]
struct Plain {
    idle: [Vec<*const u8>; BANKS as usize],
    resident: usize,
    fresh: u64,
    returns: (u64, u64),
}

impl Plain {
    /// The bank, and which buffer of it; none if it must be fresh.
    fn get(&mut self, here: u8, most: usize) -> Option<(u8, Option<*const u8>)> {
        if let Some(idle) = self.idle[usize::from(here)].pop() {
            return Some((here, Some(idle)));
        }
        if self.resident < most {
            self.resident += 1;
            self.fresh += 1;
            return Some((here, None));
        }
        let others = (1..BANKS).map(|distance| (here + distance) % BANKS);
        others.into_iter().find_map(|bank| Some((bank, Some(self.idle[usize::from(bank)].pop()?))))
    }

    fn put(&mut self, here: u8, bank: u8, which: *const u8) {
        self.idle[usize::from(bank)].push(which);
        let count = if here == bank { &mut self.returns.0 } else { &mut self.returns.1 };
        *count += 1;
    }
}

const MOST_DEEDS: usize = if cfg!(miri) { 20 } else { 200 };

#[derive(Clone, Copy, Debug)]
enum Deed {
    Get,
    /// Of those that are out.
    Drop(prop::sample::Index),
    Trim,
}

fn deed() -> impl Strategy<Value = Deed> {
    prop_oneof![
        8 => Just(Deed::Get),
        8 => any::<prop::sample::Index>().prop_map(Deed::Drop),
        1 => Just(Deed::Trim),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: if cfg!(miri) { 2 } else { 64 }, failure_persistence: None, ..Default::default() })]

    #[test]
    fn a_pool_is_what_the_plain_one_is(deeds in vec((0..BANKS, deed()), 1..MOST_DEEDS)) {
        const MOST: usize = 12;
        let pool = uncached().max_memory(MOST * SIZE).build().unwrap();
        let (mut plain, mut out) = (Plain::default(), Vec::new());
        for (here, deed) in deeds {
            go_to(here);
            match deed {
                Deed::Get => match (pool.try_get(Recycled(SIZE)), plain.get(here, MOST)) {
                    (Ok(buf), Some((bank, which))) => {
                        prop_assert_eq!(bank_under(&buf), bank);
                        prop_assert!(which.is_none_or(|which| which == buf.as_ptr()));
                        out.push(buf);
                    }
                    (got, expected) => prop_assert!(got.is_err() && expected.is_none(), "{:?}, {:?}", got, expected),
                },
                Deed::Drop(_) if out.is_empty() => {}
                Deed::Drop(which) => {
                    let buf = out.swap_remove(which.index(out.len()));
                    plain.put(here, bank_under(&buf), buf.as_ptr());
                    drop(buf);
                }
                Deed::Trim => {
                    let idle: usize = plain.idle.iter_mut().map(|idle| idle.drain(..).count()).sum();
                    plain.resident -= idle;
                    prop_assert_eq!(pool.trim(0), idle * SIZE);
                }
            }
            prop_assert_eq!(resident(&pool), plain.resident);
            prop_assert_eq!((pool.stats().fresh, returns(&pool)), (plain.fresh, plain.returns));
        }
    }
}
