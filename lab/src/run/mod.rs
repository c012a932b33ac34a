//! `run`: read every file of a tree into pooled buffers, hash it on other threads, and say what that cost.
//!
//! ```text
//! walk -> readers --(bounded channel per hashing thread)--> hashers -> one digest
//! ```
//!
//! Every chunk is one buffer that one thread fills and another drops. The same tree is read with a millpond pool and
//! with the global allocator in alternating rounds; both must give the same digest.
//!
//! A reader waits where the pool's budget is spent, with no buffer in hand, and those who hash wait for nothing but
//! buffers that are filled. So all the memory that a run must have is one chunk.

mod digest;
mod hasher;
mod loops;
mod problems;
mod reader;
mod report;
mod round;
mod sample;
mod source;
mod view;
mod walk;

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::builder::RangedU64ValueParser;
use indicatif::{ProgressBar, ProgressStyle};
use millpond::Budget;

use self::problems::Problems;
use self::report::Rounds;
use self::round::Shape;
use self::sample::Sample;
use self::source::Kind;
use self::view::View;
use self::walk::Tree;
use crate::board::Board;
use crate::failure::{Failure, complain};
use crate::size::Bytes;
use crate::{interrupt, memory, process};

/// Read every regular file under PATH into pooled buffers and hash it on other threads.
#[derive(clap::Args)]
pub struct Options {
    /// Directory or file to read [default: a sample tree of 512 MiB, made in the temporary folder and removed again]
    path: Option<PathBuf>,
    /// Reading threads, and as many hashing threads [default: half of the machine's]
    #[arg(long, value_name = "N", value_parser = up_to(1024))]
    threads: Option<usize>,
    /// Bytes per buffer, from 1 to 1GiB
    #[arg(long, value_name = "SIZE", default_value = "64KiB", value_parser = chunk)]
    chunk: usize,
    /// Where buffers come from [default: both, in alternating rounds]
    #[arg(long, value_enum)]
    pool: Option<Kind>,
    /// The most that a pool of millpond's may have, one chunk at least: readers wait while it is spent. What malloc gives
    /// has no limit [default: a quarter of what the process may use]
    #[arg(long, value_name = "SIZE", value_parser = memory::limit)]
    max_memory: Option<usize>,
    /// Rounds for each kind of buffers
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = up_to(1000))]
    rounds: usize,
    /// Size of the sample tree
    #[arg(long, value_name = "N", default_value_t = 512, hide = true)]
    sample_mib: u64,
}

fn up_to(most: u64) -> RangedU64ValueParser<usize> {
    RangedU64ValueParser::new().range(1..=most)
}

fn chunk(text: &str) -> Result<usize, String> {
    let Bytes(bytes) = text.parse()?;
    let bytes = usize::try_from(bytes).ok().filter(|bytes| (1..=1 << 30).contains(bytes));
    bytes.ok_or_else(|| format!("{text} is not between 1 and 1GiB"))
}

impl Options {
    fn kinds(&self) -> Vec<Kind> {
        self.pool.map_or_else(|| vec![Kind::Millpond, Kind::Malloc], |kind| vec![kind])
    }

    fn shape(&self) -> Shape {
        let threads = self.threads.unwrap_or_else(|| process::cores().div_ceil(2));
        Shape { threads, chunk: self.chunk, max_memory: self.max_memory }
    }

    /// Whether the memory allowed suffices for any progress at all.
    fn check_memory(&self) -> Result<(), Failure> {
        if !self.kinds().contains(&Kind::Millpond) {
            let unused = "--max-memory limits pools of millpond's, and --pool malloc has none";
            return self.max_memory.map_or(Ok(()), |_| Err(Failure::Usage(unused.to_owned())));
        }
        let process = Budget::process().limit();
        let (limit, whose) = match self.max_memory {
            Some(max) if max <= process => (max, "--max-memory"),
            _ => (process, "the memory that pools of this process may have"),
        };
        let needed = memory::charged(&[self.chunk]);
        if needed <= limit {
            return Ok(());
        }
        let [limit, chunk, needed] = [limit, self.chunk, needed].map(|bytes| Bytes(bytes as u64));
        Err(Failure::Usage(format!("{whose} is {limit}, and a buffer for a chunk of {chunk} needs {needed}")))
    }
}

/// Does what `options` ask for. Status 1 when something could not be read, or the digests of the rounds differ.
pub fn command(options: &Options) -> Result<ExitCode, Failure> {
    options.check_memory()?;
    interrupt::listen()?;
    let (problems, view) = (Problems::default(), View::default());
    let (all, links) = view.shown_on(&Board::open(), || match &options.path {
        Some(path) => rounds(path, options, &problems, &view),
        None => on_sample(options, &problems, &view),
    })?;
    io::stdout().write_all(report::text(&all, links).as_bytes())?;
    Ok(verdict(&all, &problems))
}

fn on_sample(options: &Options, problems: &Problems, view: &View) -> Result<(Vec<Rounds>, usize), Failure> {
    let bytes = options.sample_mib << 20;
    let bar = bar(bytes, "making a sample");
    view.phase(&bar);
    let sample = Sample::make(bytes, &bar)?;
    bar.finish_and_clear();
    let all = rounds(sample.path(), options, problems, view)?;
    sample.remove()?;
    Ok(all)
}

/// Walks the tree once, then reads it in alternating rounds; every other time the sources swap places, so that
/// neither always goes first.
fn rounds(path: &Path, options: &Options, problems: &Problems, view: &View) -> Result<(Vec<Rounds>, usize), Failure> {
    let spinner = ProgressBar::new_spinner().with_message("finding files");
    view.phase(&spinner);
    let tree = Tree::walk(path, problems, &spinner).map_err(|error| Failure::path(path, error))?;
    spinner.finish_and_clear();
    let shape = options.shape();
    let mut all: Vec<_> = options.kinds().into_iter().map(|kind| Rounds { kind, outcomes: Vec::new() }).collect();
    for number in 0..options.rounds {
        let mut order: Vec<_> = all.iter_mut().collect();
        if number % 2 == 1 {
            order.reverse();
        }
        for rounds in order {
            let bar = bar(tree.bytes(), &format!("round {} of {}, {}", number + 1, options.rounds, rounds.kind.name()));
            view.phase(&bar);
            rounds.outcomes.push(round::run(rounds.kind, &tree, shape, problems, &bar, view));
            bar.finish_and_clear();
            interrupt::check()?;
        }
    }
    Ok((all, tree.links))
}

/// Drawn on a terminal only: indicatif keeps silent when stderr is none.
fn bar(bytes: u64, doing: &str) -> ProgressBar {
    let style = ProgressStyle::with_template("{msg} {wide_bar} {bytes}/{total_bytes} {bytes_per_sec}");
    let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(bytes).with_style(style).with_message(doing.to_owned())
}

fn verdict(all: &[Rounds], problems: &Problems) -> ExitCode {
    let mut outcomes = all.iter().flat_map(|rounds| &rounds.outcomes);
    let first = outcomes.next().map(|outcome| outcome.digest);
    let same = outcomes.all(|outcome| Some(outcome.digest) == first);
    if !same {
        complain("the rounds' digests differ: files changed between them");
    }
    match problems.count() {
        0 if same => return ExitCode::SUCCESS,
        0 => {}
        1 => complain("1 problem, the rest was read"),
        n => complain(format_args!("{n} problems, the rest was read")),
    }
    ExitCode::FAILURE
}
