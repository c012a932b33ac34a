//! A crowd before one small budget: tasks of two executors and plain threads wait for buffers and values of all sizes,
//! give up now and then, and send what they got to other threads to be dropped. Everybody is served, soon, and in the end
//! nothing is charged.

#[path = "support/identities.rs"]
mod identities;
#[path = "support/random.rs"]
mod random;

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

use async_executor::Executor;
use identities::assert_identities;
use millpond::{
    Acquire, Budget, BufferPool, Error, Pool, Pooled, PooledBatch, PooledBuf, PooledBytes, Recycled, Zeroing,
};
use random::Random;

const KIB: usize = 1024;
const SIZES: [usize; 3] = [KIB, 4 * KIB, 16 * KIB];
const LIMIT: usize = 64 * KIB;
/// Requests of all tasks and threads.
const REQUESTS: usize = match (cfg!(miri), cfg!(debug_assertions)) {
    (true, _) => 150,
    (false, true) => 60_000,
    (false, false) => 1_000_000,
};
const TASKS: usize = if cfg!(miri) { 3 } else { 24 };
const THREADS: usize = if cfg!(miri) { 2 } else { 8 };
/// Threads of each executor.
const WORKERS: usize = 2;
/// As long as this nothing happens only when somebody was forgotten.
const STALL: Duration = Duration::from_secs(if cfg!(miri) { 600 } else { 20 });

type Value = Pooled<Vec<u8>>;

/// A request of any kind.
enum Asked {
    One(Acquire<PooledBuf>),
    Many(Acquire<PooledBatch<PooledBuf>>),
    Value(Acquire<Value>),
}

/// What came of it, with its user's mark on it.
#[allow(dead_code, reason = "held and dropped")]
enum Got {
    One(PooledBuf, u8),
    Many(PooledBatch<PooledBuf>),
    Value(Value),
    Frozen(PooledBytes),
}

impl Future for Asked {
    type Output = Result<Got, Error>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match self.get_mut() {
            Asked::One(one) => Pin::new(one).poll(context).map_ok(Got::marked),
            Asked::Many(many) => Pin::new(many).poll(context).map_ok(Got::Many),
            Asked::Value(value) => Pin::new(value).poll(context).map_ok(Got::Value),
        }
    }
}

impl Asked {
    fn wait_timeout(self, timeout: Duration) -> Result<Got, Error> {
        match self {
            Asked::One(one) => one.wait_timeout(timeout).map(Got::marked),
            Asked::Many(many) => many.wait_timeout(timeout).map(Got::Many),
            Asked::Value(value) => value.wait_timeout(timeout).map(Got::Value),
        }
    }
}

impl Got {
    fn marked(mut buf: PooledBuf) -> Self {
        let mark = buf[0].wrapping_add(1);
        buf.fill(mark);
        Got::One(buf, mark)
    }

    fn assert_unchanged(&self) {
        if let Got::One(buf, mark) = self {
            assert!(buf.iter().all(|byte| byte == mark), "two hands on one buffer");
        }
    }
}

struct Crowd {
    budget: Budget,
    bytes: [BufferPool; 3],
    values: Pool<Vec<u8>>,
    /// Where handles are dropped by somebody else.
    elsewhere: Mutex<mpsc::Sender<Got>>,
    served: AtomicUsize,
    given_up: AtomicUsize,
}

impl Crowd {
    fn new(elsewhere: mpsc::Sender<Got>) -> Self {
        let budget = Budget::new(LIMIT);
        let pool = |budget: &Budget, zeroing| {
            BufferPool::builder().size_classes(SIZES).zeroing(zeroing).budget(budget).build().unwrap()
        };
        let bytes = [
            pool(&budget, Zeroing::OnGet),
            pool(&budget.child(24 * KIB), Zeroing::OnGet),
            pool(&budget, Zeroing::OnReturn),
        ];
        let values = Pool::builder().create(|| vec![0; 2 * KIB]).weigh(Vec::capacity).max_objects(4).budget(&budget);
        let (values, elsewhere) = (values.build().unwrap(), Mutex::new(elsewhere));
        Crowd { budget, bytes, values, elsewhere, served: AtomicUsize::new(0), given_up: AtomicUsize::new(0) }
    }

    fn ask(&self, random: &mut Random) -> Asked {
        let pool = &self.bytes[random.below(3)];
        let size = Recycled(SIZES[random.below(8).saturating_sub(5)]);
        match random.below(8) {
            0 => Asked::Many(pool.acquire_many([size, Recycled(KIB)])),
            1 | 2 => Asked::Value(self.values.acquire()),
            _ => Asked::One(pool.acquire(size)),
        }
    }

    fn count(&self, got: &Result<Got, Error>) {
        match got {
            Ok(_) => self.served.fetch_add(1, SeqCst),
            Err(Error::TimedOut { .. }) => self.given_up.fetch_add(1, SeqCst),
            Err(error) => panic!("{error}"),
        };
    }

    /// Drops a handle, here or elsewhere, unique or frozen.
    fn part_with(&self, got: Got, random: &mut Random) {
        got.assert_unchanged();
        let got = match got {
            Got::One(buf, _) if random.below(4) == 0 => Got::Frozen(buf.freeze().slice(1..)),
            got => got,
        };
        if random.below(4) == 0 {
            self.elsewhere.lock().unwrap().send(got).unwrap();
        }
    }

    /// A task that asks so often; `patience` cuts a wait short.
    async fn work<F>(self: Arc<Self>, seed: usize, requests: usize, patience: impl Fn(Asked, u64) -> F)
    where
        F: Future<Output = Result<Got, Error>>,
    {
        let mut random = Random::new(seed as u64);
        for _ in 0..requests {
            let asked = self.ask(&mut random);
            let got = match random.below(8) {
                0 => patience(asked, random.next() % 20).await,
                _ => asked.await,
            };
            self.count(&got);
            if let Ok(got) = got {
                pauses(random.below(3)).await;
                self.part_with(got, &mut random);
            }
        }
    }

    /// The same on a thread of its own.
    fn work_blocking(&self, seed: usize, requests: usize) {
        let mut random = Random::new(seed as u64);
        for _ in 0..requests {
            let asked = self.ask(&mut random);
            let patience = if random.below(8) == 0 { Duration::from_micros(random.next() % 200) } else { 10 * STALL };
            let got = asked.wait_timeout(patience);
            self.count(&got);
            if let Ok(got) = got {
                self.part_with(got, &mut random);
            }
        }
    }

    fn done(&self) -> usize {
        self.served.load(SeqCst) + self.given_up.load(SeqCst)
    }

    fn report(&self) {
        let (served, given_up) = (self.served.load(SeqCst), self.given_up.load(SeqCst));
        eprintln!("{served} served and {given_up} given up of {REQUESTS}\n{}", self.budget);
        self.bytes.iter().map(BufferPool::stats).chain([self.values.stats()]).for_each(|stats| eprintln!("{stats}"));
    }
}

/// Lets others go first.
async fn pauses(count: usize) {
    let mut left = count;
    poll_fn(|context| match left.checked_sub(1) {
        None => Poll::Ready(()),
        Some(less) => {
            left = less;
            context.waker().wake_by_ref();
            Poll::Pending
        }
    })
    .await
}

fn given_up() -> Error {
    Error::TimedOut { requested: 0, waited: Duration::ZERO }
}

/// Gives up after so many polls.
async fn for_polls(mut asked: Asked, polls: u64) -> Result<Got, Error> {
    for _ in 0..polls {
        if let Poll::Ready(got) = poll_fn(|context| Poll::Ready(Pin::new(&mut asked).poll(context))).await {
            return got;
        }
        pauses(1).await;
    }
    Err(given_up())
}

/// Gives up after ten times so many microseconds.
async fn for_a_time(asked: Asked, time: u64) -> Result<Got, Error> {
    tokio::time::timeout(Duration::from_micros(10 * time), asked).await.unwrap_or_else(|_| Err(given_up()))
}

fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}

fn run_tokio(crowd: &Arc<Crowd>, requests: usize) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(WORKERS).enable_time().build().unwrap();
    let tasks: Vec<_> =
        (0..TASKS).map(|task| runtime.spawn(crowd.clone().work(task, requests / TASKS, for_a_time))).collect();
    for task in tasks {
        runtime.block_on(task).unwrap();
    }
}

fn run_async_executor(crowd: &Arc<Crowd>, requests: usize) {
    let executor = Executor::new();
    let spawn = |task| executor.spawn(crowd.clone().work(TASKS + task, requests / TASKS, for_polls));
    let mut tasks: Vec<_> = (0..TASKS).map(spawn).collect();
    thread::scope(|scope| {
        let share = TASKS.div_ceil(WORKERS);
        while !tasks.is_empty() {
            let mine = tasks.split_off(tasks.len().saturating_sub(share));
            let executor = &executor;
            scope.spawn(move || {
                let all = async {
                    for task in mine {
                        task.await;
                    }
                };
                block_on(executor.run(all));
            });
        }
    });
}

fn run_threads(crowd: &Arc<Crowd>, requests: usize) {
    thread::scope(|scope| {
        for thread in 0..THREADS {
            scope.spawn(move || crowd.work_blocking(2 * TASKS + thread, requests / THREADS));
        }
    });
}

/// Ends the process when nothing happens any more; returns when the other end of the channel is gone.
fn watch(crowd: &Crowd, end: &mpsc::Receiver<()>) {
    let mut before = usize::MAX;
    while end.recv_timeout(STALL) == Err(mpsc::RecvTimeoutError::Timeout) {
        if crowd.done() == before {
            crowd.report();
            std::process::abort();
        }
        before = crowd.done();
    }
}

#[test]
fn everybody_is_served_and_in_the_end_nothing_is_charged() {
    let (elsewhere, to_drop) = mpsc::channel();
    let crowd = Arc::new(Crowd::new(elsewhere));
    let third = REQUESTS / 3;
    let (end, ended) = mpsc::channel::<()>();
    let dropper = thread::spawn(move || to_drop.into_iter().for_each(drop));
    thread::scope(|scope| {
        let crowd = &crowd;
        scope.spawn(move || watch(crowd, &ended));
        let flavours = [run_tokio, run_async_executor, run_threads].map(|run| scope.spawn(move || run(crowd, third)));
        flavours.into_iter().for_each(|flavour| flavour.join().unwrap());
        drop(end);
    });
    assert_eq!(crowd.done(), 2 * (third / TASKS * TASKS) + third / THREADS * THREADS);
    *crowd.elsewhere.lock().unwrap() = mpsc::channel().0;
    dropper.join().unwrap();
    for stats in crowd.bytes.iter().map(BufferPool::stats).chain([crowd.values.stats()]) {
        assert_identities(&stats);
        assert_eq!((stats.waiters, stats.outstanding), (0, 0), "{stats}");
        assert!(stats.waits > 0 && stats.handed_over > 0 || cfg!(miri), "{stats}");
    }
    assert!(crowd.budget.peak() <= LIMIT);
    crowd.budget.trim(0);
    assert_eq!(crowd.budget.used(), 0, "{}", crowd.budget);
}
