//! Where values lie on the paper, and which of them are written beside it.

use crate::size::Bytes;

/// In which unit values are written.
#[derive(Clone, Copy)]
pub enum Ticks {
    Seconds,
    Bytes,
    Numbers,
}

/// From zero to a round number.
pub struct Axis {
    from: f64,
    to: f64,
    highest: f64,
    step: f64,
    ticks: Ticks,
}

/// About as many steps as an axis has.
const STEPS: f64 = 6.0;

impl Axis {
    /// An axis between two places on the paper, for values up to `highest`. Time ends where it ends; other axes go on to
    /// their next tick.
    pub fn new((from, to): (f64, f64), highest: f64, ticks: Ticks) -> Self {
        let step = ticks.step(highest / STEPS);
        let highest = match ticks {
            Ticks::Seconds => highest.max(f64::MIN_POSITIVE),
            _ => (highest / step).ceil().max(1.0) * step,
        };
        Self { from, to, highest, step, ticks }
    }

    pub fn place(&self, value: f64) -> f64 {
        self.from + (self.to - self.from) * value / self.highest
    }

    /// The values that are written beside the axis, and how.
    pub fn ticks(&self) -> impl Iterator<Item = (f64, String)> {
        let count = (self.highest / self.step + 1e-9).floor() as u64;
        (0..=count).map(|tick| (tick as f64 * self.step, self.label(tick as f64 * self.step)))
    }

    fn label(&self, value: f64) -> String {
        match self.ticks {
            Ticks::Seconds if self.step >= 60.0 => format!("{:.0} min", value / 60.0),
            Ticks::Seconds => format!("{value} s"),
            Ticks::Bytes => Bytes(value as u64).to_string(),
            Ticks::Numbers => format!("{value}"),
        }
    }
}

impl Ticks {
    /// The round step that is next to this one, upwards.
    fn step(self, about: f64) -> f64 {
        let (steps, from): (&[f64], f64) = match self {
            Self::Seconds => (&[1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1200.0, 3600.0], 2.0),
            Self::Bytes => (&[1.0], 2.0),
            Self::Numbers => (&[1.0, 2.0, 5.0, 10.0, 20.0, 50.0], 10.0),
        };
        let listed = steps.iter().copied().find(|&step| step >= about);
        listed.unwrap_or_else(|| {
            let mut step = steps[steps.len() - 1];
            while step < about {
                step *= from;
            }
            step
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_cover_what_is_drawn() {
        let labels =
            |highest, ticks| Axis::new((0.0, 1.0), highest, ticks).ticks().map(|tick| tick.1).collect::<Vec<_>>();
        assert_eq!(labels(6.0, Ticks::Seconds), ["0 s", "1 s", "2 s", "3 s", "4 s", "5 s", "6 s"]);
        assert_eq!(labels(300.0, Ticks::Seconds).last().unwrap(), "5 min");
        assert_eq!(labels(130e6, Ticks::Bytes).last().unwrap(), "128MiB");
        assert_eq!(labels(1.0, Ticks::Numbers), ["0", "1"]);
    }

    #[test]
    fn values_lie_between_the_ends() {
        let axis = Axis::new((100.0, 0.0), 7.0, Ticks::Numbers);
        assert_eq!((axis.place(0.0), axis.place(8.0)), (100.0, 0.0));
    }
}
