//! How times differ from each other: what half of them, 99 of 100 and all of them do not exceed.

#![cfg_attr(
    not(feature = "rivals"),
    allow(dead_code, reason = "only rows that wait ask for it, and they need a runtime")
)]

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread<T> {
    pub p50: T,
    pub p99: T,
    pub longest: T,
}

impl Spread<f64> {
    /// By nearest rank; none of no times.
    pub fn of(mut nanoseconds: Vec<u64>) -> Option<Self> {
        nanoseconds.sort_unstable();
        let longest = *nanoseconds.last()? as f64;
        let rank = |percent: usize| nanoseconds[(nanoseconds.len() * percent).div_ceil(100) - 1] as f64;
        Some(Self { p50: rank(50), p99: rank(99), longest })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_of_a_hundred_do_not_exceed_a_percentile() {
        let spread = Spread::of((1..=200).rev().collect()).unwrap();
        assert_eq!(spread, Spread { p50: 100.0, p99: 198.0, longest: 200.0 });
        assert_eq!(Spread::of(vec![7]).unwrap(), Spread { p50: 7.0, p99: 7.0, longest: 7.0 });
        assert_eq!(Spread::of(vec![3, 1, 2]).unwrap(), Spread { p50: 2.0, p99: 3.0, longest: 3.0 });
        assert!(Spread::of(Vec::new()).is_none());
    }
}
