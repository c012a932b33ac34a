//! What marks, lines and areas stand for: in a row, or in as many as it takes.

use plotters::element::{PathElement, Rectangle, Text};
use plotters::style::text_anchor::HPos;
use plotters::style::{Color, ShapeStyle};

use super::ink::Ink;
use super::{Area, Drawn, LETTERS, letters, width};

const ROW: i32 = 22;
const SAMPLE: i32 = 22;
const GAP: i32 = 16;

/// What is drawn before a name.
#[derive(Clone, Copy)]
pub enum Sample {
    Area(Ink),
    Line(Ink, Option<Mark>),
    Dashes(Ink),
    Mark(Ink, Mark),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mark {
    Circle,
    Diamond,
    Triangle,
}

impl Mark {
    /// The mark's outline around a place.
    fn corners(self, (x, y): (i32, i32)) -> Vec<(i32, i32)> {
        match self {
            Self::Circle => Vec::new(),
            Self::Diamond => vec![(x, y - 6), (x + 6, y), (x, y + 6), (x - 6, y)],
            Self::Triangle => vec![(x, y - 6), (x + 6, y + 5), (x - 6, y + 5)],
        }
    }

    /// With a rim of paper, so that marks that overlap can be told apart.
    pub fn draw(self, area: &Area<'_>, place: (i32, i32), ink: Ink) -> Drawn {
        use plotters::element::{Circle, Polygon};
        let (fill, rim) = (ink.rgb().filled(), Ink::Paper.rgb().stroke_width(1));
        if self == Self::Circle {
            area.draw(&Circle::new(place, 6, Ink::Paper.rgb().filled()))?;
            return area.draw(&Circle::new(place, 5, fill));
        }
        let mut corners = self.corners(place);
        area.draw(&Polygon::new(corners.clone(), fill))?;
        corners.push(corners[0]);
        area.draw(&PathElement::new(corners, rim))
    }
}

/// A broken line through these places.
pub fn dashes(area: &Area<'_>, (from, to): ((i32, i32), (i32, i32)), style: ShapeStyle) -> Drawn {
    const DASH: usize = 10;
    let beside = |at: i32| (at, (at + 6).min(to.0));
    for (left, right) in (from.0..to.0).step_by(DASH).map(beside) {
        area.draw(&PathElement::new([(left, from.1), (right, to.1)], style))?;
    }
    Ok(())
}

/// The rows that a legend takes, as places of its samples.
fn places(names: &[&str], wide: i32) -> Vec<(i32, i32)> {
    let (mut x, mut y) = (0, ROW / 2);
    let mut places = Vec::new();
    for name in names {
        let taken = SAMPLE + 6 + width(name, LETTERS);
        if x > 0 && x + taken > wide {
            (x, y) = (0, y + ROW);
        }
        places.push((x, y));
        x += taken + GAP;
    }
    places
}

/// Pixels that a legend of these names takes from the top of a part of the paper so wide.
pub fn height(names: &[&str], wide: i32) -> i32 {
    places(names, wide).last().map_or(0, |place| place.1 + ROW / 2)
}

pub fn draw(area: &Area<'_>, samples: &[(Sample, &str)]) -> Drawn {
    let names: Vec<_> = samples.iter().map(|(_, name)| *name).collect();
    let wide = area.dim_in_pixel().0 as i32;
    for ((sample, name), (x, y)) in samples.iter().zip(places(&names, wide)) {
        let (right, middle) = (x + SAMPLE, x + SAMPLE / 2);
        match *sample {
            Sample::Area(ink) => area.draw(&Rectangle::new([(x, y - 6), (right, y + 6)], ink.rgb().filled()))?,
            Sample::Dashes(ink) => dashes(area, ((x, y), (right, y)), ink.rgb().stroke_width(2))?,
            Sample::Mark(ink, mark) => mark.draw(area, (middle, y), ink)?,
            Sample::Line(ink, mark) => {
                area.draw(&PathElement::new([(x, y), (right, y)], ink.rgb().stroke_width(2)))?;
                mark.map_or(Ok(()), |mark| mark.draw(area, (middle, y), ink))?;
            }
        }
        area.draw(&Text::new((*name).to_owned(), (right + 6, y), letters(LETTERS, Ink::Text, HPos::Left)))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_go_on_in_the_next_row() {
        let names = ["outstanding", "idle", "budget used", "resident"];
        assert!(places(&names, 1000).iter().all(|place| place.1 == ROW / 2));
        let narrow = places(&names, 200);
        assert!(narrow.iter().zip(names).all(|(place, name)| place.0 + 28 + width(name, LETTERS) <= 200), "{narrow:?}");
        assert_eq!(height(&names, 200), narrow[3].1 + ROW / 2);
    }
}
