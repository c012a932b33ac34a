//! Interleaved rounds: every contender of a row has its turn in every round, so that what the machine does meanwhile
//! hits all of them. Turns are short and rounds many: where others use the machine too, a turn that is shorter than the
//! scheduler's has a chance to pass undisturbed. The minimum is what the code costs, the median what it cost that day.

use std::thread;
use std::time::Duration;

use super::contender::{Cannot, Kind};
use super::resident::Resident;
use super::rows::{Cell, Row, Terms};
use super::spread::Spread;
use crate::process;

/// How much is measured.
#[derive(Clone, Copy)]
pub struct Effort {
    pub rounds: usize,
    /// How long a contender's turn in a round should take.
    pub turn: Duration,
}

/// Turns are so many times as long where threads share processors: the scheduler's own turns must fit in them.
const SHARED: u32 = 5;

/// What a load takes after its calibration, and the turns that it is made of.
const LOAD: Duration = Duration::from_millis(5);
const LOADS: u32 = 5;

/// A contender in a row: its figures, or why it has none.
pub struct Measured {
    pub contender: &'static str,
    pub kind: Kind,
    pub figures: Result<Figures, Cannot>,
    /// Nanoseconds that operations waited, in the rows that ask.
    pub waits: Option<Spread<Figures>>,
    /// Page faults per operation, the median, in the rows that ask.
    pub faults: Option<f64>,
    /// Where that was looked at.
    pub resident: Option<Resident>,
    pub note: Option<String>,
}

/// What a time was in all turns.
#[derive(Clone, Copy)]
pub struct Figures {
    pub min: f64,
    pub median: f64,
    pub max: f64,
}

impl Figures {
    /// None of no turns.
    fn of(mut times: Vec<f64>) -> Option<Self> {
        times.sort_unstable_by(f64::total_cmp);
        let (min, max) = (*times.first()?, *times.last()?);
        Some(Self { min, median: times[times.len() / 2], max })
    }
}

/// A contender that has its turn in every round.
struct Turn {
    cell: Box<dyn Cell>,
    operations: u64,
    pace: Pace,
    iterations: u64,
    /// Nanoseconds per operation, one for each turn.
    times: Vec<f64>,
    waits: Vec<Spread<f64>>,
    /// Page faults per operation.
    faults: Vec<f64>,
}

/// How long a turn is.
enum Pace {
    /// As many iterations as the user has chosen.
    Chosen,
    /// As many as take that long undisturbed, but not fewer than `least`.
    Timed { turn: Duration, least: u64 },
}

/// Measures a row on a thread of its own: whatever a contender keeps for its thread ends with the row.
pub fn measure(row: &Row, effort: Effort, terms: Terms<'_>) -> Vec<Measured> {
    thread::scope(|scope| scope.spawn(|| on_this_thread(row, effort, terms)).join().expect("rows do not panic"))
}

/// Does what a contender does in a few rounds, and gives it back with nothing out.
pub fn load(row: &Row, cell: Box<dyn Cell>) -> Box<dyn Cell> {
    let mut turn = Turn::new(cell, row, LOAD / LOADS);
    (0..LOADS).for_each(|_| turn.take());
    turn.cell
}

fn on_this_thread(row: &Row, effort: Effort, terms: Terms<'_>) -> Vec<Measured> {
    let entries = row.entries(terms);
    let names: Vec<_> = entries.iter().map(|entry| (entry.contender, entry.kind)).collect();
    let mut turns: Vec<_> = entries.into_iter().map(|entry| Ok(Turn::new(entry.cell?, row, effort.turn))).collect();
    for round in 0..effort.rounds {
        let count = turns.len();
        // A different one begins each time: nobody always runs in the wake of the same neighbour.
        for at in 0..count {
            if let Ok(turn) = &mut turns[(round + at) % count] {
                turn.take();
            }
        }
    }
    let measured = |((contender, kind), turn): (_, Result<Turn, Cannot>)| {
        let said = |turn: &Turn| (turn.cell.note(), turn.waits(), turn.faults());
        let (note, waits, faults) = turn.as_ref().map_or((None, None, None), said);
        Measured { contender, kind, figures: turn.map(Turn::figures), waits, faults, resident: None, note }
    };
    names.into_iter().zip(turns).map(measured).collect()
}

impl Turn {
    fn new(mut cell: Box<dyn Cell>, row: &Row, turn: Duration) -> Self {
        let turn = if row.threads > process::cores() { turn * SHARED } else { turn };
        let (pace, iterations) = match row.iterations {
            Some(iterations) => {
                cell.time(row.least);
                (Pace::Chosen, iterations)
            }
            None => (Pace::Timed { turn, least: row.least }, calibrate(&mut *cell, turn, row.least)),
        };
        let (times, waits, faults) = (Vec::new(), Vec::new(), Vec::new());
        Self { cell, operations: row.operations, pace, iterations, times, waits, faults }
    }

    fn take(&mut self) {
        let elapsed = self.cell.time(self.iterations);
        let operations = (self.iterations * self.operations) as f64;
        self.times.push(elapsed.as_nanos() as f64 / operations);
        self.waits.extend(self.cell.waits());
        self.faults.extend(self.cell.faults().map(|faults| faults as f64 / operations));
        // Whoever was disturbed while it was calibrated would otherwise have shorter turns than others, and more luck.
        if let Pace::Timed { turn, least } = self.pace {
            let best = self.times.iter().copied().min_by(f64::total_cmp).unwrap_or(1.0);
            self.iterations = ((turn.as_nanos() as f64 / (best * self.operations as f64)) as u64).max(least);
        }
    }

    fn figures(self) -> Figures {
        Figures::of(self.times).expect("one round at least")
    }

    fn faults(&self) -> Option<f64> {
        Figures::of(self.faults.clone()).map(|figures| figures.median)
    }

    fn waits(&self) -> Option<Spread<Figures>> {
        let of = |part: fn(&Spread<f64>) -> f64| Figures::of(self.waits.iter().map(part).collect());
        Some(Spread { p50: of(|waits| waits.p50)?, p99: of(|waits| waits.p99)?, longest: of(|waits| waits.longest)? })
    }
}

/// How many iterations take `turn`, but not fewer than `least`: twice as many each time until a quarter of it is reached,
/// which also warms up.
fn calibrate(cell: &mut dyn Cell, turn: Duration, least: u64) -> u64 {
    let mut iterations = least;
    loop {
        let elapsed = cell.time(iterations);
        if elapsed * 4 >= turn {
            let share = turn.as_secs_f64() / elapsed.as_secs_f64();
            return ((iterations as f64 * share) as u64).max(least);
        }
        iterations *= 2;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calibration_finds_the_number_that_takes_the_time() {
        let mut cell = |iterations: u64| Duration::from_micros(iterations * 3);
        assert_eq!(calibrate(&mut cell, Duration::from_millis(3), 1), 1000);
        let mut slow = |iterations: u64| Duration::from_secs(iterations);
        assert_eq!(calibrate(&mut slow, Duration::from_millis(3), 1), 1);
    }
}
