//! Which classes are asked for how often.

use crate::random::Random;

/// What the first class weighs; large enough that the last of many weighs something.
const FIRST: u64 = 1_000_000;

/// Classes and their weights.
pub struct Mix {
    /// Each class, and the weights up to it.
    sums: Vec<(u8, u64)>,
}

impl Mix {
    /// The `n`th class is asked for a `n`th as often as the first (Zipf's law).
    pub fn zipf(classes: &[u8]) -> Self {
        let weights = (1..).map(|rank| FIRST / rank);
        let sums = weights.scan(0, |sum, weight| {
            *sum += weight;
            Some(*sum)
        });
        Self { sums: classes.iter().copied().zip(sums).collect() }
    }

    pub fn draw(&self, random: &mut Random) -> u8 {
        let all = self.sums.last().map_or(0, |&(_, sum)| sum);
        let drawn = random.below(all);
        self.sums[self.sums.partition_point(|&(_, sum)| sum <= drawn)].0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_come_as_often_as_they_weigh() {
        let (mix, mut random) = (Mix::zipf(&[7, 3, 5]), Random::seeded(1));
        let mut drawn = [0; 8];
        (0..11_000).for_each(|_| drawn[usize::from(mix.draw(&mut random))] += 1);
        for (class, expected) in [(7, 6000), (3, 3000), (5, 2000)] {
            assert!((expected - 200..expected + 200).contains(&drawn[class]), "{class}: {}", drawn[class]);
        }
    }
}
