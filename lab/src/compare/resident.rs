//! What stays resident of a contender's memory: at the peak of a row's load, and after a pause with nothing out.
//!
//! Each contender has a process of its own, which is this program again: what one leaves behind is not another's, and
//! nobody begins with what an allocator kept from others. The processes of a row work one after another and pause
//! together. The pools live on, and so does the thread that ran the row; those that the row started have ended.
//!
//! Counted is memory without a file behind it, beyond what the process had before the contender was set up. What an
//! allocator keeps counts like what a pool keeps: both are lost to other programs.

use std::io::{self, BufRead, BufReader, Lines, Write};
use std::process::{Child, ChildStdout, Command, ExitCode, Stdio};
use std::thread;
use std::time::Duration;

use super::contender::{Cannot, Kind};
use super::crew;
use super::rows::{self, Cell, Row, Terms};
use super::timing::{self, Measured};
use crate::failure::Failure;
use crate::process;

/// This very program, even if its file has been replaced meanwhile. Where there is no such path, there are no figures
/// either.
const PROGRAM: &str = "/proc/self/exe";
const DEFAULT_DECAY: Duration = Duration::from_secs(10);

/// Bytes beyond what was there before.
#[derive(Clone, Copy, serde::Serialize, serde::Deserialize)]
pub struct Resident {
    pub peak: u64,
    pub idle: u64,
}

/// What is told to the processes.
#[derive(Clone, Copy)]
pub struct Watch {
    pub pause: Duration,
    pub buffers: Option<u64>,
    pub max_memory: Option<usize>,
}

impl Watch {
    /// Whether there is a pause, and a system that says what is resident.
    pub fn is_on(&self) -> bool {
        !self.pause.is_zero() && process::anonymous().is_some()
    }

    /// The interval of millpond's pools in these processes, where it is not the default: one that ends within the
    /// pause, with another for what lies in the cache of a thread that does nothing.
    pub fn decay(pause: Duration) -> Option<Duration> {
        Some(pause / 4).filter(|&interval| interval < DEFAULT_DECAY)
    }

    /// Adds what stays resident of those that have been measured.
    pub fn look(&self, row: &Row, measured: &mut [Measured]) -> io::Result<()> {
        let has_memory = |measured: &Measured| measured.figures.is_ok() && measured.kind != Kind::Queue;
        let pausing = measured.iter_mut().filter(|measured| has_memory(measured));
        let pausing: Vec<_> =
            pausing.map(|measured| Ok((self.start(row, measured)?, measured))).collect::<io::Result<_>>()?;
        for (pausing, measured) in pausing {
            measured.resident = pausing.finish()?;
        }
        Ok(())
    }

    /// Starts the process of a contender, and waits until its load is over.
    fn start(&self, row: &Row, measured: &Measured) -> io::Result<Pausing> {
        let mut command = Command::new(PROGRAM);
        command.args(["resident", &row.name, measured.contender]);
        command.args(["--pause", &self.pause.as_secs_f64().to_string()]);
        command.args(self.buffers.iter().map(|count| format!("--buffers={count}")));
        command.args(self.max_memory.iter().map(|bytes| format!("--max-memory={bytes}")));
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().map_err(refused)?;
        let mut lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
        let peak = number(&mut lines)?;
        Ok(Pausing { child, lines, peak })
    }
}

fn refused(error: io::Error) -> io::Error {
    let text = format!("no process for a look at resident memory (--idle 0 leaves it out): {PROGRAM}: {error}");
    io::Error::new(error.kind(), text)
}

/// What the columns say, for people.
pub fn words(Watch { pause, .. }: Watch) -> String {
    let decay = Watch::decay(pause).unwrap_or(DEFAULT_DECAY);
    format!(
        "at peak, when idle: resident beyond what was before the row, at most and {pause:?} after its last drop, each \
         contender in a process of its own;\npools and the thread that ran the row live on, threads that it started have \
         ended; millpond's decay is {decay:?} there\n"
    )
}

/// A process whose load is over.
struct Pausing {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    peak: Option<u64>,
}

impl Pausing {
    /// None where the process did not get to the end; why, it has said itself.
    fn finish(mut self) -> io::Result<Option<Resident>> {
        let idle = number(&mut self.lines)?;
        self.child.wait()?;
        Ok(self.peak.zip(idle).map(|(peak, idle)| Resident { peak, idle }))
    }
}

fn number(lines: &mut Lines<BufReader<ChildStdout>>) -> io::Result<Option<u64>> {
    Ok(lines.next().transpose()?.and_then(|line| line.parse().ok()))
}

/// Say what stays resident of one contender: a line at the peak of the row's load, one after the pause.
#[derive(clap::Args)]
#[command(hide = true)]
pub struct Options {
    row: String,
    contender: String,
    /// Seconds
    #[arg(long, value_parser = pause)]
    pause: Duration,
    #[arg(long)]
    buffers: Option<u64>,
    #[arg(long)]
    max_memory: Option<usize>,
}

/// A pause from the command line, in seconds.
pub fn pause(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is not a number of seconds from 0 to 3600");
    let seconds = text.parse().map_err(|_| wrong())?;
    let pause = Duration::try_from_secs_f64(seconds).map_err(|_| wrong())?;
    Some(pause).filter(|&pause| pause <= Duration::from_secs(3600)).ok_or_else(wrong)
}

/// What the process of a contender does.
pub fn command(options: &Options) -> Result<ExitCode, Failure> {
    let missing = || Failure::Usage(format!("there is no {} in a row {}", options.contender, options.row));
    let rows = rows::all(options.buffers);
    let row = rows.iter().find(|row| row.name == options.row).ok_or_else(missing)?;
    // Stacks and whatever else the system keeps of threads that have ended are no contender's.
    crew::together(vec![|| (); row.threads], |_| (), || ());
    process::forget_peak();
    let Some(before) = process::anonymous() else { return Ok(ExitCode::SUCCESS) };
    let terms =
        Terms { max_memory: options.max_memory, decay: Watch::decay(options.pause), only: Some(&options.contender) };
    let entry = row.entries(terms).pop().ok_or_else(missing)?;
    let cell = entry.cell.map_err(|cannot: Cannot| Failure::Usage(cannot.to_string()))?;
    pause_after_load(row, cell, before, options.pause)?;
    Ok(ExitCode::SUCCESS)
}

fn pause_after_load(row: &Row, cell: Box<dyn Cell>, before: u64, pause: Duration) -> io::Result<()> {
    let mut out = io::stdout().lock();
    let _alive = timing::load(row, cell);
    // The most that was resident includes the program itself, as far as it was needed by then.
    let peak = process::peak_resident().zip(process::file_backed()).map(|(peak, file)| peak.saturating_sub(file));
    writeln!(out, "{}", peak.unwrap_or(0).saturating_sub(before))?;
    thread::sleep(pause);
    writeln!(out, "{}", process::anonymous().unwrap_or(0).saturating_sub(before))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_is_some_seconds() {
        assert_eq!(pause("0"), Ok(Duration::ZERO));
        assert_eq!(pause("0.25"), Ok(Duration::from_millis(250)));
        for text in ["", "soon", "-1", "NaN", "inf", "3601"] {
            assert!(pause(text).unwrap_err().contains(text), "{text}");
        }
    }

    #[test]
    fn memory_decays_within_the_pause_or_as_it_always_does() {
        assert_eq!(Watch::decay(Duration::from_secs(2)), Some(Duration::from_millis(500)));
        assert_eq!(Watch::decay(Duration::from_secs(60)), None);
    }
}
