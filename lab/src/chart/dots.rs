//! Figures side by side: a line for each name with a mark for each of its figures, by Cleveland and McGill, "Graphical
//! perception", 1984. Names and figures stand above the lines, so that a narrow chart holds long ones.

use std::io;

use plotters::element::{PathElement, Text};
use plotters::style::Color;
use plotters::style::text_anchor::HPos;

use super::ink::Ink;
use super::legend::{self, Mark, Sample};
use super::number;
use super::{Area, Drawn, LETTERS, Words, fitting, letters, width};

/// Pixels of all of these charts: a telephone's.
pub const WIDE: u32 = 360;
const LINE: i32 = 40;
const BOTTOM: i32 = 26;
const SMALL: f64 = 12.0;
/// So that marks at the ends are whole.
const EDGE: i32 = 10;

pub struct Dots<'a> {
    pub scale: Scale,
    /// Of the first, second and third figure of each line.
    pub marks: &'a [&'static str],
    pub lines: Vec<Line>,
}

/// How figures are placed and written.
#[derive(Clone, Copy)]
pub enum Scale {
    /// Ratios to this figure, each step so many times the one before; the figure itself is a line down the chart.
    Times(f64),
    /// Nanoseconds, each step so many times the one before.
    Time,
    Bytes,
    Percent,
}

impl Scale {
    fn is_logarithmic(self) -> bool {
        matches!(self, Self::Times(_) | Self::Time)
    }
}

pub struct Line {
    pub name: String,
    /// What stands at the right end, above the line.
    pub note: String,
    pub figures: Vec<Option<f64>>,
    /// Whether the line is the one that the chart is about.
    pub is_ours: bool,
}

const MARKS: [(Mark, Ink); 3] = [(Mark::Circle, Ink::Blue), (Mark::Diamond, Ink::Orange), (Mark::Triangle, Ink::Green)];

impl Dots<'_> {
    fn samples(&self) -> Vec<(Sample, &'static str)> {
        MARKS.iter().zip(self.marks).map(|(&(mark, ink), name)| (Sample::Mark(ink, mark), *name)).collect()
    }

    /// None where the scale has no place for it.
    fn drawn(&self, figure: Option<f64>) -> Option<f64> {
        figure.filter(|&figure| figure > 0.0 || !self.scale.is_logarithmic())
    }

    fn top(&self) -> i32 {
        legend::height(self.marks, WIDE as i32) + 6
    }

    pub fn svg(&self, words: &Words<'_>) -> io::Result<String> {
        let high = self.top() + self.lines.len() as i32 * LINE + BOTTOM;
        super::svg((WIDE, high as u32), words, |area| self.draw(area))
    }

    fn draw(&self, area: &Area<'_>) -> Drawn {
        let (above, below) = area.split_vertically(self.top());
        legend::draw(&above, &self.samples())?;
        let figures = self.lines.iter().flat_map(|line| &line.figures).filter_map(|&figure| self.drawn(figure));
        let axis = Axis::new(self.scale, figures, (EDGE, WIDE as i32 - EDGE));
        let bottom = self.lines.len() as i32 * LINE + 4;
        for (x, label) in axis.ticks() {
            below.draw(&PathElement::new([(x, 0), (x, bottom)], Ink::Grid.rgb().stroke_width(1)))?;
            // Not beyond the edges.
            let half = width(&label, SMALL) / 2 + 6;
            let x = x.clamp(half, WIDE as i32 - half);
            below.draw(&Text::new(label, (x, bottom + 12), letters(SMALL, Ink::Faint, HPos::Center)))?;
        }
        if let Scale::Times(base) = self.scale {
            let x = axis.place(base);
            below.draw(&PathElement::new([(x, 0), (x, bottom)], Ink::Faint.rgb().stroke_width(1)))?;
        }
        for (line, y) in self.lines.iter().zip((0..).step_by(LINE as usize)) {
            self.line(&below, line, &axis, y)?;
        }
        Ok(())
    }

    fn line(&self, area: &Area<'_>, line: &Line, axis: &Axis, y: i32) -> Drawn {
        let (names, track) = (y + 12, y + 28);
        let right = WIDE as i32;
        // On paper of their own, so that no line of the grid runs through letters.
        let behind = plotters::element::Rectangle::new([(0, y + 3), (right, y + 20)], Ink::Paper.rgb().filled());
        area.draw(&behind)?;
        let name = fitting(&line.name, LETTERS, right - width(&line.note, LETTERS) - 24);
        let ours = if line.is_ours { "▸ " } else { "" };
        area.draw(&Text::new(format!("{ours}{name}"), (0, names), letters(LETTERS, Ink::Text, HPos::Left)))?;
        area.draw(&Text::new(line.note.clone(), (right - 1, names), letters(LETTERS, Ink::Faint, HPos::Right)))?;
        let places: Vec<_> = line.figures.iter().map(|&figure| self.drawn(figure).map(|it| axis.place(it))).collect();
        let all = places.iter().flatten();
        if let Some((&least, &most)) = all.clone().min().zip(all.max()) {
            area.draw(&PathElement::new([(least, track), (most, track)], Ink::Faint.rgb().stroke_width(3)))?;
        }
        // The first on top: where marks fall together, it is the one to be seen.
        for (place, (mark, ink)) in places.iter().zip(MARKS).rev() {
            place.map_or(Ok(()), |x| mark.draw(area, (x, track), ink))?;
        }
        Ok(())
    }
}

/// Where figures lie between the left and the right end.
struct Axis {
    scale: Scale,
    low: f64,
    high: f64,
    ends: (i32, i32),
}

/// About as many labels as there is room for.
const LABELS: f64 = 6.0;

impl Axis {
    fn new(scale: Scale, figures: impl Iterator<Item = f64>, ends: (i32, i32)) -> Self {
        let unit = if let Scale::Times(base) = scale { base } else { 1.0 };
        let of_unit: Vec<_> = figures.map(|figure| figure / unit).collect();
        let (low, high) = of_unit.iter().fold((f64::MAX, f64::MIN), |(low, high), &it| (low.min(it), high.max(it)));
        let (low, high) = match scale {
            Scale::Percent => (0.0, 100.0),
            Scale::Bytes => (0.0, high.max(1.0) * 1.04),
            // The middle of a factor of two at least, so that tiny differences look tiny.
            Scale::Times(_) => (low.min(0.7) * 0.92, high.max(1.5) * 1.08),
            Scale::Time if low > high => (1.0, 10.0),
            Scale::Time => ((low * 0.92).min(high / 2.2), high * 1.08),
        };
        Self { scale, low, high, ends }
    }

    fn unit(&self) -> f64 {
        if let Scale::Times(base) = self.scale { base } else { 1.0 }
    }

    fn place(&self, figure: f64) -> i32 {
        let value = figure / self.unit();
        let share = if self.scale.is_logarithmic() {
            (value / self.low).ln() / (self.high / self.low).ln()
        } else {
            (value - self.low) / (self.high - self.low)
        };
        self.ends.0 + (share * f64::from(self.ends.1 - self.ends.0)).round() as i32
    }

    /// Round values, and how they are written.
    fn ticks(&self) -> Vec<(i32, String)> {
        let values = match self.scale {
            Scale::Percent => vec![0.0, 25.0, 50.0, 75.0, 100.0],
            Scale::Bytes => self.doublings(),
            Scale::Times(_) | Scale::Time => self.decades(),
        };
        values.into_iter().map(|value| (self.place(value * self.unit()), self.label(value))).collect()
    }

    fn label(&self, value: f64) -> String {
        match self.scale {
            Scale::Percent => format!("{value} %"),
            Scale::Bytes => number::bytes(value as u64),
            Scale::Times(_) => format!("{}×", short(value)),
            Scale::Time => {
                let units = [(1e9, "s"), (1e6, "ms"), (1e3, "µs"), (1.0, "ns")];
                let (unit, name) = units.into_iter().find(|&(unit, _)| value >= unit).unwrap_or((1.0, "ns"));
                format!("{} {name}", short(value / unit))
            }
        }
    }

    /// Multiples of a power of two, from zero.
    fn doublings(&self) -> Vec<f64> {
        let mut step = 1.0;
        while self.high / step > LABELS - 1.5 {
            step *= 2.0;
        }
        (0..).map(|nth| f64::from(nth) * step).take_while(|&value| value <= self.high).collect()
    }

    /// 1, 2 and 5 times powers of ten, or 1 and 3 times; the powers alone, or every so many of them, where there are many.
    fn decades(&self) -> Vec<f64> {
        let decades = (self.high / self.low).log10();
        let steps: &[f64] = match decades {
            _ if decades <= 1.7 => &[1.0, 2.0, 5.0],
            _ if decades <= 2.6 => &[1.0, 3.0],
            _ => &[1.0],
        };
        let every = (decades / LABELS).ceil().max(1.0) as i32;
        let powers = (self.low.log10().floor() as i32..=self.high.log10().ceil() as i32).filter(|p| p % every == 0);
        let values = powers.flat_map(|power| steps.iter().map(move |step| step * 10f64.powi(power)));
        values.filter(|value| (self.low..=self.high).contains(value)).collect()
    }
}

/// Without what powers of ten leave behind the digits that count.
fn short(value: f64) -> String {
    if value >= 1000.0 {
        return number::grouped(value.round() as u64);
    }
    let places = if value < 1.0 { (2.0 - value.log10().floor()) as usize } else { 3 };
    let text = format!("{value:.places$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(scale: Scale, figures: &[f64]) -> Vec<String> {
        let axis = Axis::new(scale, figures.iter().copied(), (0, 360));
        let ticks = axis.ticks();
        assert!(ticks.iter().all(|(x, _)| (0..=360).contains(x)), "{ticks:?}");
        ticks.into_iter().map(|tick| tick.1).collect()
    }

    #[test]
    fn ticks_are_round_and_few() {
        assert_eq!(labels(Scale::Times(5.0), &[2.5, 5.0, 50.0]), ["0.5×", "1×", "2×", "5×", "10×"]);
        assert_eq!(labels(Scale::Times(3.0), &[3.0, 9000.0]), ["1×", "10×", "100×", "1 000×"]);
        assert_eq!(labels(Scale::Times(1.0), &[0.05]), ["0.05×", "0.1×", "0.2×", "0.5×", "1×"]);
        assert_eq!(labels(Scale::Time, &[300.0, 2000.0]), ["500 ns", "1 µs", "2 µs"]);
        assert_eq!(labels(Scale::Time, &[1.0, 1e9]).len(), 5);
        assert_eq!(labels(Scale::Bytes, &[0.0, 64e6]), ["0 B", "16 MiB", "32 MiB", "48 MiB"]);
        assert_eq!(labels(Scale::Percent, &[12.0]).len(), 5);
    }

    #[test]
    fn figures_lie_in_their_order() {
        let axis = Axis::new(Scale::Times(4.0), [2.0, 4.0, 40.0].into_iter(), (10, 350));
        let places = [2.0, 4.0, 8.0, 40.0].map(|figure| axis.place(figure));
        assert!(places.is_sorted() && places[0] >= 10 && places[3] <= 350, "{places:?}");
        let steps = [places[1] - places[0], places[2] - places[1]];
        assert!(steps[0].abs_diff(steps[1]) <= 1, "each step so many times the one before: {steps:?}");
    }

    #[test]
    fn nothing_at_all_is_a_chart_too() {
        for scale in [Scale::Times(1.0), Scale::Time, Scale::Bytes, Scale::Percent] {
            let words = Words { id: "x", title: "t", description: "d" };
            let none = Line { name: "<b>".into(), note: String::new(), figures: vec![None], is_ours: true };
            let svg = Dots { scale, marks: &["min"], lines: vec![none] }.svg(&words).unwrap();
            assert!(svg.contains("&lt;b&gt;") && !svg.contains("<b>"), "{svg}");
        }
    }
}
