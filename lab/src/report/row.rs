//! What the figures of a row say beside millpond's.

use crate::compare::contender::Kind;
use crate::compare::json::{Contender, Row};

impl Contender<'_> {
    /// Files of before kinds were written are told by the names that all of them have.
    pub fn side(&self) -> Option<Kind> {
        self.kind.or(match &*self.contender {
            "millpond" => Some(Kind::Millpond),
            "floor" => Some(Kind::Floor),
            "queue alone" => Some(Kind::Queue),
            _ => None,
        })
    }
}

impl Row<'_> {
    /// Whether buffers pass through a queue or from task to task: then the shortest turns are those in which one side stood
    /// still, and ratios are made of medians.
    pub fn is_passing(&self) -> bool {
        self.contenders.iter().any(|contender| contender.side() == Some(Kind::Queue) || contender.wait_ns.is_some())
    }

    /// The figure that ratios are made of.
    pub fn decisive(&self, contender: &Contender<'_>) -> Option<f64> {
        if self.is_passing() { contender.median_ns } else { contender.min_ns }
    }

    /// The least time of the contenders of this kind, and whose it is.
    pub fn best(&self, kind: Kind) -> Option<(&str, f64)> {
        let of_kind = self.contenders.iter().filter(|contender| contender.side() == Some(kind));
        let times = of_kind.filter_map(|contender| Some((&*contender.contender, self.decisive(contender)?)));
        times.min_by(|one, other| one.1.total_cmp(&other.1))
    }

    /// What a queue alone takes.
    pub fn queue(&self) -> Option<f64> {
        self.best(Kind::Queue).map(|best| best.1)
    }

    /// How many times as long as millpond somebody takes, beyond the queue if there is one.
    pub fn times(&self, time: f64) -> Option<f64> {
        let queue = self.queue().unwrap_or(0.0);
        let (time, ours) = (time - queue, self.best(Kind::Millpond)?.1 - queue);
        Some(time / ours).filter(|ratio| time > 0.0 && ours > 0.0 && ratio.is_finite())
    }

    /// Fastest first, those without figures last.
    pub fn in_order(&self) -> Vec<&Contender<'_>> {
        let mut order: Vec<_> = self.contenders.iter().collect();
        let rank = |contender: &Contender<'_>| self.decisive(contender).unwrap_or(f64::INFINITY);
        order.sort_by(|one, other| rank(one).total_cmp(&rank(other)));
        order
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(text: &str) -> Row<'static> {
        serde_json::from_str(&format!(r#"{{"row":"r","operation":"o","contenders":[{text}]}}"#)).unwrap()
    }

    #[test]
    fn ratios_are_made_of_minima() {
        let row = row(r#"{"contender":"other","kind":"pool","min_ns":6,"median_ns":30},
                         {"contender":"millpond","kind":"millpond","min_ns":2,"median_ns":3},
                         {"contender":"slow","kind":"pool","min_ns":8,"median_ns":9},
                         {"contender":"none","kind":"pool","cannot":"wait"}"#);
        assert_eq!(row.best(Kind::Pool), Some(("other", 6.0)));
        assert_eq!(row.times(6.0), Some(3.0));
        let order: Vec<_> = row.in_order().iter().map(|contender| &*contender.contender).collect();
        assert_eq!(order, ["millpond", "other", "slow", "none"]);
    }

    #[test]
    fn beyond_a_queue_they_are_made_of_medians() {
        let row = row(r#"{"contender":"queue alone","min_ns":1,"median_ns":10},
                         {"contender":"millpond","min_ns":1,"median_ns":14},
                         {"contender":"other","kind":"pool","min_ns":1,"median_ns":18}"#);
        assert_eq!((row.queue(), row.times(18.0)), (Some(10.0), Some(2.0)));
        assert_eq!(row.times(9.0), None, "faster than the queue: no ratio");
    }
}
