//! Replayed traces: how many gets found an idle buffer with each eviction.

use std::io;

use maud::{Markup, html};

use super::page::{self, Figure};
use crate::chart::Words;
use crate::chart::dots::{Dots, Line, Scale};
use crate::chart::number::{bytes, grouped};
use crate::evict::report::Document;

/// The charts of replayed traces.
pub const CHARTS: usize = 1;

pub fn facts(evict: &Document<'_>) -> Vec<(&'static str, String)> {
    vec![("traces", evict.traces.len().to_string())]
}

pub fn content(id: &str, evict: &Document<'_>) -> io::Result<Markup> {
    let lines = evict.traces.iter().map(|trace| Line {
        name: trace.trace.clone(),
        note: format!("{:+.1} points", trace.rates.clock_pro - trace.rates.lifo),
        figures: [trace.rates.lifo, trace.rates.clock_pro, trace.rates.clairvoyant].map(Some).into(),
        is_ours: false,
    });
    let cells = evict.traces.iter().map(|trace| {
        let rates = [trace.rates.lifo, trace.rates.clock_pro, trace.rates.clairvoyant].map(|rate| format!("{rate:.2}"));
        let counts = [grouped(trace.operations as u64), grouped(trace.gets), bytes(trace.max_idle)];
        std::iter::once(trace.trace.clone()).chain(counts).chain(rates).collect()
    });
    let heads = ["trace", "operations", "gets", "max idle", "Lifo %", "ClockPro %", "clairvoyant %"];
    let table = page::table(&heads, &cells.collect::<Vec<_>>());
    let (title, remark) = ("Gets that found an idle buffer", "At the right, by how much ClockPro is ahead of Lifo.");
    let id = format!("{id}-rates");
    let words = Words { id: &format!("{id}-svg"), title, description: remark };
    let dots = Dots { scale: Scale::Percent, marks: &["Lifo", "ClockPro", "clairvoyant"], lines: lines.collect() };
    let charts = vec![("all", dots.svg(&words)?)];
    let figure = page::figure(&Figure { id: &id, title, remark, charts, table, is_open: false });
    Ok(html! { div.grid { (figure) } })
}
