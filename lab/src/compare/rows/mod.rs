//! What is measured, by theme.

mod batch;
mod burst;
mod handover;
mod hit;
mod live;
mod mixed;
mod objects;
mod pools;
mod short;
mod threads;
#[cfg(feature = "rivals")]
mod waiting;
mod zeroed;
mod zeropool;

use std::time::Duration;

use super::contender::{Cannot, Contender, Kind, Visit};
use super::contenders;
use super::objects::{Kept, Objects, VisitObjects};
use super::spread::Spread;

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
    fn cell<C: Contender>(&self) -> Result<Box<dyn Cell>, Cannot>;
}

/// A measured pattern of the use of values, the same for every contender that keeps them.
pub trait ObjectPattern<T: Kept> {
    fn cell<C: Objects<T>>(&self) -> Result<Box<dyn Cell>, Cannot>;
}

/// Sets up the entries of a row.
type Entries = Box<dyn Fn() -> Vec<Entry> + Send + Sync>;

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
    entries: Entries,
}

impl Row {
    /// A row with every contender.
    fn new(
        name: impl Into<String>,
        operation: impl Into<String>,
        pattern: impl Pattern + Send + Sync + 'static,
    ) -> Self {
        let entries = Box::new(move || {
            let mut all = All { pattern: &pattern, entries: Vec::new() };
            contenders::each(&mut all);
            all.entries
        });
        Self::of(name, operation, entries)
    }

    /// A row with every contender for values of type `T`.
    fn objects<T: Kept>(
        name: impl Into<String>,
        operation: impl Into<String>,
        pattern: impl ObjectPattern<T> + Send + Sync + 'static,
    ) -> Self {
        let entries = Box::new(move || {
            let mut all = All { pattern: &pattern, entries: Vec::new() };
            contenders::each_for::<T>(&mut all);
            all.entries
        });
        Self::of(name, operation, entries)
    }

    fn of(name: impl Into<String>, operation: impl Into<String>, entries: Entries) -> Self {
        Self {
            name: name.into(),
            operation: operation.into(),
            operations: 1,
            iterations: None,
            threads: 1,
            least: 1,
            entries,
        }
    }

    fn operations(self, operations: u64) -> Self {
        Self { operations, ..self }
    }

    fn threads(self, threads: usize, least: u64) -> Self {
        Self { threads, least, ..self }
    }

    /// Sets up all contenders.
    pub fn entries(&self) -> Vec<Entry> {
        (self.entries)()
    }
}

struct All<'a, P> {
    pattern: &'a P,
    entries: Vec<Entry>,
}

impl<P: Pattern> Visit for All<'_, P> {
    fn visit<C: Contender>(&mut self) {
        self.entries.push(Entry { contender: C::NAME, kind: C::KIND, cell: self.pattern.cell::<C>() });
    }
}

impl<T: Kept, P: ObjectPattern<T>> VisitObjects<T> for All<'_, P> {
    fn visit<C: Objects<T>>(&mut self) {
        self.entries.push(Entry { contender: C::NAME, kind: C::KIND, cell: self.pattern.cell::<C>() });
    }
}

/// So many threads, in words.
fn in_words(count: usize) -> String {
    if count == 1 { "1 thread".to_owned() } else { format!("{count} threads") }
}

/// All rows, in the order of the report. `buffers` is how many the handover rows pass in a round.
pub fn all(buffers: Option<u64>) -> Vec<Row> {
    let mut rows = Vec::new();
    rows.extend(hit::rows());
    rows.extend(live::rows());
    rows.extend(zeroed::rows());
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
    rows
}
