//! Tasks that share fewer buffers than there are tasks, on a runtime of two workers: how many buffers change hands in
//! a time, and how long a task waits for its own.

use std::hint::{self, black_box};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Runtime};
use tokio::sync::Barrier;
use tokio::task::{self, JoinHandle};

use super::{Cell, Roster, Row};
use crate::compare::contender::Plan;
use crate::compare::contenders;
use crate::compare::spread::Spread;
use crate::compare::waiting::{VisitWaiting, Waiting};
use crate::{memory, process};

const BYTES: usize = 4 << 10;
const WORKERS: usize = 2;
/// How long a buffer is worked on.
const WORK: Duration = Duration::from_nanos(200);
/// Acquires of all tasks together in a turn: enough for the last of a hundred.
const LEAST: usize = 1 << 13;

pub fn rows() -> Vec<Row> {
    let shapes = [(4, 2), (16, 8), (64, 8)].map(|(tasks, buffers)| Shape { tasks, buffers });
    shapes.into_iter().flat_map(|shape| [Hold::Work, Hold::Yield, Hold::Touch].map(|hold| row(shape, hold))).collect()
}

fn row(shape: Shape, hold: Hold) -> Row {
    let Shape { tasks, buffers } = shape;
    let name = format!("waiting/{tasks}:{buffers}/{}", hold.name());
    let operation = format!("4KiB acquired, touched, {}dropped by one of {tasks} tasks for {buffers}", hold.words());
    let needs = memory::charged(&shape.plan().out);
    let row = Row::of(name, operation, needs, Box::new(move |roster| enter(roster, shape, hold)));
    row.operations(tasks as u64).threads(WORKERS, (LEAST / tasks) as u64)
}

#[derive(Clone, Copy)]
struct Shape {
    tasks: usize,
    buffers: usize,
}

impl Shape {
    fn plan(self) -> Plan {
        Plan { out: vec![BYTES; self.buffers], threads: WORKERS, ..Plan::of(&[BYTES]) }
    }
}

/// What a task does while it holds a buffer.
#[derive(Clone, Copy)]
enum Hold {
    /// Works a while, then lets other tasks run.
    Work,
    /// Lets other tasks run at once: nearly all that is measured is acquiring and giving back.
    Yield,
    /// No more than touch it: the two tasks that run at a time never have to wait. With the semaphore they do: a task
    /// whose share of tokio's budget is spent gives way with a permit in hand, and once all permits lie in the run queue,
    /// every acquire waits.
    Touch,
}

impl Hold {
    fn name(self) -> &'static str {
        match self {
            Self::Work => "work",
            Self::Yield => "yield",
            Self::Touch => "touch",
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::Work => "worked on for 200 ns and kept over a yield, ",
            Self::Yield => "kept over a yield, ",
            Self::Touch => "",
        }
    }

    async fn keep(self) {
        match self {
            Self::Work => {
                spin(WORK);
                task::yield_now().await;
            }
            Self::Yield => task::yield_now().await,
            Self::Touch => {}
        }
    }
}

fn spin(span: Duration) {
    let begin = Instant::now();
    while begin.elapsed() < span {
        hint::spin_loop();
    }
}

/// All on the same workers.
fn enter(roster: &mut Roster<'_>, shape: Shape, hold: Hold) {
    contenders::each_waiting(&mut All { shape, hold, runtime: Arc::new(runtime()), roster });
}

/// Workers stay on processors of their own, like the threads of the handover rows.
fn runtime() -> Runtime {
    let started = AtomicUsize::new(0);
    let settle = move || process::stay_on(started.fetch_add(1, Ordering::Relaxed));
    Builder::new_multi_thread().worker_threads(WORKERS).on_thread_start(settle).build().expect("threads")
}

struct All<'a, 'r> {
    shape: Shape,
    hold: Hold,
    runtime: Arc<Runtime>,
    roster: &'a mut Roster<'r>,
}

impl VisitWaiting for All<'_, '_> {
    fn visit<W: Waiting>(&mut self) {
        let (tasks, hold, runtime) = (self.shape.tasks, self.hold, self.runtime.clone());
        let plan = self.roster.plan(self.shape.plan());
        let contest = || Contest { pool: Arc::new(W::new(&plan)), tasks, hold, runtime, waits: None };
        self.roster.add(W::NAME, W::KIND, || Ok(Box::new(contest())));
    }
}

/// Tasks of one contender.
struct Contest<W> {
    pool: Arc<W>,
    tasks: usize,
    hold: Hold,
    runtime: Arc<Runtime>,
    /// Of the last turn.
    waits: Option<Spread<f64>>,
}

impl<W: Waiting> Cell for Contest<W> {
    /// Each task acquires so many times, once without a look at the clock, and once for the waits: two looks take as
    /// long as an acquire that need not wait.
    fn time(&mut self, iterations: u64) -> Duration {
        let elapsed = self.run::<Unwatched>(iterations).0;
        self.waits = Spread::of(self.run::<Watched>(iterations).1);
        elapsed
    }

    fn waits(&self) -> Option<Spread<f64>> {
        self.waits
    }
}

impl<W: Waiting> Contest<W> {
    /// The time from the first task's start to the last one's end, and all waits that were watched.
    fn run<C: Watch>(&self, iterations: u64) -> (Duration, Vec<u64>) {
        let barrier = Arc::new(Barrier::new(self.tasks));
        let task = || self.runtime.spawn(contend::<W, C>(self.pool.clone(), barrier.clone(), self.hold, iterations));
        let tasks: Vec<_> = (0..self.tasks).map(|_| task()).collect();
        let done = |task: JoinHandle<Done>| self.runtime.block_on(task).expect("tasks do not panic");
        let done: Vec<_> = tasks.into_iter().map(done).collect();
        let begin = done.iter().map(|done| done.begin).min();
        let end = done.iter().map(|done| done.end).max();
        let elapsed = begin.zip(end).map_or(Duration::ZERO, |(begin, end)| end - begin);
        (elapsed, done.into_iter().flat_map(|done| done.waits).collect())
    }
}

/// When a task began and ended, and its waits.
struct Done {
    begin: Instant,
    end: Instant,
    waits: Vec<u64>,
}

async fn contend<W: Waiting, C: Watch>(pool: Arc<W>, barrier: Arc<Barrier>, hold: Hold, iterations: u64) -> Done {
    let mut waits = C::room(iterations);
    barrier.wait().await;
    let begin = Instant::now();
    for _ in 0..iterations {
        let asked = C::now();
        let mut held = pool.acquire().await;
        C::note(asked, &mut waits);
        black_box(W::touch(&mut held));
        hold.keep().await;
    }
    Done { begin, end: Instant::now(), waits }
}

/// Whether somebody looks at the clock.
trait Watch: 'static {
    type Moment: Send;

    fn room(iterations: u64) -> Vec<u64>;

    fn now() -> Self::Moment;

    fn note(asked: Self::Moment, waits: &mut Vec<u64>);
}

struct Unwatched;

impl Watch for Unwatched {
    type Moment = ();

    fn room(_: u64) -> Vec<u64> {
        Vec::new()
    }

    fn now() {}

    fn note((): (), _: &mut Vec<u64>) {}
}

struct Watched;

impl Watch for Watched {
    type Moment = Instant;

    fn room(iterations: u64) -> Vec<u64> {
        Vec::with_capacity(iterations as usize)
    }

    fn now() -> Instant {
        Instant::now()
    }

    fn note(asked: Instant, waits: &mut Vec<u64>) {
        waits.push(asked.elapsed().as_nanos() as u64);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::sync::Mutex;

    use super::*;

    const SHAPE: Shape = Shape { tasks: 4, buffers: 2 };
    const ACQUIRES: u64 = 100;

    struct Promises;

    impl VisitWaiting for Promises {
        fn visit<W: Waiting>(&mut self) {
            all_buffers_are_out_at_times_and_each_only_once::<W>();
            every_acquire_is_watched::<W>();
        }
    }

    fn all_buffers_are_out_at_times_and_each_only_once<W: Waiting>() {
        let runtime = runtime();
        let shared = Arc::new((W::new(&SHAPE.plan()), Mutex::new(HashSet::new())));
        let use_them = |shared: Arc<(W, Mutex<HashSet<usize>>)>| async move {
            let (pool, out) = &*shared;
            let mut peak = 0;
            for _ in 0..ACQUIRES {
                let mut held = pool.acquire().await;
                let place = std::ptr::from_mut(W::touch(&mut held)).addr();
                assert!(out.lock().unwrap().insert(place), "{}", W::NAME);
                task::yield_now().await;
                let mut out = out.lock().unwrap();
                peak = peak.max(out.len());
                out.remove(&place);
            }
            peak
        };
        let tasks: Vec<_> = (0..SHAPE.tasks).map(|_| runtime.spawn(use_them(shared.clone()))).collect();
        let peak = tasks.into_iter().map(|task| runtime.block_on(task).unwrap()).max();
        assert_eq!(peak, Some(SHAPE.buffers), "{}", W::NAME);
    }

    fn every_acquire_is_watched<W: Waiting>() {
        let pool = Arc::new(W::new(&SHAPE.plan()));
        let contest =
            Contest { pool, tasks: SHAPE.tasks, hold: Hold::Yield, runtime: Arc::new(runtime()), waits: None };
        let (elapsed, waits) = contest.run::<Watched>(ACQUIRES);
        assert_eq!(waits.len(), SHAPE.tasks * ACQUIRES as usize, "{}", W::NAME);
        assert!(waits.iter().all(|&wait| u128::from(wait) <= elapsed.as_nanos()), "{}", W::NAME);
        assert!(contest.run::<Unwatched>(ACQUIRES).1.is_empty(), "{}", W::NAME);
    }

    #[test]
    fn tasks_wait_for_buffers_that_are_out() {
        contenders::each_waiting(&mut Promises);
    }
}
