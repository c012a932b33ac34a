//! A comparison: all rows in one chart, and each row in charts of its own.

use std::io;

use maud::{Markup, html};

use super::page::{self, Figure};
use crate::chart::Words;
use crate::chart::dots::{Dots, Line, Scale};
use crate::chart::number::{bytes, digits, time, times};
use crate::compare::contender::Kind;
use crate::compare::json::{Contender, Document, Row};
use crate::table::DASH;

pub fn facts(compare: &Document<'_>) -> Vec<(&'static str, String)> {
    let mut facts = vec![("rounds", compare.rounds.to_string())];
    facts.extend(compare.idle_seconds.map(|seconds| ("idle", format!("{seconds} s after the load"))));
    facts
}

/// The charts of a comparison.
pub fn charts(compare: &Document<'_>) -> usize {
    let of = |row: &Row<'_>| 1 + usize::from(is_watched(row)) + usize::from(is_waiting(row));
    usize::from(compare.rows.iter().any(is_ours)) + compare.rows.iter().map(of).sum::<usize>()
}

pub fn content(id: &str, compare: &Document<'_>) -> io::Result<Markup> {
    let mut groups = Vec::new();
    let indexed: Vec<_> = compare.rows.iter().enumerate().collect();
    for group in indexed.chunk_by(|one, next| family(one.1) == family(next.1)) {
        let figures = group.iter().map(|(at, row)| figures(&format!("{id}-row{at}"), row));
        groups.push((family(group[0].1), figures.collect::<io::Result<Vec<_>>>()?));
    }
    let summary = summary(id, compare)?;
    Ok(html! {
        @if let Some(summary) = summary { h3 { "All rows" } (summary) }
        @for (name, figures) in groups {
            h3 { (name) }
            div.grid { @for figure in figures.into_iter().flatten() { (figure) } }
        }
    })
}

/// What rows that belong together have in common.
fn family<'a>(row: &'a Row<'_>) -> &'a str {
    row.row.split_once('/').map_or(&row.row, |(family, _)| family)
}

fn is_ours(row: &Row<'_>) -> bool {
    row.best(Kind::Millpond).is_some()
}

fn is_watched(row: &Row<'_>) -> bool {
    row.contenders.iter().any(|contender| contender.resident_bytes.is_some())
}

fn is_waiting(row: &Row<'_>) -> bool {
    row.contenders.iter().any(|contender| contender.wait_ns.is_some())
}

fn or_dash(figure: Option<String>) -> String {
    figure.unwrap_or_else(|| DASH.to_owned())
}

const SIDES: [Kind; 3] = [Kind::Floor, Kind::Pool, Kind::Allocator];

/// Each row with the best of each side, as many times as long as millpond.
fn summary(id: &str, compare: &Document<'_>) -> io::Result<Option<Markup>> {
    let rows: Vec<_> = compare.rows.iter().filter(|row| is_ours(row)).collect();
    if rows.is_empty() {
        return Ok(None);
    }
    let line = |row: &&Row<'_>| Line {
        name: row.row.to_string(),
        note: row.best(Kind::Millpond).map_or_else(String::new, |best| time(best.1)),
        figures: SIDES.map(|kind| row.times(row.best(kind)?.1)).into(),
        is_ours: false,
    };
    let dots = Dots {
        scale: Scale::Times(1.0),
        marks: &["floor", "fastest pool", "fastest allocator"],
        lines: rows.iter().map(line).collect(),
    };
    let heads = ["row", "millpond", "floor", "×", "fastest pool", "×", "fastest allocator", "×"];
    let table = page::table(&heads, &rows.iter().map(|row| cells(row)).collect::<Vec<_>>());
    let title = "How many times as long others take";
    let remark = "Right of 1× millpond is faster. At the right its own time.";
    let id = format!("{id}-summary");
    let words = Words { id: &format!("{id}-svg"), title, description: &format!("{} rows. {remark}", rows.len()) };
    let charts = vec![("all", dots.svg(&words)?)];
    let figure = page::figure(&Figure { id: &id, title, remark, charts, table, is_open: true });
    Ok(Some(html! { div.overview { (figure) } }))
}

fn cells(row: &Row<'_>) -> Vec<String> {
    let mut cells = vec![row.row.to_string(), or_dash(row.best(Kind::Millpond).map(|best| time(best.1)))];
    for best in SIDES.map(|kind| row.best(kind)) {
        cells.push(or_dash(best.map(|(name, _)| name.to_owned())));
        cells.push(or_dash(best.and_then(|(_, time)| row.times(time)).map(times)));
    }
    cells
}

fn figures(id: &str, row: &Row<'_>) -> io::Result<Vec<Markup>> {
    let mut figures = vec![times_of(id, row)?];
    if is_waiting(row) {
        figures.push(waits_of(&format!("{id}-waits"), row)?);
    }
    if is_watched(row) {
        figures.push(memory_of(&format!("{id}-memory"), row)?);
    }
    Ok(figures)
}

fn is_millpond(contender: &Contender<'_>) -> bool {
    contender.side() == Some(Kind::Millpond)
}

fn times_of(id: &str, row: &Row<'_>) -> io::Result<Markup> {
    let ratio = |contender: &Contender<'_>| row.decisive(contender).and_then(|time| row.times(time)).map(times);
    let line = |contender: &&Contender<'_>| {
        let decisive = time(row.decisive(contender)?);
        let note = ratio(contender).filter(|_| !is_millpond(contender));
        Some(Line {
            name: contender.contender.to_string(),
            note: note.map_or(decisive.clone(), |ratio| format!("{decisive} · {ratio}")),
            figures: vec![contender.min_ns, contender.median_ns],
            is_ours: is_millpond(contender),
        })
    };
    let order = row.in_order();
    let lines: Vec<_> = order.iter().filter_map(line).collect();
    // Beyond a queue, places say nothing of ratios.
    let ours = row.best(Kind::Millpond).filter(|_| row.queue().is_none());
    let scale = ours.map_or(Scale::Time, |best| Scale::Times(best.1));
    let by = if row.is_passing() { "medians" } else { "minima" };
    let beyond = if row.queue().is_some() { ", beyond what the queue alone takes" } else { "" };
    let remark = format!("{}. Ratios are of {by}{beyond}.", row.operation);
    let description = lines.iter().map(|line| format!("{}: {}", line.name, line.note)).collect::<Vec<_>>().join("; ");
    let words = Words { id: &format!("{id}-svg"), title: &format!("Time of {}", row.row), description: &description };
    let charts = vec![("all", Dots { scale, marks: &["minimum", "median"], lines }.svg(&words)?)];
    let table = times_table(row, &order);
    Ok(page::figure(&Figure { id, title: &row.row, remark: &remark, charts, table, is_open: false }))
}

fn times_table(row: &Row<'_>, order: &[&Contender<'_>]) -> Markup {
    let cells = |contender: &&Contender<'_>| {
        let ratio = row.decisive(contender).and_then(|time| row.times(time));
        let remark = contender.cannot.as_deref().or(contender.note.as_deref());
        vec![
            contender.contender.to_string(),
            or_dash(contender.side().map(name)),
            or_dash(contender.min_ns.map(digits)),
            or_dash(contender.median_ns.map(digits)),
            or_dash(ratio.map(digits)),
            or_dash(contender.page_faults.map(digits)),
            remark.unwrap_or_default().to_owned(),
        ]
    };
    let heads = ["", "kind", "min ns", "median ns", "× millpond", "page faults", ""];
    page::table(&heads, &order.iter().map(cells).collect::<Vec<_>>())
}

fn name(kind: Kind) -> String {
    format!("{kind:?}").to_lowercase()
}

fn waits_of(id: &str, row: &Row<'_>) -> io::Result<Markup> {
    let order = row.in_order();
    let waiting = || order.iter().filter_map(|contender| Some((*contender, contender.wait_ns.as_ref()?)));
    let lines = waiting().map(|(contender, waits)| Line {
        name: contender.contender.to_string(),
        note: format!("99 % within {}", time(waits.p99.median)),
        figures: [&waits.p50, &waits.p99, &waits.longest].map(|wait| Some(wait.median)).into(),
        is_ours: is_millpond(contender),
    });
    let cells = waiting().map(|(contender, waits)| {
        let figures =
            [&waits.p50, &waits.p99, &waits.longest].map(|wait| [wait.min, wait.median, wait.max].map(digits));
        std::iter::once(contender.contender.to_string()).chain(figures.into_iter().flatten()).collect()
    });
    let heads = ["ns", "p50 min", "median", "max", "p99 min", "median", "max", "longest min", "median", "max"];
    let table = page::table(&heads, &cells.collect::<Vec<_>>());
    let title = format!("{}: waits", row.row);
    let remark = "What requests waited; medians over the rounds.";
    let dots = Dots { scale: Scale::Time, marks: &["half within", "99 % within", "longest"], lines: lines.collect() };
    let words = Words { id: &format!("{id}-svg"), title: &title, description: remark };
    let charts = vec![("all", dots.svg(&words)?)];
    Ok(page::figure(&Figure { id, title: &title, remark, charts, table, is_open: false }))
}

fn memory_of(id: &str, row: &Row<'_>) -> io::Result<Markup> {
    let order = row.in_order();
    let watched = || order.iter().filter_map(|contender| Some((*contender, contender.resident_bytes?)));
    let lines = watched().map(|(contender, resident)| Line {
        name: contender.contender.to_string(),
        note: format!("{}, then {}", bytes(resident.peak), bytes(resident.idle)),
        figures: [resident.idle, resident.peak].map(|bytes| Some(bytes as f64)).into(),
        is_ours: is_millpond(contender),
    });
    let cells = watched()
        .map(|(contender, resident)| vec![contender.contender.to_string(), bytes(resident.peak), bytes(resident.idle)]);
    let table = page::table(&["", "at peak", "when idle"], &cells.collect::<Vec<_>>());
    let title = format!("{}: memory", row.row);
    let remark = "Resident beyond what was there before the row, in a process of its own.";
    let dots = Dots { scale: Scale::Bytes, marks: &["when idle", "at peak"], lines: lines.collect() };
    let words = Words { id: &format!("{id}-svg"), title: &title, description: remark };
    let charts = vec![("all", dots.svg(&words)?)];
    Ok(page::figure(&Figure { id, title: &title, remark, charts, table, is_open: false }))
}
