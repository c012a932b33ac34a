//! Bursts and silences.

use std::time::{Duration, Instant};

use super::pond::DECAY;
use crate::random::Random;

/// Long enough that all idle memory must have come back: an interval, a quarter, and another interval for what lies in the
/// cache of a thread that does nothing; and some more, because a busy machine is late.
const LONG_SILENCE: Duration = DECAY.saturating_mul(4);
const SHORT_SILENCE: Duration = Duration::from_millis(1500);
const SHORTEST_BURST: Duration = Duration::from_millis(1500);
const LONGEST_BURST: Duration = Duration::from_secs(20);

/// Which phase it is, and since when.
pub struct Phases {
    random: Random,
    longest_burst: Duration,
    silence: Duration,
    pub is_silent: bool,
    since: Instant,
    until: Instant,
}

impl Phases {
    /// For a soak of this length: there is at least one silence in it.
    pub fn new(length: Duration, seed: u64) -> Self {
        let silence = if length >= 6 * LONG_SILENCE { LONG_SILENCE } else { SHORT_SILENCE };
        let longest_burst = (length / 5).clamp(SHORTEST_BURST, LONGEST_BURST);
        let now = Instant::now();
        Self { random: Random::seeded(seed), longest_burst, silence, is_silent: true, since: now, until: now }
    }

    pub fn is_due(&self) -> bool {
        Instant::now() >= self.until
    }

    /// The next phase; if it is a burst, how much workers may hold in it, in thousandths of the budget.
    pub fn next(&mut self) -> Option<usize> {
        self.is_silent = !self.is_silent;
        self.since = Instant::now();
        let length = if self.is_silent { self.silence } else { self.burst() };
        self.until = self.since + length;
        // Sometimes more than there is.
        (!self.is_silent).then(|| 100 + self.random.below(1100) as usize)
    }

    fn burst(&mut self) -> Duration {
        let more = self.longest_burst.saturating_sub(SHORTEST_BURST).as_millis() as u64;
        SHORTEST_BURST + Duration::from_millis(self.random.below(more + 1))
    }

    /// Whether idle memory must have come back by now.
    pub fn is_over_long_silence(&self) -> bool {
        self.is_silent && self.since.elapsed() >= LONG_SILENCE
    }
}
