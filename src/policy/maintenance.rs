//! Who sees to it that idle memory decays: a thread for all pools of the process, or the program.
//!
//! The thread is started with the first pool that wants it and ends with the last. It looks at each pool four times in an
//! interval, and once a second where the system tells of memory [pressure](super::pressure); it sleeps until the next birth
//! where nothing is left to decay. It works with no lock held, since what it
//! frees may run user code. Without it, as when the system has no thread to give, memory comes back by
//! [`maintain`](crate::BufferPool::maintain) and `trim` alone.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::engine::core::{Core, CoreRef, QUARTERS};
use crate::engine::track;
use crate::memory::os;
use crate::panics;
use crate::policy::beat::Beat;
use crate::policy::pressure::Gauge;
use crate::policy::told;
use crate::tell::Name;

/// Who looks after idle memory, so that it comes [back](crate::BufferPoolBuilder::decay).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[non_exhaustive]
pub enum Maintenance {
    /// A thread named `millpond`, one for all pools of the process. It is started by `build`, with all signals blocked,
    /// sleeps while there is nothing to do, and ends with the last pool that wants it. If it cannot be started, the program
    /// has to do what it would, as with [`Manual`](Self::Manual). It is not there in the child of a fork. Where nothing
    /// decays it is wanted only with the feature `pressure`.
    #[default]
    Thread,
    /// The program, by calling [`maintain`](crate::BufferPool::maintain) now and then.
    Manual,
}

/// How often the clock of pools that track is set forward.
const TRACKED: Duration = Duration::from_secs(1);

/// When a pool is looked after, and for what.
#[derive(Debug)]
pub(crate) struct Upkeep {
    /// Once in a quarter; none where nothing decays.
    decay: Option<Beat>,
    /// Who tells of memory pressure, if anybody does, and when to listen.
    pressure: Option<(Beat, &'static Gauge)>,
    /// When to set the clock of those that track forward.
    clock: Option<Beat>,
    /// The pool's.
    name: Name,
}

impl Upkeep {
    /// None where idle memory stays, whatever happens, and nobody asks how long something has been out.
    pub(crate) fn new(interval: Duration, name: &Name, tracks: bool) -> Option<Arc<Self>> {
        Self::by(interval, name, Gauge::of_process(), tracks)
    }

    pub(crate) fn by(
        interval: Duration,
        name: &Name,
        gauge: Option<&'static Gauge>,
        tracks: bool,
    ) -> Option<Arc<Self>> {
        if cfg!(all(target_family = "wasm", target_os = "unknown")) {
            // There is no clock there.
            return None;
        }
        // An interval that no clock can show never ends.
        let ends = Instant::now().checked_add(interval).is_some();
        let decay = ends.then(|| Beat::every(interval / QUARTERS as u32));
        let pressure = gauge.map(|gauge| (gauge.beat(), gauge));
        let clock = tracks.then(|| Beat::every(TRACKED));
        let wanted = decay.is_some() || pressure.is_some() || clock.is_some();
        wanted.then(|| Arc::new(Upkeep { decay, pressure, clock, name: name.clone() }))
    }

    fn next(&self) -> Instant {
        let beats = self.decay.iter().chain(self.pressure.iter().map(|(beat, _)| beat)).chain(&self.clock);
        beats.map(Beat::next).min().expect("made for one of them at least")
    }

    /// Looks after a pool if it is time. False: nothing is left that could go.
    pub(crate) fn look_after(&self, core: &Core) -> bool {
        self.look_at(Instant::now(), core)
    }

    /// The same at another time.
    pub(crate) fn look_at(&self, now: Instant, core: &Core) -> bool {
        if self.clock.as_ref().is_some_and(|beat| beat.take(now) > 0) {
            track::advance();
        }
        // Before the tick, after which nothing that lies in a cache would have been touched.
        self.heed_pressure(now, core);
        self.decay_at(now, core) || self.clock.is_some()
    }

    fn decay_at(&self, now: Instant, core: &Core) -> bool {
        match self.decay.as_ref().map(|beat| beat.take(now)) {
            None => core.can_decay(),
            Some(0) => true,
            Some(passed) => {
                let (freed, is_left) = core.decay(passed);
                told::decayed(&self.name, freed);
                is_left
            }
        }
    }

    fn heed_pressure(&self, now: Instant, core: &Core) {
        let Some((beat, gauge)) = &self.pressure else { return };
        if beat.take(now) > 0 {
            if let Some(level) = gauge.level(now) {
                let freed = level.relieve(core);
                told::relieved(&self.name, level, freed);
            }
        }
    }
}

/// What the thread looks after.
struct Watch {
    pools: Vec<Watched>,
    is_running: bool,
}

struct Watched {
    core: CoreRef,
    upkeep: Arc<Upkeep>,
    is_asleep: bool,
}

static WATCH: Mutex<Watch> = Mutex::new(Watch { pools: Vec::new(), is_running: false });
static BELL: Condvar = Condvar::new();
/// The process that the thread is in, or 0.
static PROCESS: AtomicU32 = AtomicU32::new(0);

/// Whether this is the child of a fork: the thread is not there, and may have held the lock.
fn is_child() -> bool {
    // Relaxed: a child has what its parent wrote before.
    let process = PROCESS.load(Relaxed);
    process != 0 && process != os::process_id()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // No user code runs under these locks.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Has the thread look after a pool from now on; starts it if need be.
pub(crate) fn watch(core: CoreRef, upkeep: &Arc<Upkeep>) {
    if is_child() {
        return;
    }
    let mut watch = lock(&WATCH);
    watch.pools.push(Watched { core, upkeep: upkeep.clone(), is_asleep: false });
    if !watch.is_running {
        PROCESS.store(os::process_id(), Relaxed);
        watch.is_running = os::spawn_without_signals("millpond", run);
    }
    BELL.notify_one();
}

/// Has the thread look after a pool no more.
pub(crate) fn dismiss(upkeep: &Arc<Upkeep>) {
    drop(with_pool(upkeep, |watch, place| watch.pools.swap_remove(place)));
}

/// A pool that the thread had forgotten has memory again.
pub(crate) fn wake(upkeep: &Arc<Upkeep>) {
    with_pool(upkeep, |watch, place| watch.pools[place].is_asleep = false);
}

fn with_pool<R>(upkeep: &Arc<Upkeep>, work: impl FnOnce(&mut Watch, usize) -> R) -> Option<R> {
    if is_child() {
        return None;
    }
    let mut watch = lock(&WATCH);
    let place = watch.pools.iter().position(|pool| Arc::ptr_eq(&pool.upkeep, upkeep))?;
    let done = work(&mut watch, place);
    BELL.notify_one();
    Some(done)
}

/// The thread.
fn run() {
    let mut watch = lock(&WATCH);
    while !watch.pools.is_empty() {
        let now = Instant::now();
        let awake = || watch.pools.iter().filter(|pool| !pool.is_asleep);
        let Some(next) = awake().map(|pool| pool.upkeep.next()).min() else {
            watch = BELL.wait(watch).unwrap_or_else(PoisonError::into_inner);
            continue;
        };
        let wait = next.saturating_duration_since(now);
        if !wait.is_zero() {
            watch = BELL.wait_timeout(watch, wait).unwrap_or_else(PoisonError::into_inner).0;
            continue;
        }
        let due: Vec<_> = awake().filter(|pool| pool.upkeep.next() <= now).map(Watched::hold).collect();
        drop(watch);
        for (core, upkeep) in due {
            let mut is_left = true;
            // Values' destructors may panic; nobody can be told but the hook.
            panics::isolate(|| {
                is_left = upkeep.look_after(&core);
                panics::resume();
            });
            if !is_left {
                with_pool(&upkeep, |watch, place| watch.pools[place].is_asleep = core.fall_asleep());
            }
        }
        watch = lock(&WATCH);
    }
    watch.is_running = false;
    PROCESS.store(0, Relaxed);
}

impl Watched {
    fn hold(&self) -> (CoreRef, Arc<Upkeep>) {
        (self.core.clone(), self.upkeep.clone())
    }
}
