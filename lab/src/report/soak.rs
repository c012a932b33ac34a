//! A soak: memory, the crowd's budget and waiters over time, and all that was counted.

use std::io;

use maud::{Markup, html};

use super::page::{self, Figure};
use crate::chart::Words;
use crate::chart::number::{bytes, grouped};
use crate::chart::time;
use crate::soak::json::Document;
use crate::soak::plot::{CROWD, MEMORY, Panel, WAITERS, phases};
use crate::soak::sample::Sample;
use crate::soak::totals::Totals;
use crate::table::DASH;

/// The charts of a soak.
pub const CHARTS: usize = 3;

/// On paper for desks and for telephones.
const WIDE: u32 = 1000;
const NARROW: u32 = 360;
/// Rows of the tables behind charts, so that a long soak makes no long page.
const ROWS: usize = 60;

pub fn facts(soak: &Document<'_>) -> Vec<(&'static str, String)> {
    vec![
        ("threads", soak.threads.to_string()),
        ("budget", bytes(soak.limit as u64)),
        ("seed", soak.seed.to_string()),
        ("took", format!("{:.1} s of {:.1} s", soak.took, soak.asked)),
    ]
}

pub fn content(id: &str, soak: &Document<'_>) -> io::Result<Markup> {
    let memory = panel(&format!("{id}-memory"), &MEMORY, &soak.samples, 420, &memory_table(&soak.samples))?;
    let crowd = panel(&format!("{id}-crowd"), &CROWD, &soak.samples, 240, &crowd_table(&soak.samples))?;
    let waiters = panel(&format!("{id}-waiters"), &WAITERS, &soak.samples, 240, &waiters_table(&soak.samples))?;
    Ok(html! { (verdict(soak)) (memory) (crowd) (waiters) (tables(soak)) })
}

fn verdict(soak: &Document<'_>) -> Markup {
    let class = if soak.verdict.passed { "verdict passed" } else { "verdict failed" };
    html! {
        p class=(class) { (if soak.verdict.passed { "✓ " } else { "✗ " }) (soak.verdict.text()) }
        @if !soak.verdict.violations.is_empty() {
            div.failures { @for what in soak.verdict.violations.iter() { pre { (what) } } }
        }
    }
}

fn panel(id: &str, panel: &Panel, samples: &[Sample], high: u32, table: &Markup) -> io::Result<Markup> {
    let draw = |class: &'static str, size| {
        let words = Words { id: &format!("{id}-{class}"), title: panel.title, description: panel.description };
        panel.with(samples, |timeline| Ok::<_, io::Error>((class, time::svg(size, &words, timeline)?)))
    };
    let charts = vec![draw("wide", (WIDE, high))?, draw("narrow", (NARROW, 300))?];
    Ok(page::figure(&Figure {
        id,
        title: panel.title,
        remark: panel.description,
        charts,
        table: table.clone(),
        is_open: false,
    }))
}

/// Some of the samples, from the first to the last.
fn some(samples: &[Sample]) -> impl Iterator<Item = &Sample> {
    let last = samples.last().filter(|_| samples.len() % samples.len().div_ceil(ROWS).max(1) != 1);
    samples.iter().step_by(samples.len().div_ceil(ROWS).max(1)).chain(last)
}

fn at(sample: &Sample) -> String {
    format!("{:.1}", sample.at)
}

fn memory_table(samples: &[Sample]) -> Markup {
    let resident = |sample: &Sample| sample.resident.map_or_else(|| DASH.to_owned(), bytes);
    let phase = |sample: &Sample| if sample.silent { "silence" } else { "burst" }.to_owned();
    let cells = some(samples).map(|sample| {
        let Sample { outstanding, idle, used, limit, .. } = *sample;
        vec![at(sample), phase(sample), bytes(outstanding), bytes(idle), bytes(used), bytes(limit), resident(sample)]
    });
    let heads = ["seconds", "phase", "outstanding", "idle", "used", "limit", "resident"];
    page::table(&heads, &cells.collect::<Vec<_>>())
}

fn crowd_table(samples: &[Sample]) -> Markup {
    let cells = some(samples).map(|sample| vec![at(sample), bytes(sample.crowd_used), bytes(sample.crowd_limit)]);
    page::table(&["seconds", "used", "limit"], &cells.collect::<Vec<_>>())
}

fn waiters_table(samples: &[Sample]) -> Markup {
    let cells = some(samples).map(|sample| vec![at(sample), sample.waiters.to_string()]);
    page::table(&["seconds", "waiters"], &cells.collect::<Vec<_>>())
}

fn tables(soak: &Document<'_>) -> Markup {
    let totals = &soak.totals;
    let counted = |counts: &std::collections::BTreeMap<String, u64>| {
        counts.iter().map(|(name, count)| vec![name.clone(), grouped(*count)]).collect::<Vec<_>>()
    };
    let sheets = [
        ("Phases", &["phase", "from, s", "to, s"][..], phase_rows(&soak.samples)),
        ("Operations", &["operation", "times"], counted(&totals.operations)),
        ("Refusals", &["refused", "times"], counted(&totals.refusals)),
        ("Failures on purpose", &["what failed", "times"], failure_rows(soak)),
        ("Checks", &["what", ""], check_rows(totals)),
        ("Resident memory", &["when", ""], resident_rows(totals)),
    ];
    html! {
        div.grid {
            @for (name, heads, rows) in sheets { div.sheet { h3 { (name) } (page::scrolling(name, &page::table(heads, &rows))) } }
        }
    }
}

fn phase_rows(samples: &[Sample]) -> Vec<Vec<String>> {
    let name = |is_silent| if is_silent { "silence" } else { "burst" }.to_owned();
    phases(samples).map(|it| vec![name(it.is_silent), format!("{:.1}", it.from), format!("{:.1}", it.to)]).collect()
}

fn failure_rows(soak: &Document<'_>) -> Vec<Vec<String>> {
    let totals = &soak.totals;
    let allocations = if soak.starves { grouped(totals.allocation_failures) } else { "none in this build".to_owned() };
    vec![
        vec!["mappings".to_owned(), grouped(totals.system_failures)],
        vec!["allocations".to_owned(), allocations],
        vec!["the making of values".to_owned(), grouped(totals.create_failures)],
    ]
}

fn check_rows(totals: &Totals) -> Vec<Vec<String>> {
    let counts = [
        ("checkpoints", totals.checkpoints),
        ("of them with nobody inside wait", totals.exact_checkpoints),
        ("numbers compared", totals.compared),
        ("silences", totals.silences),
        ("of them long", totals.decayed_silences),
        ("most waiters", totals.most_waiters),
    ];
    let mut rows: Vec<_> = counts.into_iter().map(|(name, count)| vec![name.to_owned(), grouped(count)]).collect();
    rows.push(vec!["longest pause".to_owned(), format!("{:.0?}", totals.longest_pause)]);
    rows
}

fn resident_rows(totals: &Totals) -> Vec<Vec<String>> {
    let moments = [
        ("at the start", totals.resident_at_start),
        ("at most", totals.resident_peak),
        ("at most after a long silence", totals.resident_in_silences.iter().copied().max()),
        ("at the end", totals.resident_at_end),
    ];
    let figure = |figure: Option<u64>| figure.map_or_else(|| DASH.to_owned(), bytes);
    moments.into_iter().map(|(when, resident)| vec![when.to_owned(), figure(resident)]).collect()
}
