//! The samples as a picture: memory above, who waits below, silences shaded.

use std::io;

use plotters::element::Text;
use plotters::style::text_anchor::HPos;

use super::conduct::{Outcome, Plan};
use super::json::Document;
use super::sample::Sample;
use crate::chart::ink::Ink;
use crate::chart::legend::Mark;
use crate::chart::time::{self, Series, Style, Timeline, Unit};
use crate::chart::{self, Area, Drawn, LETTERS, Words, letters};
use crate::process::Machine;
use crate::size::Bytes;

const SIZE: (u32, u32) = (1200, 760);
const LEFT: u32 = 16;
const HEAD: u32 = 78;
/// From where on the lower chart lies.
const LOWER: u32 = 520;
const TITLE: u32 = 28;

/// What is drawn of one chart.
pub struct Panel {
    pub title: &'static str,
    pub description: &'static str,
    unit: Unit,
    series: &'static [Drawing],
}

/// A figure of samples, and how it is drawn.
struct Drawing {
    name: &'static str,
    style: Style,
    ink: Ink,
    value: fn(&Sample) -> Option<u64>,
}

/// Areas first, so that lines lie on them. Idle memory lies on top of what is out.
pub const MEMORY: Panel = Panel {
    title: "Memory",
    description: "Bytes outstanding, idle bytes on top of them, what the budget is charged, what is resident, and the limit",
    unit: Unit::Bytes,
    series: &[
        Drawing {
            name: "idle (upon outstanding)",
            style: Style::Area,
            ink: Ink::Sky,
            value: |sample| Some(sample.outstanding + sample.idle),
        },
        Drawing { name: "outstanding", style: Style::Area, ink: Ink::Blue, value: |sample| Some(sample.outstanding) },
        Drawing {
            name: "budget used",
            style: Style::Line(Some(Mark::Circle)),
            ink: Ink::Text,
            value: |sample| Some(sample.used),
        },
        Drawing {
            name: "resident",
            style: Style::Line(Some(Mark::Triangle)),
            ink: Ink::Orange,
            value: |sample| sample.resident,
        },
        Drawing { name: "budget limit", style: Style::Limit, ink: Ink::Purple, value: |sample| Some(sample.limit) },
    ],
};

pub const CROWD: Panel = Panel {
    title: "The crowd's budget",
    description: "Bytes charged to the budget that is too small for all who want of it, and its limit",
    unit: Unit::Bytes,
    series: &[
        Drawing { name: "used", style: Style::Area, ink: Ink::Blue, value: |sample| Some(sample.crowd_used) },
        Drawing { name: "limit", style: Style::Limit, ink: Ink::Purple, value: |sample| Some(sample.crowd_limit) },
    ],
};

pub const WAITERS: Panel = Panel {
    title: "Requests that wait in line",
    description: "How many requests wait for memory, in all pools",
    unit: Unit::Count,
    series: &[Drawing { name: "waiters", style: Style::Area, ink: Ink::Purple, value: |sample| Some(sample.waiters) }],
};

impl Panel {
    /// Has the panel of these samples drawn.
    pub fn with<T>(&self, samples: &[Sample], draw: impl FnOnce(&Timeline<'_>) -> T) -> T {
        let of = |drawing: &Drawing| Series {
            name: drawing.name,
            style: drawing.style,
            ink: drawing.ink,
            points: samples.iter().filter_map(|sample| Some((sample.at, (drawing.value)(sample)? as f64))).collect(),
        };
        let series: Vec<_> = self.series.iter().map(of).collect();
        let silences: Vec<_> = phases(samples).filter(|phase| phase.is_silent).map(|it| (it.from, it.to)).collect();
        let end = samples.last().map_or(1.0, |sample| sample.at);
        draw(&Timeline { unit: self.unit, series: &series, silences: &silences, end })
    }
}

/// A burst or a silence, as far as samples show it.
pub struct Phase {
    pub is_silent: bool,
    /// Seconds.
    pub from: f64,
    pub to: f64,
}

/// From the first sample of one to the first of the next.
pub fn phases(samples: &[Sample]) -> impl Iterator<Item = Phase> + '_ {
    let mut runs = samples.chunk_by(|one, next| one.silent == next.silent).peekable();
    std::iter::from_fn(move || {
        let run = runs.next()?;
        let to = runs.peek().map_or(run[run.len() - 1].at, |next| next[0].at);
        Some(Phase { is_silent: run[0].silent, from: run[0].at, to })
    })
}

/// Writes the picture.
pub fn write(mut out: impl io::Write, plan: &Plan, outcome: &Outcome) -> io::Result<()> {
    out.write_all(picture(&Document::of(plan, outcome))?.as_bytes())
}

fn picture(soak: &Document<'_>) -> io::Result<String> {
    let title = format!("millpond-lab soak: {}", soak.verdict.text());
    let words =
        Words { id: "soak", title: &title, description: &format!("{}. {}", MEMORY.description, WAITERS.description) };
    chart::svg(SIZE, &words, |area| {
        area.fill(&Ink::Paper.rgb())?;
        head(area, &title, soak)?;
        for (panel, top, bottom) in [(MEMORY, HEAD, LOWER), (WAITERS, LOWER, SIZE.1 - 10)] {
            let part = area.clone().shrink((LEFT, top), (SIZE.0 - 2 * LEFT, bottom - top));
            part.draw(&Text::new(panel.title, (0, TITLE as i32 / 2), letters(15.0, Ink::Text, HPos::Left)))?;
            let (_, below) = part.split_vertically(TITLE);
            panel.with(&soak.samples, |timeline| time::draw(&below, timeline))?;
        }
        Ok(())
    })
}

/// What was run, and what came of it.
fn head(area: &Area<'_>, title: &str, soak: &Document<'_>) -> Drawn {
    let Machine { cpu, cores, kernel } = Machine::this();
    let (limit, operations) = (Bytes(soak.limit as u64), soak.totals.operations.values().sum::<u64>());
    let second = format!(
        "{:.0} s, {} threads, budget of {limit}, {operations} operations, {} checkpoints; {cpu}, {cores} cores, {kernel}",
        soak.took, soak.threads, soak.totals.checkpoints
    );
    area.draw(&Text::new(title, (LEFT as i32, 28), letters(20.0, Ink::Text, HPos::Left)))?;
    area.draw(&Text::new(second, (LEFT as i32, 56), letters(LETTERS, Ink::Faint, HPos::Left)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phases_follow_each_other() {
        let sample = |(at, silent)| Sample { at, silent, ..Sample::default() };
        let samples = [(0.0, false), (0.2, false), (0.4, true), (0.6, true), (0.8, false)].map(sample);
        let found: Vec<_> = phases(&samples).map(|phase| (phase.is_silent, phase.from, phase.to)).collect();
        assert_eq!(found, [(false, 0.0, 0.4), (true, 0.4, 0.8), (false, 0.8, 0.8)]);
        assert_eq!(phases(&[]).count(), 0);
    }
}
