//! How things stand in the proxy at some moment, as a line of numbers.

use std::fmt;
use std::time::Duration;

use crate::linux::Result;
use crate::linux::process;
use crate::linux::server::{ENDS, Proxy};
use crate::linux::source::Source;

/// How things stand. Bytes, unless it says otherwise; what concerns a pool is 0 where there is none.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Mark {
    /// Connections that have their upstream.
    pub(crate) open: u64,
    /// Memory of the process, now and the most there was.
    pub(crate) resident: u64,
    pub(crate) resident_peak: u64,
    pub(crate) cpu: Duration,
    /// Buffers that are out, and the most that was ever charged.
    pub(crate) out: u64,
    pub(crate) peak: u64,
    /// How often somebody waited for a buffer, and for how long at most.
    pub(crate) waits: u64,
    pub(crate) longest_wait: Duration,
    /// Connections that ended, by how.
    pub(crate) ends: [u64; ENDS],
}

impl Mark {
    pub(crate) fn now<S: Source>(proxy: &Proxy<S>) -> Mark {
        let (resident, resident_peak) = process::resident().unwrap_or_default();
        let mark = Mark {
            open: proxy.open(),
            resident,
            resident_peak,
            cpu: process::cpu(),
            ends: proxy.ends(),
            ..Mark::default()
        };
        match proxy.source.pool() {
            Some((pool, budget)) => {
                let stats = pool.stats();
                Mark {
                    out: stats.outstanding,
                    peak: budget.peak() as u64,
                    waits: stats.waits,
                    longest_wait: stats.longest_wait,
                    ..mark
                }
            }
            None => mark,
        }
    }

    pub(crate) fn read(words: &[String]) -> Result<Mark> {
        let numbers = words.iter().map(|word| word.parse()).collect::<Result<Vec<u64>, _>>()?;
        match numbers[..] {
            [open, resident, resident_peak, cpu, out, peak, waits, longest_wait, ref ends @ ..] => Ok(Mark {
                open,
                resident,
                resident_peak,
                cpu: Duration::from_micros(cpu),
                out,
                peak,
                waits,
                longest_wait: Duration::from_micros(longest_wait),
                ends: ends.try_into()?,
            }),
            _ => Err("the proxy says too little".into()),
        }
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Mark { open, resident, resident_peak, out, peak, waits, .. } = self;
        let (cpu, longest) = (self.cpu.as_micros(), self.longest_wait.as_micros());
        write!(f, "{open} {resident} {resident_peak} {cpu} {out} {peak} {waits} {longest}")?;
        self.ends.iter().try_for_each(|count| write!(f, " {count}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let mark = Mark {
            open: 1,
            resident: 2,
            resident_peak: 3,
            cpu: Duration::from_micros(4),
            out: 5,
            peak: 6,
            waits: 7,
            longest_wait: Duration::from_micros(8),
            ends: [9, 10, 11, 12, 13, 14],
        };
        let words: Vec<_> = mark.to_string().split(' ').map(str::to_owned).collect();
        assert_eq!(Mark::read(&words).unwrap(), mark);
        assert!(Mark::read(&words[1..]).is_err() && Mark::read(&[]).is_err());
    }
}
