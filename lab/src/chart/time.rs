//! Figures over time: areas and lines from the beginning to the end, and stretches of time shaded.

use std::io;

use plotters::chart::{ChartBuilder, ChartContext};
use plotters::coord::cartesian::Cartesian2d;
use plotters::coord::types::RangedCoordf64;
use plotters::element::{PathElement, Rectangle};
use plotters::prelude::SVGBackend;
use plotters::series::AreaSeries;
use plotters::style::text_anchor::HPos;
use plotters::style::{Color, TRANSPARENT};

use super::ink::Ink;
use super::legend::{self, Mark, Sample, dashes};
use super::number;
use super::{Area, Drawn, LETTERS, Words, letters};

/// Pixels that the time is cut into columns of; of each the least and the most are drawn.
const COLUMN: usize = 2;
/// Marks on a line, so that it is known without its colour.
const MARKS: usize = 12;
const LEFT: u32 = 66;
const BOTTOM: u32 = 30;
/// For half of the last label.
const RIGHT: u32 = 26;

/// Figures over time, and how to write them.
pub struct Timeline<'a> {
    pub unit: Unit,
    /// Drawn in this order, so that lines should follow areas.
    pub series: &'a [Series],
    /// Seconds from and to which nobody worked.
    pub silences: &'a [(f64, f64)],
    /// Seconds.
    pub end: f64,
}

#[derive(Clone, Copy)]
pub enum Unit {
    Bytes,
    Count,
}

/// What is drawn over time.
pub struct Series {
    pub name: &'static str,
    pub ink: Ink,
    pub style: Style,
    /// Seconds, and the figure.
    pub points: Vec<(f64, f64)>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// From zero up.
    Area,
    Line(Option<Mark>),
    /// Broken, in steps: a limit.
    Limit,
}

impl Series {
    fn sample(&self) -> Sample {
        match self.style {
            Style::Area => Sample::Area(self.ink),
            Style::Line(mark) => Sample::Line(self.ink, mark),
            Style::Limit => Sample::Dashes(self.ink),
        }
    }
}

type Chart<'a, 'b> = ChartContext<'a, SVGBackend<'b>, Cartesian2d<RangedCoordf64, RangedCoordf64>>;

/// A chart of its own.
pub fn svg(size: (u32, u32), words: &Words<'_>, timeline: &Timeline<'_>) -> io::Result<String> {
    super::svg(size, words, |area| draw(area, timeline))
}

/// A chart on a part of the paper.
pub fn draw(area: &Area<'_>, timeline: &Timeline<'_>) -> Drawn {
    let (wide, high) = area.dim_in_pixel();
    let mut samples: Vec<_> = timeline.series.iter().map(|series| (series.sample(), series.name)).collect();
    if !timeline.silences.is_empty() {
        samples.push((Sample::Area(Ink::Shade), "silence"));
    }
    let names: Vec<_> = samples.iter().map(|(_, name)| *name).collect();
    let top = legend::height(&names, wide as i32);
    let (above, below) = area.split_vertically(top + 6);
    legend::draw(&above, &samples)?;
    let unit = Scale::of(timeline);
    let time = Clock::of(timeline.end);
    let columns = (wide - LEFT - RIGHT) as usize / COLUMN;
    let mut chart = ChartBuilder::on(&below)
        .x_label_area_size(BOTTOM)
        .y_label_area_size(LEFT)
        .margin_right(RIGHT)
        .margin_top(8)
        .build_cartesian_2d(0.0..time.end(), 0.0..unit.highest)?;
    for &(from, to) in timeline.silences {
        let corners = [(time.of_seconds(from), 0.0), (time.of_seconds(to), unit.highest)];
        chart.draw_series([Rectangle::new(corners, Ink::Shade.rgb().filled())])?;
    }
    let label = letters(LETTERS, Ink::Faint, HPos::Left);
    chart
        .configure_mesh()
        .x_labels((wide as usize / 110).clamp(3, 9))
        .y_labels((high as usize / 55).clamp(3, 7))
        .light_line_style(TRANSPARENT)
        .bold_line_style(Ink::Grid.rgb().stroke_width(1))
        .axis_style(Ink::Faint.rgb().stroke_width(1))
        .x_label_style(label.clone())
        .y_label_style(label)
        .x_label_formatter(&|value| format!("{} {}", plain(*value), time.name))
        .y_label_formatter(&|value| unit.label(*value))
        .draw()?;
    for series in timeline.series {
        let place = |&(at, value): &(f64, f64)| (time.of_seconds(at), value / unit.one);
        let points: Vec<_> = thinned(&series.points, columns).iter().map(place).collect();
        one(&mut chart, series, points)?;
    }
    Ok(())
}

fn one(chart: &mut Chart<'_, '_>, series: &Series, points: Vec<(f64, f64)>) -> Drawn {
    let ink = series.ink.rgb();
    match series.style {
        Style::Area => drop(chart.draw_series(AreaSeries::new(points, 0.0, ink.filled()))?),
        Style::Limit => {
            // Or dashes would begin anew at each point.
            let points = corners(&points);
            let area = chart.plotting_area();
            let place = |point| {
                let (x, y) = area.map_coordinate(&point);
                let (left, top) = area.get_base_pixel();
                (x - left, y - top)
            };
            let paper = area.strip_coord_spec();
            let next = points.iter().skip(1).chain(points.last());
            for (&from, &to) in points.iter().zip(next) {
                let (from, to, level) = (place(from), place(to), place((to.0, from.1)));
                dashes(&paper, (from, level), ink.stroke_width(2))?;
                paper.draw(&PathElement::new([level, to], ink.stroke_width(1)))?;
            }
        }
        Style::Line(mark) => {
            let every = points.len().div_ceil(MARKS).max(1);
            // Not all lines in the same places, where they may lie on each other.
            let first = if mark == Some(Mark::Circle) { every / 4 } else { every * 3 / 4 };
            let marked: Vec<_> = points.iter().copied().skip(first).step_by(every).collect();
            chart.draw_series([PathElement::new(points, ink.stroke_width(2))])?;
            let area = chart.plotting_area();
            let (left, top) = area.get_base_pixel();
            for (place, mark) in marked.into_iter().filter_map(|point| Some((area.map_coordinate(&point), mark?))) {
                mark.draw(&area.strip_coord_spec(), (place.0 - left, place.1 - top), series.ink)?;
            }
        }
    }
    Ok(())
}

/// The points at which a value is another one than before, and the last.
fn corners(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let same = points.chunk_by(|one, next| one.1 == next.1);
    same.filter_map(|run| run.first()).chain(points.last()).copied().collect()
}

/// Values in the unit that leaves the highest of them 1 or more.
struct Scale {
    one: f64,
    name: &'static str,
    highest: f64,
}

impl Scale {
    fn of(timeline: &Timeline<'_>) -> Self {
        let values = timeline.series.iter().flat_map(|series| &series.points);
        let highest = values.fold(0.0, |highest: f64, point| highest.max(point.1));
        let units = [(f64::from(1 << 30), "GiB"), (f64::from(1 << 20), "MiB"), (1024.0, "KiB"), (1.0, "B")];
        let fitting = units.into_iter().find(|&(one, _)| highest >= one).unwrap_or((1.0, "B"));
        let (one, name, least) = match timeline.unit {
            Unit::Bytes => (fitting.0, fitting.1, 1.0),
            // So that ticks are whole numbers.
            Unit::Count => (1.0, "", 4.0),
        };
        Self { one, name, highest: (highest / one * 1.06).max(least) }
    }

    fn label(&self, value: f64) -> String {
        format!("{} {}", plain(value), self.name).trim_end().to_owned()
    }
}

/// Seconds or minutes.
struct Clock {
    seconds: f64,
    one: f64,
    name: &'static str,
}

impl Clock {
    fn of(end: f64) -> Self {
        let (one, name) = match end {
            _ if end > 10_800.0 => (3600.0, "h"),
            _ if end > 180.0 => (60.0, "min"),
            _ => (1.0, "s"),
        };
        Self { seconds: end.max(1e-3), one, name }
    }

    fn end(&self) -> f64 {
        self.seconds / self.one
    }

    fn of_seconds(&self, seconds: f64) -> f64 {
        seconds / self.one
    }
}

/// Without what adding fractions leaves.
fn plain(value: f64) -> String {
    let rounded = (value * 1e4).round() / 1e4;
    if rounded >= 1000.0 && rounded.fract() == 0.0 { number::grouped(rounded as u64) } else { rounded.to_string() }
}

/// At most two values for each column: its least and its most, in their order.
fn thinned(values: &[(f64, f64)], columns: usize) -> Vec<(f64, f64)> {
    if values.len() <= 2 * columns {
        return values.to_vec();
    }
    let both = |column: &[(f64, f64)]| {
        let by_value = |one: &&(f64, f64), other: &&(f64, f64)| one.1.total_cmp(&other.1);
        let (least, most) = (column.iter().min_by(by_value).copied(), column.iter().max_by(by_value).copied());
        let mut both: Vec<_> = least.into_iter().chain(most).collect();
        both.sort_by(|one, other| one.0.total_cmp(&other.0));
        both
    };
    values.chunks(values.len().div_ceil(columns)).flat_map(both).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peaks_and_lows_survive_thinning() {
        let values: Vec<_> = (0..10_000).map(|at| (f64::from(at), f64::from(u8::from(at == 7777)))).collect();
        let thin = thinned(&values, 540);
        assert!(thin.len() <= 2 * 540);
        assert_eq!(thin.iter().filter(|(_, value)| *value == 1.0).count(), 1);
        assert!(thin.is_sorted_by(|one, next| one.0 <= next.0));
    }

    #[test]
    fn a_limit_goes_on_until_it_changes() {
        let limit = [(0.0, 5.0), (1.0, 5.0), (2.0, 3.0), (3.0, 3.0), (4.0, 3.0)];
        assert_eq!(corners(&limit), [(0.0, 5.0), (2.0, 3.0), (4.0, 3.0)]);
        assert_eq!(corners(&[]), []);
    }

    fn labels(unit: Unit, end: f64, highest: f64) -> String {
        let points = vec![(0.0, 0.0), (end, highest)];
        let series = [Series { name: "what", ink: Ink::Blue, style: Style::Line(Some(Mark::Circle)), points }];
        let words = Words { id: "x", title: "t", description: "d" };
        svg((600, 300), &words, &Timeline { unit, series: &series, silences: &[(0.0, end / 2.0)], end }).unwrap()
    }

    fn shows(svg: &str, text: &str) -> bool {
        svg.contains(&format!(">\n{text}\n</text>"))
    }

    #[test]
    fn axes_are_written_in_units_that_fit() {
        let svg = labels(Unit::Bytes, 60.0, 130.0 * 1024.0 * 1024.0);
        for text in ["100 MiB", "0 MiB", "20 s", "60 s", "what", "silence"] {
            assert!(shows(&svg, text), "no {text} in {svg}");
        }
        let svg = labels(Unit::Count, 600.0, 7.0);
        assert!(shows(&svg, "10 min") && shows(&svg, "6"), "{svg}");
        let svg = labels(Unit::Bytes, 0.0, 0.0);
        assert!(shows(&svg, "1 B"), "{svg}");
    }
}
