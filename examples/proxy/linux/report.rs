//! What is printed: a line for each turn, and a table of all.

use std::io::{self, Write};
use std::time::Duration;

use crate::linux::options::Options;
use crate::linux::turn::Turn;
use crate::linux::way::Way;

const MIB: f64 = (1 << 20) as f64;

/// One turn, in a line.
pub(crate) fn line(out: &mut impl Write, round: usize, turn: &Turn) -> io::Result<()> {
    let Turn { way, tally, cpu, busy, .. } = turn;
    let (name, messages, cpu, peak) = (way.name(), tally.messages, seconds(*cpu), mib(busy.resident_peak));
    writeln!(out, "round {round}  {name:<8}  {messages} messages, {cpu:.2} s of processors, {peak:.1} MiB at most")?;
    out.flush()
}

/// All turns as a table in Markdown, and what the budget did.
pub(crate) fn write(out: &mut impl Write, options: &Options, turns: &[Turn]) -> io::Result<()> {
    let heads = [
        "",
        "MiB/s",
        "messages/s",
        "CPU s",
        "CPU ms/MiB",
        "longest ms",
        "started",
        "connected",
        "peak",
        "silent",
        "ended",
    ];
    let mut lines = vec![heads.map(str::to_owned).to_vec()];
    for way in Way::ALL {
        let of_way: Vec<_> = turns.iter().filter(|turn| turn.way == way).collect();
        lines.push(cells(way, options, &of_way));
    }
    writeln!(out)?;
    table(out, &lines)?;
    writeln!(
        out,
        "median of {} turns each, in brackets the best (of memory the highest). Messages: of those that\n\
         read at once. Processors and memory: of the proxy. The last five columns: MiB resident before anybody connected,\n\
         when all had, at most, after silence with all still connected, and when all had ended.\n",
        options.rounds
    )?;
    budget(out, options, turns)
}

fn cells(way: Way, options: &Options, turns: &[&Turn]) -> Vec<String> {
    let time = options.seconds as f64;
    let more = |digits, of: &dyn Fn(&Turn) -> f64| cell(digits, turns.iter().map(|turn| of(turn)).collect(), f64::max);
    let less = |digits, of: &dyn Fn(&Turn) -> f64| cell(digits, turns.iter().map(|turn| of(turn)).collect(), f64::min);
    vec![
        way.name().to_owned(),
        more(0, &|turn| mib(turn.tally.bytes) / time),
        more(0, &|turn| turn.tally.messages as f64 / time),
        less(2, &|turn| seconds(turn.cpu)),
        less(1, &|turn| seconds(turn.cpu) * 1e3 / mib(turn.tally.bytes)),
        less(0, &|turn| seconds(turn.tally.longest) * 1e3),
        more(1, &|turn| mib(turn.started.resident)),
        more(1, &|turn| mib(turn.connected.resident)),
        more(1, &|turn| mib(turn.busy.resident_peak)),
        more(1, &|turn| mib(turn.silent.resident)),
        more(1, &|turn| mib(turn.ended.resident)),
    ]
}

/// The median, and the one that counts as well.
fn cell(digits: usize, mut values: Vec<f64>, pick: fn(f64, f64) -> f64) -> String {
    values.sort_unstable_by(f64::total_cmp);
    match values.iter().copied().reduce(pick) {
        Some(picked) => format!("{:.digits$} ({picked:.digits$})", values[values.len() / 2]),
        None => "-".to_owned(),
    }
}

fn budget(out: &mut impl Write, options: &Options, turns: &[Turn]) -> io::Result<()> {
    let pools = || turns.iter().filter(|turn| turn.way == Way::Pool);
    let peak = pools().map(|turn| turn.ended.peak).max().unwrap_or(0);
    let waits: u64 = pools().map(|turn| turn.ended.waits).sum();
    let longest = pools().map(|turn| turn.ended.longest_wait).max().unwrap_or_default();
    let connections = options.connections * turns.len();
    writeln!(
        out,
        "budget       {:.2} MiB, of which {:.2} MiB were in use at most",
        mib(options.budget as u64),
        mib(peak)
    )?;
    writeln!(out, "waited       {waits} times for a buffer of the pool, {:.1} ms at most", seconds(longest) * 1e3)?;
    writeln!(out, "connections  {connections}, all ended in order, every byte compared")
}

fn table(out: &mut impl Write, lines: &[Vec<String>]) -> io::Result<()> {
    let widths: Vec<_> = (0..lines[0].len()).map(|column| lines.iter().map(|line| line[column].len()).max()).collect();
    for (number, line) in lines.iter().enumerate() {
        for (cell, width) in line.iter().zip(&widths) {
            write!(out, "| {cell:<0$} ", width.unwrap_or(0))?;
        }
        writeln!(out, "|")?;
        if number == 0 {
            writeln!(out, "|{}", "---|".repeat(line.len()))?;
        }
    }
    Ok(())
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / MIB
}

fn seconds(time: Duration) -> f64 {
    time.as_secs_f64()
}
