//! What the command line asks for.

use std::ffi::OsString;

use crate::linux::settings::Settings;

pub(crate) const USAGE: &str = "\
usage: proxy [--connections N] [--slow N] [--seconds N] [--rounds N] [--budget SIZE]

  --connections N  so many connections at once, from 1 to 20000 [4000]
  --slow N         so many of them send faster than they read [an eighth]
  --seconds N      traffic for so long in each turn, from 1 to 600 [3]
  --rounds N       so many turns of each kind of buffers, from 1 to 100 [3]
  --budget SIZE    the pool's memory, as 8MiB, from 128KiB on [8MiB]
  --help           print this";

/// What the command line asks for.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Options {
    pub(crate) connections: usize,
    pub(crate) slow: usize,
    pub(crate) seconds: u64,
    pub(crate) rounds: usize,
    /// In bytes.
    pub(crate) budget: usize,
}

impl Options {
    /// None: the usage is asked for. An error says what is wrong.
    pub(crate) fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Option<Self>, String> {
        let mut options = Options { connections: 4000, slow: 0, seconds: 3, rounds: 3, budget: 8 << 20 };
        let mut slow = None;
        let mut arguments = arguments.into_iter().map(|argument| argument.to_string_lossy().into_owned());
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().ok_or_else(|| format!("{argument} needs a value"));
            match &*argument {
                "--connections" => options.connections = number(&argument, &value()?, 1, 20_000)?,
                "--slow" => slow = Some(number(&argument, &value()?, 0, 20_000)?),
                "--seconds" => options.seconds = number(&argument, &value()?, 1, 600)? as u64,
                "--rounds" => options.rounds = number(&argument, &value()?, 1, 100)?,
                "--budget" => options.budget = budget(&value()?)?,
                "--help" | "-h" => return Ok(None),
                _ => return Err(format!("there is no option {argument:?}")),
            }
        }
        options.slow = slow.unwrap_or(options.connections / 8);
        match options.slow >= options.connections {
            true => Err(format!("--slow is {}, and must leave some of {}", options.slow, options.connections)),
            false => Ok(Some(options)),
        }
    }
}

fn number(option: &str, text: &str, least: usize, most: usize) -> Result<usize, String> {
    let wrong = || format!("{option} is {text:?}, and must be a number from {least} to {most}");
    text.parse().ok().filter(|number| (least..=most).contains(number)).ok_or_else(wrong)
}

/// Eight buffers at least.
fn budget(text: &str) -> Result<usize, String> {
    let least = 8 * Settings::new(0).chunk;
    let wrong = || format!("--budget is {text:?}, and must be a size from {}KiB, as 8MiB", least >> 10);
    bytes(text).filter(|&bytes| bytes >= least).ok_or_else(wrong)
}

/// A number of bytes: digits, then nothing, `KiB`, `MiB` or `GiB`, which may be shortened.
fn bytes(text: &str) -> Option<usize> {
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
    let shift = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 10,
        "m" | "mb" | "mib" => 20,
        "g" | "gb" | "gib" => 30,
        _ => return None,
    };
    number.parse::<usize>().ok()?.checked_mul(1 << shift)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &[&str]) -> Result<Option<Options>, String> {
        Options::parse(arguments.iter().map(OsString::from))
    }

    #[test]
    fn the_defaults_are_four_thousand_connections_within_eight_mebibytes() {
        let options = parse(&[]).unwrap().unwrap();
        assert_eq!(options, Options { connections: 4000, slow: 500, seconds: 3, rounds: 3, budget: 8 << 20 });
        let all = ["--slow", "1", "--connections", "16", "--seconds", "2", "--rounds", "5", "--budget", "1m"];
        let options = parse(&all).unwrap().unwrap();
        assert_eq!(options, Options { connections: 16, slow: 1, seconds: 2, rounds: 5, budget: 1 << 20 });
        assert_eq!(parse(&["--rounds", "2", "--help"]), Ok(None));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (arguments, text) in [
            (&["--budget"][..], "--budget needs a value"),
            (&["--budget", "127KiB"], "\"127KiB\", and must be a size from 128KiB"),
            (&["--budget", "99999999999GiB"], "\"99999999999GiB\""),
            (&["--connections", "0"], "\"0\", and must be a number from 1 to 20000"),
            (&["--connections", "many"], "\"many\""),
            (&["--connections", "8", "--slow", "8"], "--slow is 8, and must leave some of 8"),
            (&["--seconds", "601"], "from 1 to 600"),
            (&["--fast"], "there is no option \"--fast\""),
            (&["upstreams"], "\"upstreams\""),
        ] {
            let wrong = parse(arguments).unwrap_err();
            assert!(wrong.contains(text), "{wrong}");
        }
    }
}
