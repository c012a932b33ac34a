//! One buffer at a time, of sizes that come at random: every size as often as any other, and the small ones most
//! often. Sizes and weights are those of zeropool's benchmarks.

use std::hint::black_box;
use std::time::Instant;

use super::hit::through_memory;
use super::{Cell, Pattern, Row};
use crate::compare::contender::{Cannot, Contender, Plan, Size};
use crate::random::Random;

const UNIFORM: [(usize, u64); 7] =
    [(1 << 10, 1), (4 << 10, 1), (16 << 10, 1), (64 << 10, 1), (256 << 10, 1), (1 << 20, 1), (4 << 20, 1)];
const ZIPF: [(usize, u64); 5] = [(1 << 10, 50), (4 << 10, 25), (16 << 10, 15), (64 << 10, 7), (256 << 10, 3)];
/// Sizes drawn beforehand; drawing is not what is measured.
const DRAWN: usize = 4096;

pub fn rows() -> Vec<Row> {
    vec![
        Row::new(
            "mixed/uniform",
            "get, touch, drop; one of seven sizes from 1KiB to 4MiB",
            Mixed { weights: &UNIFORM },
        ),
        Row::new("mixed/zipf", "get, touch, drop; 1KiB to 256KiB, small ones most often", Mixed { weights: &ZIPF }),
    ]
}

struct Mixed {
    weights: &'static [(usize, u64)],
}

impl Pattern for Mixed {
    fn plan(&self) -> Plan {
        let sizes: Vec<usize> = self.weights.iter().map(|&(bytes, _)| bytes).collect();
        Plan::of(&sizes)
    }

    fn cell<C: Contender>(&self, plan: &Plan) -> Result<Box<dyn Cell>, Cannot> {
        let pool = C::new(plan)?;
        let drawn = draw(self.weights);
        Ok(Box::new(move |iterations| {
            let begin = Instant::now();
            for (_, &size) in (0..iterations).zip(black_box(&drawn).iter().cycle()) {
                through_memory(&pool, size);
            }
            begin.elapsed()
        }))
    }
}

fn draw(weights: &[(usize, u64)]) -> Vec<Size> {
    let total = weights.iter().map(|(_, weight)| weight).sum();
    let mut random = Random::seeded(2);
    let one = |_| {
        let mut left = random.below(total);
        let index = weights.iter().position(|&(_, weight)| left.checked_sub(weight).map(|rest| left = rest).is_none());
        let index = index.expect("less than all weights together");
        Size { bytes: weights[index].0, index }
    };
    (0..DRAWN).map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_come_as_often_as_they_weigh() {
        let drawn = draw(&ZIPF);
        for (index, &(bytes, weight)) in ZIPF.iter().enumerate() {
            let share =
                drawn.iter().filter(|size| size.index == index && size.bytes == bytes).count() as f64 / DRAWN as f64;
            assert!((share - weight as f64 / 100.0).abs() < 0.03, "{bytes}: {share}");
        }
    }
}
