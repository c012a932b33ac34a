//! What is measured, by theme.

mod batch;
mod burst;
mod chain;
mod handover;
mod hit;
mod live;
mod mixed;
mod objects;
mod pools;
mod short;
mod threads;
mod touch;
#[cfg(all(feature = "uring", target_os = "linux"))]
mod uring;
#[cfg(feature = "rivals")]
mod waiting;
mod zeroed;
mod zeropool;

use std::time::Duration;

use millpond::Budget;

use super::contender::{Cannot, Contender, Kind, Plan, Visit};
use super::contenders;
use super::objects::{Kept, Objects, VisitObjects};
use super::spread::Spread;
use crate::memory;

/// The name of a contender, and either its cell or the reason why it has none.
pub struct Entry {
    pub contender: &'static str,
    pub kind: Kind,
    pub cell: Result<Box<dyn Cell>, Cannot>,
}

/// One contender in one row, set up and ready.
pub trait Cell {
    /// Does the row's operation so many times, and gives the time that took.
    fn time(&mut self, iterations: u64) -> Duration;

    /// How long operations waited in the last turn, nanoseconds, where the row asks for that.
    fn waits(&self) -> Option<Spread<f64>> {
        None
    }

    /// Page faults in the last turn, where the row asks for that and the system says.
    fn faults(&self) -> Option<u64> {
        None
    }

    /// What else was seen meanwhile.
    fn note(&self) -> Option<String> {
        None
    }
}

impl<F: FnMut(u64) -> Duration> Cell for F {
    fn time(&mut self, iterations: u64) -> Duration {
        self(iterations)
    }
}

/// A measured pattern, the same for every contender.
pub trait Pattern {
    fn plan(&self) -> Plan;

    fn cell<C: Contender>(&self, plan: &Plan) -> Result<Box<dyn Cell>, Cannot>;
}

/// A measured pattern of the use of values, the same for every contender that keeps them.
pub trait ObjectPattern<T: Kept> {
    fn plan(&self) -> Plan;

    fn cell<C: Objects<T>>(&self, plan: &Plan) -> Result<Box<dyn Cell>, Cannot>;
}

/// What the user asks of all rows.
#[derive(Clone, Copy, Default)]
pub struct Terms<'a> {
    /// What millpond's pools may have together, for each contender in a row.
    pub max_memory: Option<usize>,
    /// How long memory lies idle in millpond's pools, where that is not the default.
    pub decay: Option<Duration>,
    /// Only the contender of this name.
    pub only: Option<&'a str>,
}

/// The entries of a row while they are set up.
pub struct Roster<'a> {
    terms: Terms<'a>,
    needs: usize,
    entries: Vec<Entry>,
}

impl Roster<'_> {
    /// Enters a contender, and sets it up if it is asked for and its memory suffices.
    fn add(&mut self, contender: &'static str, kind: Kind, cell: impl FnOnce() -> Result<Box<dyn Cell>, Cannot>) {
        if self.terms.only.is_some_and(|only| only != contender) {
            return;
        }
        let is_limited = matches!(kind, Kind::Millpond | Kind::Variant);
        let short = self.terms.max_memory.filter(|&limit| is_limited && limit < self.needs);
        let cell = match short {
            Some(limit) => Err(Cannot::Fit { needed: self.needs, limit }),
            None => cell(),
        };
        self.entries.push(Entry { contender, kind, cell });
    }

    fn is_bounded(&self) -> bool {
        self.terms.max_memory.is_some()
    }

    /// The plan on the user's terms, with a budget of its own.
    fn plan(&self, plan: Plan) -> Plan {
        let budget = self.terms.max_memory.map(|max| Budget::process().child(max));
        Plan { budget, decay: self.terms.decay, ..plan }
    }
}

/// Sets up the entries of a row.
type Entries = Box<dyn Fn(&mut Roster<'_>) + Send + Sync>;

/// A line of the comparison.
pub struct Row {
    pub name: String,
    /// What one operation is, in words.
    pub operation: String,
    /// Operations in one iteration of a cell.
    pub operations: u64,
    /// Iterations in a turn, where the user has chosen; else as many as the turn's time takes.
    pub iterations: Option<u64>,
    /// Threads that run at once.
    pub threads: usize,
    /// Iterations below which a turn could be over before all of its threads run.
    pub least: u64,
    /// What is charged to a budget for all that is out at once, in bytes.
    pub needs: usize,
    entries: Entries,
}

impl Row {
    /// A row with every contender.
    fn new(
        name: impl Into<String>,
        operation: impl Into<String>,
        pattern: impl Pattern + Send + Sync + 'static,
    ) -> Self {
        let needs = memory::charged(&pattern.plan().out);
        let entries = Box::new(move |roster: &mut Roster<'_>| {
            let bounded = roster.is_bounded();
            contenders::each(&mut All { pattern: &pattern, roster }, bounded);
        });
        Self::of(name, operation, needs, entries)
    }

    /// A row with every contender for values of type `T`.
    fn objects<T: Kept>(
        name: impl Into<String>,
        operation: impl Into<String>,
        pattern: impl ObjectPattern<T> + Send + Sync + 'static,
    ) -> Self {
        let needs = pattern.plan().out.len() * T::fresh().weight();
        let entries = Box::new(move |roster: &mut Roster<'_>| {
            let bounded = roster.is_bounded();
            contenders::each_for::<T>(&mut All { pattern: &pattern, roster }, bounded);
        });
        Self::of(name, operation, needs, entries)
    }

    fn of(name: impl Into<String>, operation: impl Into<String>, needs: usize, entries: Entries) -> Self {
        Self {
            name: name.into(),
            operation: operation.into(),
            operations: 1,
            iterations: None,
            threads: 1,
            least: 1,
            needs,
            entries,
        }
    }

    fn operations(self, operations: u64) -> Self {
        Self { operations, ..self }
    }

    fn threads(self, threads: usize, least: u64) -> Self {
        Self { threads, least, ..self }
    }

    /// Sets up the contenders.
    pub fn entries(&self, terms: Terms<'_>) -> Vec<Entry> {
        let mut roster = Roster { terms, needs: self.needs, entries: Vec::new() };
        (self.entries)(&mut roster);
        roster.entries
    }
}

struct All<'a, 'r, P> {
    pattern: &'a P,
    roster: &'a mut Roster<'r>,
}

impl<P: Pattern> Visit for All<'_, '_, P> {
    fn visit<C: Contender>(&mut self) {
        let plan = self.roster.plan(self.pattern.plan());
        self.roster.add(C::NAME, C::KIND, || self.pattern.cell::<C>(&plan));
    }
}

impl<T: Kept, P: ObjectPattern<T>> VisitObjects<T> for All<'_, '_, P> {
    fn visit<C: Objects<T>>(&mut self) {
        let plan = self.roster.plan(self.pattern.plan());
        self.roster.add(C::NAME, C::KIND, || self.pattern.cell::<C>(&plan));
    }
}

/// So many threads, in words.
fn in_words(count: usize) -> String {
    if count == 1 { "1 thread".to_owned() } else { format!("{count} threads") }
}

/// All rows, in the order of the report. `buffers` is how many the handover rows pass in a round, and those of `io_uring`.
pub fn all(buffers: Option<u64>) -> Vec<Row> {
    let mut rows = Vec::new();
    rows.extend(hit::rows());
    rows.extend(live::rows());
    rows.extend(zeroed::rows());
    rows.extend(touch::rows());
    rows.extend(chain::rows());
    rows.extend(burst::rows());
    rows.extend(mixed::rows());
    rows.extend(zeropool::rows());
    rows.extend(threads::rows());
    rows.extend(handover::rows(buffers));
    rows.extend(batch::rows());
    #[cfg(feature = "rivals")]
    rows.extend(waiting::rows());
    rows.extend(short::rows());
    rows.extend(pools::rows());
    rows.extend(objects::rows());
    #[cfg(all(feature = "uring", target_os = "linux"))]
    rows.extend(uring::rows(buffers));
    rows
}
