//! No interleaving lets a budget have one byte more than its limit, and nothing stays charged that is gone.

#[path = "support/failing.rs"]
mod failing;
#[path = "support/identities.rs"]
mod identities;
#[path = "support/random.rs"]
mod random;

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::thread;

use failing::starved;
use identities::assert_identities;
use millpond::{Budget, BufferPool, Capacity, Error, Overflow, Pool, Pooled, PooledBuf, PooledBytes};
use random::Random;

const THREADS: usize = if cfg!(miri) { 3 } else { 64 };
const STEPS: usize = if cfg!(miri) { 40 } else { 1000 };
const KIB: usize = 1 << 10;
/// Reserved for values.
const MIN: usize = 24 * KIB;
const HELD: usize = 12;

/// Two pools, each on a budget of its own below one that is below another.
struct Scene {
    /// From the root down to those of the bytes and of the values.
    budgets: [Budget; 4],
    bytes: BufferPool,
    values: Pool<Vec<u8>>,
    /// Where threads leave something for each other to drop.
    exchange: Mutex<Vec<Held>>,
    /// So that limits are never lowered.
    raises: Mutex<()>,
    refused: AtomicUsize,
}

#[allow(dead_code, reason = "held and dropped")]
enum Held {
    Buf(PooledBuf),
    Frozen(PooledBytes),
    Value(Pooled<Vec<u8>>),
}

impl Scene {
    fn new(overflow: Overflow) -> Self {
        let root = Budget::new(200 * KIB);
        let both = root.child(180 * KIB);
        let (of_bytes, of_values) = (both.child(120 * KIB), both.child_reserving(MIN, 100 * KIB).unwrap());
        let bytes = BufferPool::builder().budget(&of_bytes).size_classes([300, 1024, 5000]).overflow(overflow);
        let values = Pool::builder().budget(&of_values).weigh(|value: &Vec<u8>| 24 + value.capacity());
        Scene {
            bytes: bytes.build().unwrap(),
            values: values.overflow(overflow).build().unwrap(),
            budgets: [root, both, of_bytes, of_values],
            exchange: Mutex::default(),
            raises: Mutex::default(),
            refused: AtomicUsize::new(0),
        }
    }

    fn check(&self) {
        for budget in &self.budgets {
            // In this order, for the limit is only raised.
            let (used, limit) = (budget.used(), budget.limit());
            assert!(used <= limit, "{used} of {limit}\n{budget}");
        }
    }

    fn watch(&self, over: &AtomicBool) -> usize {
        let mut checks = 0;
        while !over.load(SeqCst) {
            self.check();
            checks += 1;
            thread::yield_now();
        }
        checks
    }

    fn work(&self, seed: usize) {
        let mut random = Random::new(seed as u64);
        let mut held = Vec::with_capacity(2 * HELD);
        for _ in 0..STEPS {
            self.step(&mut random, &mut held);
            self.check();
            held.truncate(HELD);
        }
    }

    fn step(&self, random: &mut Random, held: &mut Vec<Held>) {
        let size = [1, 300, 1000, 3000, 9000][random.below(5)];
        let every = [0, 0, 0, 1, 3][random.below(5)];
        let which = random.below(held.len().max(1));
        match random.below(16) {
            0..=2 => held.extend(self.got(starved(every, || self.bytes.try_get(Capacity(size)))).map(Held::Buf)),
            3 => {
                let batch = starved(every, || self.bytes.try_get_many([size, 1, size]));
                held.extend(self.got(batch).into_iter().flatten().map(Held::Buf));
            }
            4..=5 => held.extend(self.got(starved(every, || self.values.try_get())).map(Held::Value)),
            6 => held.extend(
                self.got(starved(every, || self.values.try_get_many(3))).into_iter().flatten().map(Held::Value),
            ),
            7 => {
                let adopted = self.values.try_adopt(Vec::with_capacity(size)).map_err(|(_, error)| error);
                held.extend(self.got(adopted).map(Held::Value));
            }
            8 | 9 if !held.is_empty() => {
                let changed = self.change(held.swap_remove(which), size, every);
                held.push(changed);
            }
            10 => std::mem::swap(&mut *self.exchange.lock().unwrap(), held),
            11 if random.below(4) == 0 => drop(self.bytes.trim(size) + self.values.trim(size)),
            12 if random.below(4) == 0 => drop(self.budgets[random.below(4)].trim(10 * size)),
            13 if random.below(20) == 0 => self.raise(random),
            _ if !held.is_empty() => drop(held.swap_remove(which)),
            _ => {}
        }
    }

    fn got<T>(&self, result: Result<T, Error>) -> Option<T> {
        match result {
            Ok(got) => Some(got),
            Err(Error::OverBudget { requested, .. }) => {
                assert!(requested > 0);
                self.refused.fetch_add(1, SeqCst);
                None
            }
            Err(Error::OutOfMemory { .. }) => None,
            Err(error) => panic!("{error}"),
        }
    }

    /// Grows, freezes or thaws it.
    fn change(&self, held: Held, size: usize, every: u32) -> Held {
        match held {
            Held::Buf(mut buf) if size % 2 == 0 => {
                self.got(starved(every, || buf.try_reserve(size)));
                Held::Buf(buf)
            }
            Held::Buf(buf) => Held::Frozen(buf.freeze()),
            Held::Frozen(bytes) => bytes.try_into_mut().map_or_else(Held::Frozen, Held::Buf),
            Held::Value(mut value) => {
                value.reserve_exact(size);
                Held::Value(value)
            }
        }
    }

    fn raise(&self, random: &mut Random) {
        let _one_at_a_time = self.raises.lock().unwrap();
        let budget = &self.budgets[random.below(4)];
        budget.set_limit(budget.limit() + 512);
    }

    /// All threads' work, and what is left of it.
    fn run(self) -> (u64, usize) {
        let over = AtomicBool::new(false);
        thread::scope(|scope| {
            let watcher = scope.spawn(|| self.watch(&over));
            let work = |seed| {
                scope.spawn({
                    let scene = &self;
                    move || scene.work(seed)
                })
            };
            let workers: Vec<_> = (0..THREADS).map(work).collect();
            workers.into_iter().for_each(|worker| worker.join().unwrap());
            over.store(true, SeqCst);
            assert!(watcher.join().unwrap() > 0);
        });
        self.exchange.lock().unwrap().clear();
        let Scene { budgets: [root, both, of_bytes, of_values], bytes, values, .. } = self;
        let unpooled = bytes.stats().unpooled + values.stats().unpooled;
        assert_identities(&bytes.stats());
        assert_identities(&values.stats());
        assert_eq!(of_bytes.used() as u64, bytes.stats().footprint);
        root.trim(0);
        assert_eq!([&root, &both, &of_bytes, &of_values].map(Budget::used), [MIN, MIN, 0, 0]);
        assert_eq!((bytes.stats().footprint, values.stats().footprint), (0, 0));
        drop((of_values, values));
        assert_eq!([&root, &both].map(Budget::used), [0, 0]);
        (unpooled, self.refused.into_inner())
    }
}

#[test]
fn never_a_byte_too_many_where_requests_fail() {
    let (unpooled, refused) = Scene::new(Overflow::Fail).run();
    assert!(unpooled == 0 && (refused > 0 || cfg!(miri)), "{refused} refused");
}

#[test]
fn never_a_byte_too_many_where_requests_are_served_from_outside() {
    let (unpooled, refused) = Scene::new(Overflow::Unpooled).run();
    assert!(unpooled > 0 || cfg!(miri));
    println!("{unpooled} from outside, {refused} refused");
}
