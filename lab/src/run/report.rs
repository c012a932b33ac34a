//! The table of a run: one line per source of buffers, medians and bests over its rounds.

use std::fmt::Write;

use super::round::Outcome;
use super::source::Kind;
use crate::size::Bytes;
use crate::table;

/// All rounds of one source.
pub struct Rounds {
    pub kind: Kind,
    pub outcomes: Vec<Outcome>,
}

impl Rounds {
    fn median(&self, figure: impl Fn(&Outcome) -> Option<f64>) -> Option<f64> {
        let mut figures: Vec<f64> = self.outcomes.iter().filter_map(figure).collect();
        figures.sort_unstable_by(f64::total_cmp);
        figures.get(figures.len() / 2).copied()
    }

    fn speed(&self) -> Option<f64> {
        self.median(|outcome| Some(outcome.mib_per_second()))
    }

    fn best(&self) -> Option<f64> {
        self.outcomes.iter().map(Outcome::mib_per_second).max_by(f64::total_cmp)
    }
}

/// Everything a run prints on stdout.
pub fn text(all: &[Rounds], links: usize) -> String {
    let mut text = String::new();
    let Some(first) = all.iter().flat_map(|rounds| &rounds.outcomes).next() else {
        return text;
    };
    // Writing into a string does not fail.
    let _ = writeln!(text, "files   {}{}", first.files, passed_by(links));
    let _ = writeln!(text, "bytes   {}", first.bytes);
    let _ = writeln!(text, "digest  {}\n", first.digest);
    let _ = writeln!(text, "{}", table(all));
    for statistics in all.iter().filter_map(|rounds| rounds.outcomes.last()?.statistics.as_ref()) {
        let _ = writeln!(text, "\nstatistics of the pool in its last round\n{}", statistics.trim_end());
    }
    text
}

fn passed_by(links: usize) -> String {
    match links {
        0 => String::new(),
        1 => " (1 symbolic link not followed)".to_owned(),
        n => format!(" ({n} symbolic links not followed)"),
    }
}

fn table(all: &[Rounds]) -> comfy_table::Table {
    let base = all.iter().find(|rounds| rounds.kind == Kind::Malloc).filter(|_| all.len() > 1).and_then(Rounds::speed);
    let mut heads = vec!["buffers", "rounds", "MiB/s", "best", "page faults", "peak resident"];
    heads.extend(base.map(|_| "x malloc"));
    let mut table = table::with_heads(&heads);
    for rounds in all {
        let mut cells = vec![
            rounds.kind.name().to_owned(),
            rounds.outcomes.len().to_string(),
            figure(rounds.speed(), |speed| format!("{speed:.0}")),
            figure(rounds.best(), |speed| format!("{speed:.0}")),
            figure(rounds.median(|outcome| Some(outcome.faults? as f64)), |faults| format!("{faults:.0}")),
            figure(rounds.median(|outcome| Some(outcome.peak? as f64)), |peak| Bytes(peak as u64).to_string()),
        ];
        cells.extend(base.map(|base| figure(rounds.speed(), |speed| format!("{:.2}", speed / base))));
        table.add_row(cells);
    }
    table
}

fn figure(value: Option<f64>, print: impl Fn(f64) -> String) -> String {
    value.map_or_else(|| table::DASH.to_owned(), print)
}
