//! Charts as SVG, for pages and for files of their own.
//!
//! plotters draws; what it does not know of is added here: a title and a description for those who do not see the
//! chart, and inks that a page can exchange for others where it is dark.

pub mod dots;
pub mod ink;
pub mod legend;
pub mod number;
pub mod time;

use std::io;

use maud::html;
use plotters::coord::Shift;
use plotters::prelude::{DrawingArea, DrawingAreaErrorKind, IntoDrawingArea, IntoFont, SVGBackend, TextStyle};
use plotters::style::text_anchor::{HPos, Pos, VPos};

use self::ink::Ink;

/// A part of the paper, whose places are pixels from its upper left corner.
pub type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
pub type Drawn = Result<(), DrawingAreaErrorKind<io::Error>>;

/// Pixels of letters beside axes and in legends.
pub const LETTERS: f64 = 13.0;

/// What is said of a chart to those who do not see it.
pub struct Words<'a> {
    /// Unique on the page.
    pub id: &'a str,
    pub title: &'a str,
    pub description: &'a str,
}

/// An `svg` element of so many pixels.
pub fn svg(size: (u32, u32), words: &Words<'_>, draw: impl FnOnce(&Area<'_>) -> Drawn) -> io::Result<String> {
    let mut svg = String::new();
    let area = SVGBackend::with_string(&mut svg, size).into_drawing_area();
    draw(&area).and_then(|()| area.present()).map_err(io::Error::other)?;
    drop(area);
    let (title, description) = (format!("{}-title", words.id), format!("{}-description", words.id));
    let labels = html! {
        title id=(title) { (words.title) }
        desc id=(description) { (words.description) }
    };
    let (tag, content) = svg.split_once('>').expect("plotters begins with the element");
    Ok(format!(
        "{tag} role=\"img\" aria-labelledby=\"{title} {description}\" font-family=\"sans-serif\">{}{content}",
        labels.into_string()
    ))
}

/// Letters of so many pixels, to the given side of their place and at its middle.
pub fn letters(pixels: f64, ink: Ink, side: HPos) -> TextStyle<'static> {
    // What plotters takes for a size is divided by this as it is written.
    const PLOTTERS: f64 = 1.24;
    let style: TextStyle<'static> = ("sans-serif", pixels * PLOTTERS).into_font().color(&ink.rgb());
    style.pos(Pos::new(side, VPos::Center))
}

/// About as wide as a text is; nobody knows the reader's font.
pub fn width(text: &str, pixels: f64) -> i32 {
    (text.chars().count() as f64 * pixels * 0.56).ceil() as i32
}

/// The text, or its beginning and an ellipsis, so that it is about so wide at most.
pub fn fitting(text: &str, pixels: f64, most: i32) -> String {
    if width(text, pixels) <= most {
        return text.to_owned();
    }
    let count = (f64::from(most) / (pixels * 0.56)) as usize;
    let kept: String = text.chars().take(count.saturating_sub(1)).collect();
    format!("{}…", kept.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn titles_are_text_whatever_they_say() {
        let words = Words { id: "x", title: "<script>", description: "a & b" };
        let svg = svg((10, 10), &words, |_| Ok(())).unwrap();
        assert!(svg.starts_with("<svg width=\"10\""), "{svg}");
        assert!(svg.contains(">&lt;script&gt;</title>") && svg.contains(">a &amp; b</desc>"), "{svg}");
        assert!(
            svg.contains("aria-labelledby=\"x-title x-description\"") && svg.trim_end().ends_with("</svg>"),
            "{svg}"
        );
    }

    #[test]
    fn long_names_are_cut_and_short_ones_are_not() {
        assert_eq!(fitting("floor", 13.0, 100), "floor");
        let cut = fitting(&"ä".repeat(100), 13.0, 100);
        assert!(cut.ends_with("ä…") && width(&cut, 13.0) <= 100, "{cut}");
    }
}
