//! The colours of charts, on light paper and on dark.
//!
//! Charts are drawn in the light ones; a page that is dark exchanges each for its dark one by rules for the attributes
//! `fill` and `stroke`. So all light ones differ. Those of data differ for the colour-blind, too, and by more than colour:
//! by mark, dash, or place.

use std::fmt::Write;

use plotters::style::RGBColor;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ink {
    Paper,
    Text,
    /// Texts of less weight.
    Faint,
    Grid,
    /// Behind what happened in a silence.
    Shade,
    Blue,
    /// An area beside blue.
    Sky,
    Orange,
    Green,
    Purple,
}

use Ink::{Blue, Faint, Green, Grid, Orange, Paper, Purple, Shade, Sky, Text};

const ALL: [Ink; 10] = [Paper, Text, Faint, Grid, Shade, Blue, Sky, Orange, Green, Purple];

impl Ink {
    /// On light paper, and on dark.
    const fn both(self) -> [u32; 2] {
        match self {
            Paper => [0xffffff, 0x1b1d21],
            Text => [0x1c1e21, 0xe8e8e6],
            Faint => [0x5a5f66, 0xa9aeb6],
            Grid => [0xd9dbde, 0x3a3e45],
            Shade => [0xf1ede2, 0x292a2c],
            Blue => [0x0068a8, 0x58b0ea],
            Sky => [0xa6d3ef, 0x27587a],
            Orange => [0xb84a00, 0xff9a52],
            Green => [0x007a5a, 0x35c99d],
            Purple => [0x84478f, 0xd69be0],
        }
    }

    pub fn rgb(self) -> RGBColor {
        let [red, green, blue] = channels(self.both()[0]);
        RGBColor(red, green, blue)
    }

    /// For a page's own rules.
    pub fn light(self) -> String {
        format!("#{:06X}", self.both()[0])
    }

    pub fn dark(self) -> String {
        format!("#{:06X}", self.both()[1])
    }
}

fn channels(rgb: u32) -> [u8; 3] {
    [16, 8, 0].map(|shift| (rgb >> shift & 0xff) as u8)
}

/// Rules that exchange the light inks of what is drawn for the dark ones.
pub fn darkened() -> String {
    let mut rules = String::new();
    for ink in ALL {
        let (light, dark) = (ink.light(), ink.dark());
        for attribute in ["fill", "stroke"] {
            write!(rules, "svg [{attribute}=\"{light}\"]{{{attribute}:{dark}}}").expect("strings take everything");
        }
    }
    rules
}

#[cfg(test)]
mod tests {
    use super::*;

    const LETTERS: [Ink; 2] = [Text, Faint];
    const DATA: [Ink; 4] = [Blue, Orange, Green, Purple];

    fn linear(rgb: u32) -> [f64; 3] {
        channels(rgb).map(|channel| {
            let channel = f64::from(channel) / 255.0;
            if channel <= 0.04045 { channel / 12.92 } else { ((channel + 0.055) / 1.055).powf(2.4) }
        })
    }

    fn luminance(rgb: u32) -> f64 {
        let [red, green, blue] = linear(rgb);
        0.2126 * red + 0.7152 * green + 0.0722 * blue
    }

    /// As the Web Content Accessibility Guidelines define it.
    fn contrast(one: u32, other: u32) -> f64 {
        let (one, other) = (luminance(one) + 0.05, luminance(other) + 0.05);
        one.max(other) / one.min(other)
    }

    #[test]
    fn letters_and_marks_stand_out_from_the_paper() {
        for scheme in 0..2 {
            for paper in [Paper, Shade].map(|ink| ink.both()[scheme]) {
                for (inks, least) in [(&LETTERS[..], 4.5), (&DATA[..], 3.0)] {
                    for ink in inks {
                        let contrast = contrast(ink.both()[scheme], paper);
                        assert!(contrast >= least, "{ink:?} on {paper:06x}: {contrast:.2}");
                    }
                }
            }
            assert!(contrast(Blue.both()[scheme], Sky.both()[scheme]) >= 2.0, "areas that touch");
        }
    }

    /// What who lacks the cones for red, green or blue sees of a colour, by Machado, Oliveira and Fernandes, "A
    /// physiologically-based model for simulation of color vision deficiency", 2009.
    const DEFICIENCIES: [[[f64; 3]; 3]; 3] = [
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
    ];

    /// In CIELAB, where a distance of 2 is just seen.
    fn lab(linear: [f64; 3]) -> [f64; 3] {
        let [r, g, b] = linear.map(|channel| channel.clamp(0.0, 1.0));
        let white = [0.95047, 1.0, 1.08883];
        let xyz = [
            0.4124 * r + 0.3576 * g + 0.1805 * b,
            0.2126 * r + 0.7152 * g + 0.0722 * b,
            0.0193 * r + 0.1192 * g + 0.9505 * b,
        ];
        let root = |at: usize| {
            let part = xyz[at] / white[at];
            if part > 0.008856 { part.cbrt() } else { 7.787 * part + 16.0 / 116.0 }
        };
        let (x, y, z) = (root(0), root(1), root(2));
        [116.0 * y - 16.0, 500.0 * (x - y), 200.0 * (y - z)]
    }

    #[test]
    fn data_differ_for_the_colour_blind() {
        // Three stand together in one chart: the marks of a row, the lines over time.
        let together = [Blue, Orange, Green];
        for (deficiency, matrix) in DEFICIENCIES.iter().enumerate() {
            for scheme in 0..2 {
                let seen = together.map(|ink| {
                    let light = linear(ink.both()[scheme]);
                    lab(matrix.map(|row| row.iter().zip(light).map(|(part, light)| part * light).sum()))
                });
                for (one, other) in [(0, 1), (0, 2), (1, 2)] {
                    let distance: f64 = (0..3).map(|at| (seen[one][at] - seen[other][at]).powi(2)).sum();
                    let distance = distance.sqrt();
                    assert!(distance > 10.0, "{:?} {:?} {deficiency}: {distance:.1}", together[one], together[other]);
                }
            }
        }
    }

    #[test]
    fn every_ink_is_exchanged_for_one_other() {
        let light: std::collections::BTreeSet<_> = ALL.map(Ink::light).into();
        assert_eq!(light.len(), ALL.len());
        assert_eq!(darkened().matches('{').count(), 2 * ALL.len());
    }
}
