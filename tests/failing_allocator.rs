//! A global allocator that fails every k-th call costs errors, never an abort, and loses nothing.
#[path = "support/failing.rs"]
mod failing;
#[path = "support/identities.rs"]
mod identities;
#[path = "support/random.rs"]
mod random;
#[path = "support/zero.rs"]
mod zero;

use std::sync::mpsc;
use std::thread;

use failing::starved;
use identities::assert_identities;
use millpond::{Budget, BufferPool, Capacity, Error, Memory, PooledBuf, PooledBytes, Recycled};
use random::Random;
use zero::is_zero;

const STEPS: usize = if cfg!(miri) { 60 } else { 1000 };
const HELD: usize = 40;
const SIZES: [usize; 5] = [1, 300, 1000, 5000, 80_000];

/// What a starved thread holds, and what became of its requests. Allocates nothing after its making.
struct Hands {
    bufs: Vec<PooledBuf>,
    frozen: Vec<PooledBytes>,
    served: usize,
    refused: usize,
}

impl Hands {
    fn new() -> Self {
        Hands { bufs: Vec::with_capacity(2 * HELD), frozen: Vec::with_capacity(2 * HELD), served: 0, refused: 0 }
    }

    fn count<T>(&mut self, result: Result<T, Error>) -> Option<T> {
        match result {
            Ok(value) => {
                self.served += 1;
                Some(value)
            }
            Err(Error::OutOfMemory { requested }) => {
                assert!(requested > 0);
                self.refused += 1;
                None
            }
            Err(error) => panic!("{error}"),
        }
    }

    fn get(&mut self, pool: &BufferPool, size: usize, kind: usize) {
        let got = match kind {
            0 => pool.try_get(size),
            1 => pool.try_get(Capacity(size)),
            _ => pool.try_get(Recycled(size)),
        };
        if let Some(mut buf) = self.count(got) {
            assert!(kind != 0 || is_zero(&buf));
            assert!(buf.capacity() >= size);
            buf.fill(b'x');
            self.bufs.push(buf);
        }
    }

    fn get_many(&mut self, pool: &BufferPool, size: usize) {
        let got = pool.try_get_many([Capacity(size), Capacity(size), Capacity(1), Capacity(7000), Capacity(size)]);
        if let Some(batch) = self.count(got) {
            self.bufs.extend(batch);
        }
    }

    fn grow(&mut self, at: usize) {
        let buf = &mut self.bufs[at];
        let (len, ptr) = (buf.len(), buf.as_ptr());
        let result = buf.try_extend_from_slice(&[b'x'; 3000]);
        match result {
            Ok(()) => assert_eq!(buf.len(), len + 3000),
            Err(_) => assert_eq!((buf.len(), buf.as_ptr()), (len, ptr)),
        }
        assert!(buf.iter().all(|&byte| byte == b'x'));
        self.count(result);
    }

    fn step(&mut self, pool: &BufferPool, random: &mut Random) {
        let size = SIZES[random.below(SIZES.len())];
        let (unique, frozen) = (self.bufs.len(), self.frozen.len());
        match random.below(10) {
            0..=2 if unique < HELD => self.get(pool, size, random.below(3)),
            3 if unique < HELD => self.get_many(pool, size),
            4 if unique > 0 => self.grow(random.below(unique)),
            5 if unique > 0 && frozen < HELD => self.frozen.push(self.bufs.swap_remove(random.below(unique)).freeze()),
            6 if frozen > 0 && frozen < HELD => {
                let bytes = &self.frozen[random.below(frozen)];
                self.frozen.push(if random.below(2) == 0 { bytes.clone() } else { bytes.slice(bytes.len() / 2..) });
            }
            7 if frozen > 0 => match self.frozen.swap_remove(random.below(frozen)).try_into_mut() {
                Ok(buf) => self.bufs.push(buf),
                Err(bytes) => self.frozen.push(bytes.compact()),
            },
            8 if frozen > 0 => drop(self.frozen.swap_remove(random.below(frozen))),
            _ if unique > 0 => drop(self.bufs.swap_remove(random.below(unique))),
            _ => {}
        }
    }
}

/// A starved thread's work on the pool: how many requests were served and refused.
fn work(pool: &BufferPool, every: u32) -> (usize, usize) {
    let mut hands = Hands::new();
    let mut random = Random::new(u64::from(every));
    starved(every, || {
        for _ in 0..STEPS {
            hands.step(pool, &mut random);
        }
        pool.attach_thread();
        hands.bufs.clear();
        hands.frozen.clear();
    });
    (hands.served, hands.refused)
}

/// A budget for one test: when memory is short, idle memory of all pools on a budget gives way.
fn apart() -> Budget {
    Budget::new(usize::MAX)
}

#[test]
fn every_failure_is_an_error_and_loses_nothing() {
    for every in (1..=40).step_by(if cfg!(miri) { 13 } else { 1 }) {
        let budget = apart();
        let pool = BufferPool::builder().budget(&budget).memory(Memory::heap()).prefill(1000, 4).build().unwrap();
        let theirs = pool.clone();
        // A new thread each, whose cache has still to be made.
        let (served, refused) = thread::spawn(move || work(&theirs, every)).join().unwrap();
        // Where all fail, what was prefilled gives way to the first request of another size, in vain.
        assert!(served > 0 || every == 1, "nothing served with every call {every} failing");
        assert!(refused > 0 || every > 20 || cfg!(miri), "nothing refused with every call {every} failing");
        let stats = pool.stats();
        assert_identities(&stats);
        assert_eq!((stats.outstanding, stats.idle_in_caches), (0, 0), "every {every}\n{stats}");
        assert_eq!(stats.footprint as usize, budget.used(), "every {every}\n{stats}");
        pool.close();
        assert_eq!((pool.stats().footprint, budget.used()), (0, 0));
    }
}

#[test]
fn memory_in_a_sleeping_threads_cache_serves_when_the_system_has_none() {
    let pool = BufferPool::builder().budget(&apart()).memory(Memory::heap()).build().unwrap();
    let (filled, is_filled) = mpsc::channel();
    let (wake, sleep) = mpsc::channel::<()>();
    let theirs = pool.clone();
    let sleeper = thread::spawn(move || {
        drop([theirs.get(1000), theirs.get(1000)]);
        filled.send(theirs.stats().idle_in_caches).unwrap();
        assert!(sleep.recv().is_err());
        // The robbed cache works again.
        drop(theirs.get(1000));
    });
    let cached = is_filled.recv().unwrap();
    assert!(cached > 0);
    let mut stolen = Vec::with_capacity(10);
    starved(1, || stolen.extend(std::iter::from_fn(|| pool.try_get(1000).ok())));
    let stats = pool.stats();
    assert_identities(&stats);
    assert_eq!((stats.outstanding, stats.stolen), (2048, 1));
    assert!(stolen.iter().all(|buf| is_zero(buf)));
    drop(wake);
    sleeper.join().unwrap();
    drop(stolen);
    assert_identities(&pool.stats());
    assert_eq!(pool.stats().outstanding, 0);
}

struct Numbered([usize; 20]);

impl millpond::Reuse for Numbered {
    fn reuse(&mut self, _: usize) -> bool {
        self.0[0] % 7 != 0
    }
}

/// Values need no memory here but a header each; what could not be adopted comes back.
#[test]
fn object_pools_refuse_and_lose_nothing() {
    for every in 1..6 {
        let made = std::sync::atomic::AtomicUsize::new(1);
        let create = move || Numbered([made.fetch_add(1, std::sync::atomic::Ordering::Relaxed); 20]);
        let budget = apart();
        let builder = millpond::Pool::builder().budget(&budget).weigh(|value: &Numbered| 100 + value.0[0] % 10);
        let pool = builder.create(create).max_idle(100).build().unwrap();
        let (mut held, mut refused) = (Vec::with_capacity(HELD), 0);
        for step in 0..STEPS {
            if held.len() == HELD || step % 5 == 0 {
                held.truncate(step % HELD);
            }
            let got = starved(every, || {
                if step % 3 > 0 {
                    return pool.try_get();
                }
                pool.try_adopt(Numbered([step; 20])).map_err(|(back, error)| {
                    assert_eq!(back.0, [step; 20]);
                    error
                })
            });
            match got {
                Ok(value) => held.push(value),
                Err(error) => {
                    assert!(matches!(error, Error::OutOfMemory { .. }), "{error}");
                    refused += 1;
                }
            }
            held.last_mut().into_iter().for_each(|value| value.0[0] += 8);
            starved(every, || drop(held.pop()));
        }
        assert!(every > 1 || refused > 0);
        drop(held);
        let stats = pool.stats();
        assert_identities(&stats);
        assert_eq!(stats.outstanding, 0);
        drop(pool.get_many(50));
        assert_eq!((budget.trim(0) > 0, budget.used(), pool.stats().footprint), (true, 0, 0));
    }
}
