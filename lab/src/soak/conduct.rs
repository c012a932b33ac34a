//! The conductor: starts the workers, has them work and rest, stops them for checks, and ends it all in time.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::check;
use super::end;
use super::phases::Phases;
use super::plant::Plant;
use super::progress::Progress;
use super::sample::Sample;
use super::scene::Scene;
use super::squeeze;
use super::starve;
use super::totals::Totals;
use super::watch::Tally;
use super::worker::Worker;
use crate::board::Board;
use crate::{interrupt, process};

const BEAT: Duration = Duration::from_millis(20);
const SAMPLE_EVERY: Duration = Duration::from_millis(200);
const CHECK_EVERY: Duration = Duration::from_secs(1);
/// For what must happen soon, on a machine that may be busy with something else.
const PATIENCE: Duration = Duration::from_secs(20);
/// Checkpoints from one to the next at which the system refuses memory.
const SQUEEZE_EVERY: u64 = 10;
const PLANT_AT: Duration = Duration::from_millis(300);

/// What is asked of a soak.
#[derive(Clone, Copy, Default)]
pub struct Plan {
    pub length: Duration,
    pub threads: usize,
    pub limit: usize,
    pub seed: u64,
    pub plant: Option<Plant>,
}

/// What came of it.
#[derive(Default)]
pub struct Outcome {
    pub took: Duration,
    pub interrupted: bool,
    pub violations: Vec<String>,
    pub samples: Vec<Sample>,
    pub totals: Totals,
    /// Nobody reads the progress any more.
    pub unread: Option<io::Error>,
}

struct Soak<'a> {
    plan: Plan,
    board: &'a Board,
    tally: Tally,
    scene: Arc<Scene>,
    workers: Vec<JoinHandle<()>>,
    phases: Phases,
    began: Instant,
    outcome: Outcome,
    next_sample: Instant,
    next_check: Instant,
    is_planted: bool,
}

/// Runs a soak to its end.
pub fn run(plan: Plan, progress: &mut Progress, board: &Board) -> Result<Outcome, io::Error> {
    let resident = process::resident();
    let mut soak = Soak::start(plan, board)?;
    soak.outcome.totals.resident_at_start = resident;
    while !soak.is_over() {
        soak.beat();
        if let Err(error) = progress.show(soak.began.elapsed(), soak.outcome.samples.last(), soak.scene.counts.all()) {
            soak.outcome.unread = Some(error);
        }
        thread::sleep(BEAT);
    }
    progress.finish();
    Ok(soak.end())
}

impl<'a> Soak<'a> {
    fn start(plan: Plan, board: &'a Board) -> io::Result<Self> {
        let scene = Arc::new(Scene::new(plan.limit));
        let patient = (plan.threads / 3).max(1);
        let start = |number| {
            let worker = Worker::new(scene.clone(), plan.seed.wrapping_add(1 + number as u64), patient);
            thread::Builder::new().name(format!("worker {number}")).spawn(|| worker.work())
        };
        let workers = (0..plan.threads).map(start).collect::<io::Result<_>>()?;
        let began = Instant::now();
        Ok(Self {
            plan,
            board,
            tally: Tally::default(),
            workers,
            phases: Phases::new(plan.length, plan.seed),
            began,
            outcome: Outcome::default(),
            next_sample: began,
            next_check: began + CHECK_EVERY,
            is_planted: plan.plant.is_none(),
            scene,
        })
    }

    fn is_over(&mut self) -> bool {
        self.outcome.interrupted = interrupt::requested();
        let has_failed = self.scene.has_faults() || self.workers.iter().any(JoinHandle::is_finished);
        has_failed
            || self.outcome.interrupted
            || self.outcome.unread.is_some()
            || self.began.elapsed() >= self.plan.length
    }

    fn beat(&mut self) {
        if self.phases.is_due() {
            self.change_phase();
        }
        if self.phases.is_silent {
            // Whoever changed a limit just before did not know.
            self.scene.budgets.restore_limits();
        } else if !self.is_planted && self.began.elapsed() >= PLANT_AT {
            self.is_planted = self.plan.plant.is_none_or(|plant| plant.make(&self.scene));
        }
        if Instant::now() >= self.next_sample {
            self.sample();
            self.next_sample += SAMPLE_EVERY;
        }
        if Instant::now() >= self.next_check {
            self.check();
            self.next_check = Instant::now() + CHECK_EVERY;
        }
    }

    fn sample(&mut self) {
        let sample = Sample::take(&self.scene, self.began.elapsed().as_secs_f64(), self.phases.is_silent);
        self.outcome.totals.saw(&sample);
        self.outcome.samples.push(sample);
        self.show(if self.phases.is_silent { "silence" } else { "burst" });
    }

    /// Tells those who look, if anybody does.
    fn show(&mut self, phase: &str) {
        let Self { board, tally, scene, plan, began, .. } = self;
        board.post(|| tally.look(scene, plan, began.elapsed(), phase));
    }

    fn change_phase(&mut self) {
        if self.phases.is_silent && !self.outcome.samples.is_empty() {
            self.end_silence();
        }
        if let Some(thousandths) = self.phases.next() {
            let share = self.plan.limit / 1000 * thousandths / self.plan.threads;
            self.scene.appetite.store(share, Relaxed);
        }
        self.scene.silent.store(self.phases.is_silent, Relaxed);
    }

    /// By now everybody who waited has been served; and after a long silence nothing is idle.
    fn end_silence(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        let must_be_back = self.phases.is_over_long_silence();
        loop {
            self.sample();
            let idle = self.outcome.samples.last().map_or(0, |sample| sample.idle);
            let blocked = self.scene.gate.blocked();
            if blocked == 0 && (idle == 0 || !must_be_back) {
                break;
            }
            if Instant::now() >= deadline {
                let what = "after a silence and";
                self.scene.fault(format!(
                    "{what} {PATIENCE:?} more, {blocked} threads wait and {idle} bytes lie idle\n{}",
                    self.scene.budgets.root()
                ));
                return;
            }
            thread::sleep(SAMPLE_EVERY);
        }
        let totals = &mut self.outcome.totals;
        totals.silences += 1;
        if must_be_back {
            let resident = process::resident();
            let most = end::allowed(totals.resident_at_start, &self.plan, self.scene.budgets.root().used());
            if let Err(what) = end::resident(resident, most) {
                self.scene.fault(format!("after a long silence {what}"));
            }
            totals.decayed_silences += 1;
            totals.resident_in_silences.extend(resident);
        }
    }

    fn check(&mut self) {
        let (began, scene) = (Instant::now(), self.scene.clone());
        let pause = match scene.gate.close(PATIENCE) {
            Ok(pause) => pause,
            Err(what) => return scene.fault(format!("{what}\n{}", scene.budgets.root())),
        };
        self.compare();
        let totals = &mut self.outcome.totals;
        totals.checkpoints += 1;
        let is_exact = scene.gate.blocked() == 0;
        totals.exact_checkpoints += u64::from(is_exact);
        // Not where somebody waits, who would be refused, too.
        if is_exact && !scene.has_faults() && totals.checkpoints % SQUEEZE_EVERY == 1 {
            match squeeze::squeeze(&scene) {
                Ok(refused) => totals.system_failures += refused,
                Err(what) => scene.fault(what),
            }
            self.compare();
        }
        drop(pause);
        let totals = &mut self.outcome.totals;
        totals.longest_pause = totals.longest_pause.max(began.elapsed());
    }

    fn compare(&mut self) {
        match check::identities(&self.scene) {
            Ok(compared) => self.outcome.totals.compared += compared,
            Err(wrong) => wrong.into_iter().for_each(|what| self.scene.fault(what)),
        }
    }

    fn end(mut self) -> Outcome {
        self.sample();
        self.show("workers end");
        self.scene.silent.store(true, Relaxed);
        self.scene.budgets.restore_limits();
        self.scene.over.store(true, Relaxed);
        if self.scene.has_faults() {
            // Who waits for what is lost would wait for ever.
            self.scene.close_all();
        }
        let totals = &mut self.outcome.totals;
        let workers = end::join(self.workers, PATIENCE);
        totals.count(&self.scene);
        totals.allocation_failures = starve::failures();
        let mut violations = self.scene.faults();
        violations.extend(workers.err());
        // What is left after a violation says nothing more.
        if violations.is_empty() {
            match Arc::into_inner(self.scene) {
                Some(scene) => violations.extend(end::check(scene, totals, &self.plan)),
                None => violations.push("workers have ended, but one of their threads has not".into()),
            }
        }
        self.outcome.took = self.began.elapsed();
        self.outcome.violations = violations;
        self.outcome
    }
}
