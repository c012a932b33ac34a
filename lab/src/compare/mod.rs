//! `compare`: the same work with millpond, with other pools, with allocators, and with the least that could do it.
//!
//! Without the feature `rivals` only millpond, the floor and `Vec` on the system's allocator are there, and no row that
//! waits: those need a runtime. Rows of `io_uring` are there with the feature `uring`.

pub mod contender;
mod contenders;
mod crew;
pub mod json;
mod objects;
mod queue;
mod report;
pub mod resident;
mod rows;
mod spread;
mod timing;
mod values;
#[cfg(feature = "rivals")]
mod waiting;

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::builder::RangedU64ValueParser;
use indicatif::{ProgressBar, ProgressStyle};

use self::report::Outcome;
use self::resident::Watch;
use self::rows::{Row, Terms};
use self::timing::Effort;
use crate::failure::Failure;
use crate::memory;
use crate::output::Output;
use crate::process::Machine;
use crate::size::Bytes;

/// Measure millpond side by side with other pools and allocators (build with `--features rivals`).
#[derive(clap::Args)]
pub struct Options {
    /// Rounds in which every contender has a turn [default: 61, or 9 with --quick]
    #[arg(long, value_name = "N", value_parser = RangedU64ValueParser::<usize>::new().range(1..=100_000))]
    rounds: Option<usize>,
    /// Only rows whose name contains ROW; may be given more than once
    #[arg(long, value_name = "ROW")]
    only: Vec<String>,
    /// Also write the figures to FILE
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Shorter turns and fewer rounds: seconds instead of minutes
    #[arg(long)]
    quick: bool,
    /// Buffers that the handover rows pass in each round, and the uring rows read and receive [default: as many as a turn
    /// takes; 4096 read, 1000000 received]
    #[arg(long, value_name = "N", value_parser = RangedU64ValueParser::<u64>::new().range(1..))]
    buffers: Option<u64>,
    /// The most that millpond's pools may have, in each row; they wait for memory then, instead of failing. Rows that
    /// need more say so. The others have no limit [default: a quarter of what the process may use]
    #[arg(long, value_name = "SIZE", value_parser = memory::limit)]
    max_memory: Option<usize>,
    /// Seconds after a row's load when resident memory is looked at, in a process for each contender; 0 leaves that out.
    /// For that look alone, millpond's decay is a quarter of it, at most the default of 10 seconds [default: 0.5, or 0.2
    /// with --quick]
    #[arg(long, value_name = "SECONDS", value_parser = resident::pause)]
    idle: Option<Duration>,
    /// List the rows instead
    #[arg(long)]
    list: bool,
}

impl Options {
    fn effort(&self) -> Effort {
        let (rounds, turn) = if self.quick { (9, 1) } else { (61, 2) };
        Effort { rounds: self.rounds.unwrap_or(rounds), turn: Duration::from_millis(turn) }
    }

    /// The rows asked for. A name that no row has is an error.
    fn rows(&self) -> Result<Vec<Row>, Failure> {
        let all = rows::all(self.buffers);
        if let Some(name) = self.only.iter().find(|name| !all.iter().any(|row| row.name.contains(*name))) {
            return Err(Failure::Usage(format!("no row has `{name}` in its name; --list shows them all")));
        }
        let asked = |row: &Row| self.only.is_empty() || self.only.iter().any(|name| row.name.contains(name));
        let rows: Vec<_> = all.into_iter().filter(asked).collect();
        self.check_memory(&rows).map(|()| rows)
    }

    /// Whether the memory allowed suffices for one of the rows at least.
    fn check_memory(&self, rows: &[Row]) -> Result<(), Failure> {
        let needing = rows.iter().filter(|row| row.needs > 0);
        let Some((limit, least)) = self.max_memory.zip(needing.min_by_key(|row| row.needs)) else { return Ok(()) };
        if least.needs <= limit {
            return Ok(());
        }
        let [limit, needs] = [limit, least.needs].map(|bytes| Bytes(bytes as u64));
        Err(Failure::Usage(format!("--max-memory is {limit}, and {}, which needs least, needs {needs}", least.name)))
    }

    fn watch(&self) -> Watch {
        let pause = self.idle.unwrap_or(Duration::from_millis(if self.quick { 200 } else { 500 }));
        Watch { pause, buffers: self.buffers, max_memory: self.max_memory }
    }

    fn terms(&self) -> Terms<'static> {
        Terms { max_memory: self.max_memory, ..Terms::default() }
    }
}

/// Does what `options` ask for.
pub fn command(options: &Options) -> Result<ExitCode, Failure> {
    let rows = options.rows()?;
    let mut out = io::stdout().lock();
    if options.list {
        for row in &rows {
            writeln!(out, "{:<28} {}", row.name, row.operation)?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    let json = options.json.as_deref().map(Output::open).transpose()?;
    let effort = options.effort();
    let watch = Some(options.watch()).filter(Watch::is_on);
    let outcomes = measure(&rows, effort, options.terms(), watch, &mut out)?;
    write!(out, "{}", report::summary(&outcomes))?;
    if let Some(output) = json {
        output.write(|file| json::write(file, effort.rounds, watch.map(|watch| watch.pause), &outcomes))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Prints the table of each row as soon as it is there.
fn measure(
    rows: &[Row],
    effort: Effort,
    terms: Terms<'_>,
    watch: Option<Watch>,
    out: &mut impl Write,
) -> io::Result<Vec<Outcome>> {
    let machine = Machine::this();
    writeln!(out, "{}, {} cores, {}; {} rounds", machine.cpu, machine.cores, machine.kernel, effort.rounds)?;
    write!(out, "{}", watch.map_or_else(String::new, resident::words))?;
    writeln!(out)?;
    let bar = bar(rows.len());
    let mut outcomes = Vec::new();
    for row in rows {
        bar.set_message(row.name.clone());
        let mut measured = timing::measure(row, effort, terms);
        watch.map_or(Ok(()), |watch| watch.look(row, &mut measured))?;
        let outcome = Outcome::new(row, measured);
        bar.suspend(|| writeln!(out, "{}", outcome.table()))?;
        outcomes.push(outcome);
        bar.inc(1);
    }
    bar.finish_and_clear();
    Ok(outcomes)
}

/// Drawn on a terminal only: indicatif keeps silent when stderr is none.
fn bar(rows: usize) -> ProgressBar {
    let style = ProgressStyle::with_template("{wide_bar} {pos}/{len} {msg}");
    ProgressBar::new(rows as u64).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}
