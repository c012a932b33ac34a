//! Rates, and how things went lately, from one snapshot after another.

use std::collections::VecDeque;

use crate::board::snapshot::{Origins, Snapshot};

/// Seconds that a rate is made over.
const WINDOW: f64 = 1.0;
/// Seconds that are remembered, one value for each.
const LONGEST: usize = 300;

/// All that is known of one command.
#[derive(Default)]
pub struct History {
    /// The last one.
    pub now: Option<Snapshot>,
    /// One for each second, the newest last.
    pub gets: VecDeque<u64>,
    pub footprint: VecDeque<u64>,
    pub waiters: VecDeque<u64>,
    /// Snapshots of the last second, and one from before it.
    recent: VecDeque<Snapshot>,
    next_second: f64,
}

/// What happened in the last second, for each second.
#[derive(Default, Debug, PartialEq)]
pub struct Rates {
    pub gets: f64,
    pub origins: [f64; 7],
    /// From 0 to 1; none of no gets.
    pub hit_ratio: Option<f64>,
}

impl Rates {
    fn of(origins: Origins, seconds: f64) -> Self {
        let gets = origins.gets();
        let hit_ratio = (gets > 0).then(|| origins.hits() as f64 / gets as f64);
        Self { gets: gets as f64 / seconds, origins: origins.counts().map(|count| count as f64 / seconds), hit_ratio }
    }
}

impl History {
    pub fn add(&mut self, snapshot: Snapshot) {
        self.recent.push_back(snapshot.clone());
        while self.recent.get(1).is_some_and(|second| snapshot.at - second.at >= WINDOW) {
            self.recent.pop_front();
        }
        if snapshot.at >= self.next_second {
            let gets = self.rates().map_or(0, |rates| rates.gets as u64);
            for (values, value) in [
                (&mut self.gets, gets),
                (&mut self.footprint, snapshot.memory.footprint()),
                (&mut self.waiters, snapshot.waiters),
            ] {
                values.push_back(value);
                if values.len() > LONGEST {
                    values.pop_front();
                }
            }
            self.next_second = snapshot.at.floor() + 1.0;
        }
        self.now = Some(snapshot);
    }

    /// None before there are two snapshots of different moments.
    pub fn rates(&self) -> Option<Rates> {
        self.between(|snapshot| Some(snapshot.origins))
    }

    /// The same of one pool.
    pub fn rates_of(&self, pool: &str) -> Option<Rates> {
        self.between(|snapshot| Some(snapshot.pools.iter().find(|it| it.name == pool)?.origins))
    }

    fn between(&self, origins: impl Fn(&Snapshot) -> Option<Origins>) -> Option<Rates> {
        let (first, last) = (self.recent.front()?, self.recent.back()?);
        let seconds = last.at - first.at;
        (seconds > 0.0).then_some(())?;
        Some(Rates::of(origins(last)?.since(origins(first)?), seconds))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::board::snapshot::Memory;

    fn at(at: f64, cache: u64, fresh: u64) -> Snapshot {
        let memory = Memory { outstanding: cache, ..Memory::default() };
        Snapshot { at, origins: Origins { cache, fresh, ..Origins::default() }, memory, ..Snapshot::default() }
    }

    #[test]
    fn rates_are_of_the_last_second() {
        let mut history = History::default();
        history.add(at(0.0, 0, 0));
        assert_eq!(history.rates(), None);
        for quarter in 1..=8u64 {
            // A hundred and a miss in each quarter of the second second, nothing in the first.
            let count = quarter.saturating_sub(4);
            history.add(at(quarter as f64 / 4.0, 100 * count, count));
        }
        let rates = history.rates().unwrap();
        assert_eq!((rates.gets, rates.origins[0], rates.origins[4]), (404.0, 400.0, 4.0));
        assert!((rates.hit_ratio.unwrap() - 400.0 / 404.0).abs() < 1e-9);
        assert_eq!(history.footprint, [0, 0, 400], "one value for each second");
        assert_eq!(history.gets, [0, 0, 404]);
    }

    #[test]
    fn counts_that_begin_anew_are_no_rates_below_zero() {
        let mut history = History::default();
        history.add(at(1.0, 500, 0));
        history.add(at(1.5, 10, 0));
        assert_eq!(history.rates(), Some(Rates { hit_ratio: None, ..Rates::default() }));
    }

    #[test]
    fn history_has_an_end() {
        let mut history = History::default();
        (0..2000).for_each(|second| history.add(at(f64::from(second), 0, 0)));
        assert_eq!((history.gets.len(), history.waiters.len()), (LONGEST, LONGEST));
        assert!(history.recent.len() <= 3);
    }
}
