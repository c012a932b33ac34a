//! The whole run: turns of all ways in alternating rounds.

use std::error::Error;
use std::io::{self, ErrorKind, Write};
use std::process::{Command, ExitCode};

use crate::linux::options::{Options, USAGE};
use crate::linux::turn::{Turn, turn};
use crate::linux::way::Way;
use crate::linux::{Result, limits, report, roles};

pub(crate) fn main() -> ExitCode {
    let words: Vec<_> = std::env::args_os().skip(1).collect();
    let part: Vec<_> = words.iter().map(|word| word.to_string_lossy().into_owned()).collect();
    let result = match Options::parse(words) {
        _ if roles::is_part(&part) => roles::play(&part),
        Ok(Some(options)) => run(&this_program, &options, &mut io::stdout().lock()).map(drop),
        Ok(None) => writeln!(io::stdout(), "{USAGE}").map_err(Into::into),
        Err(wrong) => {
            writeln!(io::stderr(), "proxy: {wrong}\n\n{USAGE}").ok();
            return ExitCode::from(2);
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        // The reader has seen enough.
        Err(error) if is_broken_pipe(&*error) => ExitCode::SUCCESS,
        Err(error) => {
            writeln!(io::stderr(), "proxy: {error}").ok();
            ExitCode::FAILURE
        }
    }
}

fn this_program(words: &[String]) -> io::Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(words);
    Ok(command)
}

/// Runs all turns, each with processes of its own, and says what came of them.
pub(crate) fn run(
    start: &impl Fn(&[String]) -> io::Result<Command>,
    options: &Options,
    out: &mut impl Write,
) -> Result<Vec<Turn>> {
    limits::raise(options.connections)?;
    let Options { connections, slow, seconds, rounds, .. } = options;
    writeln!(out, "{connections} connections, {slow} of them slow readers; {rounds} rounds of {seconds} s each")?;
    let mut ways = Way::ALL;
    let mut turns = Vec::new();
    for round in 1..=*rounds {
        for way in ways {
            let turn = turn(start, way, options).map_err(|error| format!("{}: {error}", way.name()))?;
            turn.check(options).map_err(|error| format!("{}: {error}", way.name()))?;
            report::line(out, round, &turn)?;
            turns.push(turn);
        }
        // A different one begins each time.
        ways.rotate_left(1);
    }
    report::write(out, options, &turns)?;
    Ok(turns)
}

fn is_broken_pipe(error: &(dyn Error + Send + Sync + 'static)) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == ErrorKind::BrokenPipe)
}
