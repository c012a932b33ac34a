//! `evict`: which idle buffers give way when size classes compete for what may lie idle, and what that costs.
//!
//! A trace of gets and returns is replayed on a pool of each [`Eviction`], and for one that knows the future. They are
//! compared by their hit rates: the share of gets that found an idle buffer. All of it counts and nothing is timed, so the
//! figures are the same on every machine.

mod clairvoyant;
mod mix;
mod replay;
pub mod report;
mod seeds;
mod server;
mod trace;

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use millpond::Eviction;

use self::replay::Room;
use self::report::{Hits, Outcome};
use self::seeds::{SEEDS, Seed};
use self::trace::Trace;
use crate::failure::Failure;
use crate::output::Output;
use crate::size::Bytes;

/// Of the bytes that all classes need at their peaks, the percentage that may lie idle: enough for what is used often,
/// and too little for everything.
const SHARE: u64 = 40;

/// Replay gets and returns, and compare how many find an idle buffer with each eviction.
#[derive(clap::Args)]
pub struct Options {
    /// Replay FILE instead of the built-in traces: `+SIZE` gets a buffer, `-SIZE` returns one, a line each; # begins a comment
    #[arg(long, value_name = "FILE", conflicts_with = "only")]
    trace: Option<PathBuf>,
    /// Only built-in traces whose name contains NAME; may be given more than once
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// Bytes that may lie idle [default: 40 % of what the classes of the trace need at their peaks]
    #[arg(long, value_name = "SIZE")]
    max_idle: Option<Bytes>,
    /// Bytes that may lie in the thread's cache, out of eviction's reach; classes of up to 256KiB have one buffer there anyway
    #[arg(long, value_name = "SIZE", default_value = "0")]
    thread_cache: Bytes,
    /// Also write the figures to FILE
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write the traces to files in DIR instead of replaying them
    #[arg(long, value_name = "DIR", conflicts_with = "json")]
    write: Option<PathBuf>,
}

impl Options {
    /// The traces asked for. A name that no trace has is an error.
    fn traces(&self) -> Result<Vec<Trace>, Failure> {
        if let Some(path) = &self.trace {
            return Ok(vec![recorded(path)?]);
        }
        if let Some(name) = self.only.iter().find(|name| !SEEDS.iter().any(|seed| seed.name.contains(*name))) {
            let names = SEEDS.map(|seed| seed.name).join(", ");
            return Err(Failure::Usage(format!("no trace has `{name}` in its name; there are {names}")));
        }
        let asked = |seed: &&Seed| self.only.is_empty() || self.only.iter().any(|name| seed.name.contains(name));
        Ok(SEEDS.iter().filter(asked).map(Seed::trace).collect())
    }

    fn room(&self, trace: &Trace) -> Room {
        let max_idle = self.max_idle.map_or_else(|| trace.peaks().saturating_mul(SHARE) / 100, |Bytes(bytes)| bytes);
        Room { max_idle, thread_cache: self.thread_cache.0 }
    }
}

fn recorded(path: &Path) -> Result<Trace, Failure> {
    let text = fs::read_to_string(path).map_err(|error| Failure::path(path, error))?;
    let name = path.file_stem().unwrap_or_default().to_string_lossy();
    Trace::parse(&name, &text).map_err(|error| Failure::Usage(format!("{}: {error}", path.display())))
}

/// Does what `options` ask for.
pub fn command(options: &Options) -> Result<ExitCode, Failure> {
    let traces = options.traces()?;
    if let Some(folder) = &options.write {
        traces.iter().try_for_each(|trace| write(folder, trace))?;
        return Ok(ExitCode::SUCCESS);
    }
    let json = options.json.as_deref().map(Output::open).transpose()?;
    let outcomes: Vec<_> = traces.iter().map(|trace| replay(trace, options.room(trace))).collect::<Result<_, _>>()?;
    write!(io::stdout().lock(), "{}", report::table(&outcomes))?;
    if let Some(output) = json {
        output.write(|file| report::write_json(file, &outcomes))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn replay(trace: &Trace, room: Room) -> Result<Outcome, Failure> {
    let with = |eviction| replay::hits(trace, eviction, room).map_err(Failure::Usage);
    let hits = Hits {
        lifo: with(Eviction::Lifo)?,
        clock_pro: with(Eviction::ClockPro)?,
        clairvoyant: clairvoyant::hits(trace, room.max_idle),
    };
    Ok(Outcome::new(trace, room, hits))
}

fn write(folder: &Path, trace: &Trace) -> Result<(), Failure> {
    let path = folder.join(format!("{}.trace", trace.name));
    let mut file = BufWriter::new(File::create(&path).map_err(|error| Failure::path(&path, error))?);
    trace.write(&mut file)?;
    Ok(file.flush()?)
}
