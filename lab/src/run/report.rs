//! The table of a run: one line per source of buffers, medians and bests over its rounds.

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
    let Some(first) = all.iter().flat_map(|rounds| &rounds.outcomes).next() else {
        return String::new();
    };
    let (files, bytes, digest) = (first.files, first.bytes, first.digest);
    let head = format!("files   {files}{}\nbytes   {bytes}\ndigest  {digest}\n\n{}\n", passed_by(links), table(all));
    let of_pools = all.iter().filter_map(|rounds| rounds.outcomes.last()?.statistics.as_ref());
    let statistics = of_pools.map(|text| format!("\nstatistics of the pool in its last round\n{}\n", text.trim_end()));
    head + &statistics.collect::<String>()
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
