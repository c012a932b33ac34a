//! The samples as a picture: memory above, who waits below, silences shaded.
//!
//! SVG is a few kinds of elements with numbers in them; a library for charts would be many times as long.

mod axis;

use std::io;

use self::axis::{Axis, Ticks};
use super::conduct::{Outcome, Plan};
use super::sample::Sample;
use crate::process::Machine;
use crate::size::Bytes;

const WIDTH: f64 = 1200.0;
const HEIGHT: f64 = 760.0;
const LEFT: f64 = 90.0;
const RIGHT: f64 = 1170.0;
const MEMORY: (f64, f64) = (120.0, 500.0);
const WAITERS: (f64, f64) = (570.0, 690.0);
/// Columns that the time is cut into; of each the least and the most are drawn.
const COLUMNS: usize = 540;
/// Values from which on lines are thin, so that they hide less of what is behind them.
const MANY: usize = 400;

/// What is drawn over time.
struct Series {
    name: &'static str,
    style: Style,
    colour: &'static str,
    value: fn(&Sample) -> f64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Style {
    /// From zero up.
    Area,
    Line,
    /// Thin and broken, in steps: a limit.
    Dashed,
}

/// Areas first, so that lines lie on them. Idle memory lies on top of what is out.
const BYTES: [Series; 5] = [
    Series {
        name: "idle (upon outstanding)",
        style: Style::Area,
        colour: "#9fd0e8",
        value: |sample| (sample.outstanding + sample.idle) as f64,
    },
    Series { name: "outstanding", style: Style::Area, colour: "#3b7fb0", value: |sample| sample.outstanding as f64 },
    Series { name: "budget used", style: Style::Line, colour: "#1a1a1a", value: |sample| sample.used as f64 },
    Series {
        name: "resident",
        style: Style::Line,
        colour: "#d95f02",
        value: |sample| sample.resident.unwrap_or(0) as f64,
    },
    Series { name: "budget limit", style: Style::Dashed, colour: "#c0143c", value: |sample| sample.limit as f64 },
];

const IN_LINE: Series =
    Series { name: "waiters", style: Style::Area, colour: "#7a5195", value: |sample| sample.waiters as f64 };

/// Writes the picture.
pub fn write(mut out: impl io::Write, plan: &Plan, outcome: &Outcome) -> io::Result<()> {
    out.write_all(picture(plan, outcome).as_bytes())
}

fn picture(plan: &Plan, outcome: &Outcome) -> String {
    let samples = &outcome.samples;
    let highest = |all: &[Series]| {
        let values = all.iter().flat_map(|series| samples.iter().map(series.value));
        values.fold(0.0, f64::max)
    };
    let time = Axis::new((LEFT, RIGHT), samples.last().map_or(1.0, |sample| sample.at), Ticks::Seconds);
    let bytes = Axis::new((MEMORY.1, MEMORY.0), highest(&BYTES), Ticks::Bytes);
    let waiters = Axis::new((WAITERS.1, WAITERS.0), highest(&[IN_LINE]).max(1.0), Ticks::Numbers);
    let mut svg = head(plan, outcome);
    for (panel, axis) in [(MEMORY, &bytes), (WAITERS, &waiters)] {
        silences(&mut svg, samples, &time, panel);
        grid(&mut svg, &time, axis, panel);
    }
    for series in &BYTES {
        draw(&mut svg, series, samples, &time, &bytes);
    }
    draw(&mut svg, &IN_LINE, samples, &time, &waiters);
    titles(&mut svg);
    legend(&mut svg);
    svg.push_str("</svg>\n");
    svg
}

/// What was run, and what came of it.
fn head(plan: &Plan, outcome: &Outcome) -> String {
    let machine = Machine::this();
    let verdict = match outcome.violations.len() {
        0 if outcome.interrupted => "ended early, all checks passed".to_owned(),
        0 => "all checks passed".to_owned(),
        1 => "1 CHECK FAILED".to_owned(),
        n => format!("{n} CHECKS FAILED"),
    };
    let (took, threads, limit) = (outcome.took.as_secs_f64(), plan.threads, Bytes(plan.limit as u64));
    let operations: u64 = outcome.totals.operations.values().sum();
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" width=\"{WIDTH}\" height=\"{HEIGHT}\" \
         font-family=\"Helvetica, Arial, sans-serif\" font-size=\"14\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
    );
    text(&mut svg, LEFT, 34.0, "start", "font-size=\"20\"", &format!("millpond-lab soak: {verdict}"));
    let second = format!(
        "{took:.0} s, {threads} threads, budget of {limit}, {operations} operations, {} checkpoints; {}, {} cores, {}",
        outcome.totals.checkpoints, machine.cpu, machine.cores, machine.kernel
    );
    text(&mut svg, LEFT, 58.0, "start", "fill=\"#555\"", &second);
    svg
}

fn text(svg: &mut String, x: f64, y: f64, anchor: &str, style: &str, content: &str) {
    let content = content.replace('&', "&amp;").replace('<', "&lt;");
    svg.push_str(&format!("<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" {style}>{content}</text>\n"));
}

fn rect(svg: &mut String, (left, right): (f64, f64), (top, bottom): (f64, f64), style: &str) {
    let (width, height) = (right - left, bottom - top);
    svg.push_str(&format!(
        "<rect x=\"{left:.1}\" y=\"{top:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" {style}/>\n"
    ));
}

fn line(svg: &mut String, from: (f64, f64), to: (f64, f64), style: &str) {
    let ((x1, y1), (x2, y2)) = (from, to);
    svg.push_str(&format!("<line x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\" {style}/>\n"));
}

/// Shades the time in which the workers rested.
fn silences(svg: &mut String, samples: &[Sample], time: &Axis, panel: (f64, f64)) {
    for run in samples.chunk_by(|one, next| one.silent == next.silent).filter(|run| run[0].silent) {
        let (from, to) = (run[0].at, run[run.len() - 1].at);
        rect(svg, (time.place(from), time.place(to)), panel, SILENCE);
    }
}

const SILENCE: &str = "fill=\"#e9e6dc\"";

fn grid(svg: &mut String, time: &Axis, axis: &Axis, (top, bottom): (f64, f64)) {
    for (value, label) in axis.ticks() {
        let y = axis.place(value);
        line(svg, (LEFT, y), (RIGHT, y), "stroke=\"#ccc\" stroke-width=\"0.7\"");
        text(svg, LEFT - 8.0, y + 5.0, "end", "", &label);
    }
    for (value, label) in time.ticks() {
        let x = time.place(value);
        line(svg, (x, bottom), (x, bottom + 5.0), "stroke=\"#333\"");
        text(svg, x, bottom + 20.0, "middle", "", &label);
    }
    line(svg, (LEFT, top), (LEFT, bottom), "stroke=\"#333\"");
    line(svg, (LEFT, bottom), (RIGHT, bottom), "stroke=\"#333\"");
}

fn titles(svg: &mut String) {
    text(svg, LEFT, MEMORY.0 - 12.0, "start", "font-weight=\"bold\"", "Memory");
    text(svg, LEFT, WAITERS.0 - 12.0, "start", "font-weight=\"bold\"", "Requests that wait in line");
    text(svg, (LEFT + RIGHT) / 2.0, HEIGHT - 24.0, "middle", "", "time since the start");
}

fn legend(svg: &mut String) {
    let mut x = 200.0;
    let y = MEMORY.0 - 17.0;
    for series in BYTES.iter() {
        match series.style {
            Style::Area => rect(svg, (x, x + 22.0), (y - 6.0, y + 6.0), &format!("fill=\"{}\"", series.colour)),
            style => line(svg, (x, y), (x + 22.0, y), &stroke(style, series.colour, 1.8)),
        }
        text(svg, x + 28.0, y + 5.0, "start", "", series.name);
        x += 50.0 + 7.2 * series.name.len() as f64;
    }
    rect(svg, (x, x + 22.0), (y - 6.0, y + 6.0), SILENCE);
    text(svg, x + 28.0, y + 5.0, "start", "", "silence");
}

fn stroke(style: Style, colour: &str, width: f64) -> String {
    let dashes = if style == Style::Dashed { " stroke-dasharray=\"6 4\"" } else { "" };
    format!("fill=\"none\" stroke=\"{colour}\" stroke-width=\"{width}\" stroke-linejoin=\"round\"{dashes}")
}

fn draw(svg: &mut String, series: &Series, samples: &[Sample], time: &Axis, axis: &Axis) {
    let values = thinned(samples.iter().map(|sample| (sample.at, (series.value)(sample))).collect());
    let Some((first, last)) = values.first().zip(values.last()) else { return };
    let place = |at, value| format!("{:.1},{:.1}", time.place(at), axis.place(value));
    let mut points: Vec<_> = values.iter().map(|&(at, value)| place(at, value)).collect();
    if series.style == Style::Dashed {
        let corners = values.windows(2).map(|pair| place(pair[1].0, pair[0].1));
        points =
            points.iter().cloned().zip(corners).flat_map(<[String; 2]>::from).chain(points.last().cloned()).collect();
    }
    let style = if series.style == Style::Area {
        points.insert(0, place(first.0, 0.0));
        points.push(place(last.0, 0.0));
        format!("fill=\"{}\" fill-opacity=\"0.9\"", series.colour)
    } else {
        stroke(series.style, series.colour, if values.len() < MANY { 1.8 } else { 1.0 })
    };
    let (name, points) = (series.name, points.join(" "));
    svg.push_str(&format!("<polyline points=\"{points}\" {style}><title>{name}</title></polyline>\n"));
}

/// At most two values for each column: its least and its most, in their order.
fn thinned(values: Vec<(f64, f64)>) -> Vec<(f64, f64)> {
    if values.len() <= 2 * COLUMNS {
        return values;
    }
    let both = |column: &[(f64, f64)]| {
        let by_value = |one: &&(f64, f64), other: &&(f64, f64)| one.1.total_cmp(&other.1);
        let (least, most) = (column.iter().min_by(by_value).copied(), column.iter().max_by(by_value).copied());
        let mut both: Vec<_> = least.into_iter().chain(most).collect();
        both.sort_by(|one, other| one.0.total_cmp(&other.0));
        both
    };
    values.chunks(values.len().div_ceil(COLUMNS)).flat_map(both).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peaks_and_lows_survive_thinning() {
        let values: Vec<_> = (0..10_000).map(|at| (f64::from(at), f64::from(u8::from(at == 7777)))).collect();
        let thin = thinned(values);
        assert!(thin.len() <= 2 * COLUMNS);
        assert_eq!(thin.iter().filter(|(_, value)| *value == 1.0).count(), 1);
        assert!(thin.is_sorted_by(|one, next| one.0 <= next.0));
    }
}
