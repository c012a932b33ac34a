//! Tables of a comparison: one per row, and a summary of all rows.

use super::contender::Kind;
use super::rows::Row;
use super::spread::Spread;
use super::timing::{Figures, Measured};
use crate::size::Bytes;
use crate::table;

/// A row and what came of it.
pub struct Outcome {
    pub row: String,
    pub operation: String,
    pub measured: Vec<Measured>,
}

impl Outcome {
    pub fn new(row: &Row, measured: Vec<Measured>) -> Self {
        Self { row: row.name.clone(), operation: row.operation.clone(), measured }
    }

    /// The figure that ratios are made of: the minimum, but the median where buffers pass through a queue or from task to
    /// task. There the shortest turns are those in which one side stood still for a while, so that nothing was passed
    /// between processors.
    fn decisive(&self, figures: Figures) -> f64 {
        let passing = self.measured.iter().any(|measured| measured.kind == Kind::Queue || measured.waits.is_some());
        if passing { figures.median } else { figures.min }
    }

    /// The least time of the contenders of this kind, and whose it is.
    fn best(&self, kind: Kind) -> Option<(&'static str, f64)> {
        let of_kind = self.measured.iter().filter(|measured| measured.kind == kind);
        of_kind
            .filter_map(|measured| Some((measured.contender, self.decisive(measured.figures.ok()?))))
            .min_by(|a, b| a.1.total_cmp(&b.1))
    }

    fn least(&self, kind: Kind) -> Option<f64> {
        self.best(kind).map(|best| best.1)
    }

    /// What a time costs beyond the row's queue, if it has one.
    fn on_top(&self, time: f64) -> f64 {
        time - self.least(Kind::Queue).unwrap_or(0.0)
    }

    /// Fastest first, dashes last. Ratios to millpond leave the queue out.
    pub fn table(&self) -> String {
        let (floor, queue) = (self.least(Kind::Floor), self.least(Kind::Queue));
        let millpond = self.least(Kind::Millpond).map(|time| self.on_top(time));
        let third = if queue.is_some() { "ns beyond queue" } else { "x floor" };
        let watched = self.measured.iter().any(|measured| measured.resident.is_some());
        let resident: &[_] = if watched { &["at peak", "when idle"] } else { &[] };
        let counted = self.measured.iter().any(|measured| measured.faults.is_some());
        let faults: &[_] = if counted { &["page faults"] } else { &[] };
        let heads = [&["", "min ns", "median ns", third, "x millpond"], faults, resident, &[""]].concat();
        let mut table = table::with_heads(&heads);
        let mut order: Vec<_> = self.measured.iter().collect();
        let rank = |measured: &Measured| measured.figures.map_or(f64::INFINITY, |figures| self.decisive(figures));
        order.sort_by(|a, b| rank(a).total_cmp(&rank(b)));
        for measured in order {
            let min = measured.figures.map(|figures| figures.min).ok();
            let median = measured.figures.map(|figures| figures.median).ok();
            let decisive = measured.figures.map(|figures| self.decisive(figures)).ok();
            let on_top = decisive.filter(|_| measured.kind != Kind::Queue).map(|time| self.on_top(time));
            let remark = measured.figures.err().map(|cannot| cannot.to_string()).or_else(|| measured.note.clone());
            let mut cells = vec![
                measured.contender.to_owned(),
                digits(min),
                digits(median),
                if queue.is_some() { digits(on_top) } else { ratio(decisive, floor) },
                ratio(on_top, millpond),
            ];
            cells.extend(counted.then(|| digits(measured.faults)));
            let resident = measured.resident;
            let figures = [resident.map(|resident| resident.peak), resident.map(|resident| resident.idle)];
            cells.extend(figures.map(bytes).into_iter().filter(|_| watched));
            cells.push(remark.unwrap_or_default());
            table.add_row(cells);
        }
        table
            .column_mut(heads.len() - 1)
            .expect("the last of the heads")
            .set_cell_alignment(comfy_table::CellAlignment::Left);
        format!("{}: {}\n{table}\n{}", self.row, self.operation, self.waits())
    }

    /// How long operations waited, in the rows that ask; the ratio is that of the medians of p99.
    fn waits(&self) -> String {
        let waits = |measured: &Measured| Some((measured.contender, measured.figures.ok()?, measured.waits?));
        let waited: Vec<_> = self.measured.iter().filter_map(waits).collect();
        if waited.is_empty() {
            return String::new();
        }
        let of_millpond = self.measured.iter().find(|measured| measured.kind == Kind::Millpond);
        let p99 = |waits: Spread<Figures>| waits.p99.median;
        let millpond = of_millpond.and_then(|measured| measured.waits).map(p99);
        let mut table = table::with_heads(&[
            "wait, ns",
            "a second",
            "p50 min",
            "p50 median",
            "p99 min",
            "p99 median",
            "x millpond",
            "longest median",
            "longest",
        ]);
        for (contender, figures, waits) in waited {
            table.add_row([
                contender.to_owned(),
                format!("{:.2e}", 1e9 / figures.median),
                digits(Some(waits.p50.min)),
                digits(Some(waits.p50.median)),
                digits(Some(waits.p99.min)),
                digits(Some(waits.p99.median)),
                ratio(Some(p99(waits)), millpond),
                digits(Some(waits.longest.median)),
                digits(Some(waits.longest.max)),
            ]);
        }
        // Two tables are one for Markdown where no line is between them.
        format!("\n{table}\n")
    }
}

/// All rows: millpond beside the floor, the fastest other pool and the fastest allocator. A ratio above one says how
/// many times as long the other takes; where buffers pass through a queue, beyond what the queue takes.
pub fn summary(outcomes: &[Outcome]) -> String {
    let mut table =
        table::with_heads(&["row", "millpond ns", "x floor", "fastest pool", "x", "fastest allocator", "x"]);
    for outcome in outcomes.iter().filter(|outcome| outcome.least(Kind::Millpond).is_some()) {
        let millpond = outcome.least(Kind::Millpond);
        let (pool, allocator) = (outcome.best(Kind::Pool), outcome.best(Kind::Allocator));
        let name = |best: Option<(&'static str, f64)>| best.map_or(table::DASH, |best| best.0).to_owned();
        let on_top = |time: Option<f64>| time.map(|time| outcome.on_top(time));
        table.add_row([
            outcome.row.clone(),
            digits(millpond),
            ratio(millpond, outcome.least(Kind::Floor)),
            name(pool),
            ratio(on_top(pool.map(|best| best.1)), on_top(millpond)),
            name(allocator),
            ratio(on_top(allocator.map(|best| best.1)), on_top(millpond)),
        ]);
    }
    for column in [3, 5] {
        table.column_mut(column).expect("seven columns").set_cell_alignment(comfy_table::CellAlignment::Left);
    }
    format!("{table}\n")
}

fn bytes(value: Option<u64>) -> String {
    value.map_or_else(|| table::DASH.to_owned(), |bytes| Bytes(bytes).to_string())
}

/// Three digits that count.
fn digits(value: Option<f64>) -> String {
    match value {
        None => table::DASH.to_owned(),
        Some(ns) if ns < 10.0 => format!("{ns:.2}"),
        Some(ns) if ns < 100.0 => format!("{ns:.1}"),
        Some(ns) => format!("{ns:.0}"),
    }
}

fn ratio(value: Option<f64>, base: Option<f64>) -> String {
    match value.zip(base) {
        None => table::DASH.to_owned(),
        Some((value, base)) if value < base * 10.0 => format!("{:.2}", value / base),
        Some((value, base)) => format!("{:.0}", value / base),
    }
}
