//! `soak`: everything at once and for long, with all that can be checked checked every second.
//!
//! Workers do at random what users of pools do, in bursts and silences. They stamp what they hold and keep accounts of it.
//! Every second they stop, and what the pools and budgets say is compared with these accounts. In long silences all idle
//! memory must come back, at the end everything.

mod acts;
mod budgets;
mod check;
mod conduct;
mod counts;
mod end;
mod gate;
mod held;
pub mod json;
mod ledger;
mod phases;
mod plant;
pub mod plot;
mod pond;
mod progress;
mod report;
pub mod sample;
mod scene;
mod squeeze;
mod stamp;
pub mod starve;
mod steward;
pub mod totals;
mod values;
mod waiting;
mod watch;
mod worker;

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::builder::RangedU64ValueParser;

use self::conduct::{Outcome, Plan};
use self::plant::Plant;
use self::progress::Progress;
use crate::board::Board;
use crate::failure::{Failure, complain};
use crate::interrupt;
use crate::output::Output;
use crate::process::{self, Machine};
use crate::size::Bytes;

/// Drive pools and budgets with everything at once and check that nothing is lost (build with `--features starve` to fail
/// allocations, too).
#[derive(clap::Args)]
pub struct Options {
    /// How long; fractions are allowed
    #[arg(long, value_name = "N", default_value = "1", value_parser = minutes)]
    minutes: Duration,
    /// Threads at work [default: four more than twice the machine's]
    #[arg(long, value_name = "N", value_parser = RangedU64ValueParser::<usize>::new().range(2..=1024))]
    threads: Option<usize>,
    /// Limit of the budget, from 16MiB on
    #[arg(long, value_name = "SIZE", default_value = "128MiB", value_parser = limit)]
    memory: usize,
    /// What the workers' choices begin with [default: the time]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Also draw memory and waiters over time, into FILE
    #[arg(long, value_name = "FILE.svg")]
    plot: Option<PathBuf>,
    /// Also write samples, totals and the verdict to FILE
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// A mistake that the checks must find
    #[arg(long, value_enum, hide = true)]
    plant: Option<Plant>,
}

fn minutes(text: &str) -> Result<Duration, String> {
    let minutes = text.parse::<f64>().ok().filter(|minutes| (0.01..=100_000.0).contains(minutes));
    let seconds = minutes.map(|minutes| Duration::from_secs_f64(60.0 * minutes));
    seconds.ok_or_else(|| format!("{text} is not between 0.01 and 100000"))
}

fn limit(text: &str) -> Result<usize, String> {
    let Bytes(bytes) = text.parse()?;
    let bytes = usize::try_from(bytes).ok().filter(|bytes| (16 << 20..=1 << 40).contains(bytes));
    bytes.ok_or_else(|| format!("{text} is not between 16MiB and 1024GiB"))
}

impl Options {
    fn plan(&self) -> Plan {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Plan {
            length: self.minutes,
            threads: self.threads.unwrap_or_else(|| 2 * process::cores() + 4),
            limit: self.memory,
            seed: self.seed.unwrap_or(now.as_millis() as u64),
            plant: self.plant,
        }
    }
}

/// Does what `options` ask for. Status 1 when something did not add up.
pub fn command(options: &Options) -> Result<ExitCode, Failure> {
    interrupt::listen()?;
    let plot = options.plot.as_deref().map(Output::open).transpose()?;
    let json = options.json.as_deref().map(Output::open).transpose()?;
    let plan = options.plan();
    greet(&plan)?;
    let outcome = conduct::run(plan, &mut Progress::new(plan.length), &Board::open())?;
    // Not by `?`, which would take every error after Ctrl-C for an interruption.
    if let Some(output) = plot {
        output.write(|file| plot::write(file, &plan, &outcome)).map_err(Failure::Io)?;
    }
    if let Some(output) = json {
        output.write(|file| json::write(file, &plan, &outcome)).map_err(Failure::Io)?;
    }
    verdict(outcome)
}

fn greet(plan: &Plan) -> io::Result<()> {
    let machine = Machine::this();
    let Plan { threads, seed, limit, .. } = plan;
    let (cpu, cores, kernel) = (machine.cpu, machine.cores, machine.kernel);
    writeln!(io::stdout(), "{cpu}, {cores} cores, {kernel}; {threads} threads, {}, seed {seed}", Bytes(*limit as u64))
}

fn verdict(outcome: Outcome) -> Result<ExitCode, Failure> {
    for what in &outcome.violations {
        complain(what);
    }
    if let Some(error) = outcome.unread {
        return Err(error.into());
    }
    write!(io::stdout(), "{}", report::text(&outcome))?;
    match outcome.violations.len() {
        0 if outcome.interrupted => Err(Failure::Interrupted),
        0 => Ok(ExitCode::SUCCESS),
        _ => Ok(ExitCode::FAILURE),
    }
}
