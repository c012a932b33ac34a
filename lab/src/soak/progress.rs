//! How far it is: a line that changes on a terminal, else a line now and then.

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use super::sample::Sample;
use crate::size::Bytes;

const LINE_EVERY: Duration = Duration::from_secs(10);

pub struct Progress {
    length: Duration,
    bar: Option<ProgressBar>,
    next_line: Duration,
}

impl Progress {
    pub fn new(length: Duration) -> Self {
        let bar = io::stderr().is_terminal().then(|| bar(length));
        Self { length, bar, next_line: LINE_EVERY }
    }

    pub fn show(&mut self, passed: Duration, sample: Option<&Sample>, operations: u64) -> io::Result<()> {
        let Some(sample) = sample else { return Ok(()) };
        if let Some(bar) = &self.bar {
            bar.set_position(passed.as_secs());
            bar.set_message(line(sample, operations));
        } else if passed >= self.next_line {
            self.next_line += LINE_EVERY;
            let (passed, length) = (passed.as_secs(), self.length.as_secs());
            writeln!(io::stdout(), "{passed:>5} s of {length}: {}", line(sample, operations))?;
        }
        Ok(())
    }

    pub fn finish(&self) {
        self.bar.iter().for_each(ProgressBar::finish_and_clear);
    }
}

fn bar(length: Duration) -> ProgressBar {
    let style = ProgressStyle::with_template("{elapsed} {wide_bar} {pos}/{len} s {msg}");
    ProgressBar::new(length.as_secs()).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

fn line(sample: &Sample, operations: u64) -> String {
    let phase = if sample.silent { "silence" } else { "burst" };
    let resident = sample.resident.map_or_else(String::new, |bytes| format!("{} resident, ", Bytes(bytes)));
    let (out, idle, waiters) = (Bytes(sample.outstanding), Bytes(sample.idle), sample.waiters);
    format!("{phase}, {resident}{out} out, {idle} idle, {waiters} in line, {operations} operations")
}
