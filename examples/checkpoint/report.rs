//! What is printed at the end: a table of all loads, and whether the pool is worth it.

use std::io::{self, Write};
use std::time::Duration;

use millpond::Stats;

use crate::load::Load;
use crate::ways::{Fresh, Mapped, Pooled, Way};

/// How many times as long as with the pool, memory alone is to take with fresh vectors.
const AIM: f64 = 3.8;

/// Stands where the system does not say.
const DASH: &str = "-";

/// The loads of each way as a table in Markdown, the checksum, what the pool did, and memory alone compared.
pub(crate) fn write(out: &mut impl Write, ways: &[(&str, Vec<Load>)], keep: bool, pool: &Stats) -> io::Result<()> {
    let mut heads = vec!["", "load", "memory ms", "read ms", "use ms", "drop ms", "whole ms", "page faults"];
    heads.extend(keep.then_some("MiB with all kept"));
    heads.push("MiB resident after");
    let mut lines = vec![heads.into_iter().map(str::to_owned).collect()];
    for (way, loads) in ways {
        let mut before = 0;
        for (number, load) in (1..).zip(loads) {
            let mut cells = vec![(*way).to_owned(), number.to_string()];
            let times = [load.memory, load.read, load.used, load.dropped, load.whole()];
            cells.extend(times.map(|time| format!("{:.2}", ms(time))));
            cells.push(load.faults.map_or_else(|| DASH.to_owned(), |faults| faults.to_string()));
            cells.extend(keep.then(|| mib(load.kept.map(|bytes| bytes + before))));
            before += load.stayed.unwrap_or(0);
            cells.push(mib(load.stayed.map(|_| before)));
            lines.push(cells);
        }
    }
    table(out, &lines)?;
    writeln!(out, "MiB: what the loads of that way alone have made resident in the process\n")?;
    checksums(out, ways)?;
    writeln!(out, "pool            {} gets, {} of them with fresh memory", pool.gets, pool.fresh + pool.oversize)?;
    verdict(out, ways)
}

fn checksums(out: &mut impl Write, ways: &[(&str, Vec<Load>)]) -> io::Result<()> {
    let mut sums: Vec<_> = ways.iter().flat_map(|(_, loads)| loads).map(|load| load.checksum).collect();
    let count = sums.len();
    sums.dedup();
    match sums[..] {
        [sum] => writeln!(out, "checksum        {sum:016x}, the same in all {count} loads"),
        _ => Err(io::Error::new(io::ErrorKind::InvalidData, format!("checksums differ: {sums:016x?}"))),
    }
}

/// Memory alone, in all loads but the first.
fn verdict(out: &mut impl Write, ways: &[(&str, Vec<Load>)]) -> io::Result<()> {
    let of = |name: &str| {
        let loads = ways.iter().find(|(way, _)| *way == name).map_or(&[][..], |(_, loads)| loads);
        let mut later: Vec<_> = loads.iter().skip(1).map(|load| ms(load.memory)).collect();
        later.sort_unstable_by(f64::total_cmp);
        later.get(later.len() / 2).copied().unwrap_or(f64::NAN)
    };
    let [fresh, pooled, mapped] = [Fresh::NAME, Pooled::NAME, Mapped::NAME].map(of);
    writeln!(
        out,
        "memory alone    {fresh:.2} ms with vectors, {pooled:.2} ms with the pool, {mapped:.2} ms with mmap: median of the \
         loads after the first"
    )?;
    let (times, of_mapped) = (fresh / pooled, mapped / pooled);
    writeln!(out, "                vectors take {times:.1} times as long as the pool, mmap {of_mapped:.1} times")?;
    let word = if times >= AIM { "reached" } else { "MISSED" };
    writeln!(out, "aim             vectors at least {AIM} times: {word}")
}

/// Columns of the same width, all but the first aligned to the right.
fn table(out: &mut impl Write, lines: &[Vec<String>]) -> io::Result<()> {
    let width = |column: usize| lines.iter().map(|line| line[column].len()).max().unwrap_or(0);
    let widths: Vec<_> = (0..lines[0].len()).map(width).collect();
    writeln!(out)?;
    for (number, line) in lines.iter().enumerate() {
        for (column, (cell, &width)) in line.iter().zip(&widths).enumerate() {
            if column == 0 { write!(out, "| {cell:<width$} |")? } else { write!(out, " {cell:>width$} |")? }
        }
        writeln!(out)?;
        if number == 0 {
            write!(out, "|{}|", "-".repeat(widths[0] + 2))?;
            widths[1..].iter().try_for_each(|width| write!(out, "{}:|", "-".repeat(width + 1)))?;
            writeln!(out)?;
        }
    }
    writeln!(out)
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn mib(bytes: Option<i64>) -> String {
    bytes.map_or_else(|| DASH.to_owned(), |bytes| format!("{:.1}", bytes as f64 / f64::from(1 << 20)))
}
