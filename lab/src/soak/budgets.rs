//! The tree of budgets, and what each of them may have been charged with.

use std::sync::{Mutex, MutexGuard, PoisonError};

use millpond::Budget;

use super::pond::Kind;
use crate::random::Random;

/// Places in the tree.
pub const ROOT: usize = 0;
const BLOCKS: usize = 1;
const HEAP: usize = 2;
const BRICKS: usize = 3;
const CROWD: usize = 4;
const CORNER: usize = 5;

/// One budget.
pub struct Node {
    pub name: &'static str,
    pub budget: Budget,
    pub parent: Option<usize>,
    /// Reserved of the parent.
    pub min: usize,
    base: usize,
    bounds: Mutex<Bounds>,
}

/// What a budget with a limit that changes may have been charged with.
struct Bounds {
    /// Now, as far as is known: the limit, or what was used when that was lowered.
    most: usize,
    /// At any time.
    highest: usize,
}

impl Node {
    fn new(name: &'static str, budget: Budget, parent: Option<usize>, min: usize) -> Self {
        let base = budget.limit();
        Self { name, budget, parent, min, base, bounds: Mutex::new(Bounds { most: base, highest: base }) }
    }

    fn bounds(&self) -> MutexGuard<'_, Bounds> {
        self.bounds.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set_limit(&self, limit: usize) {
        let mut bounds = self.bounds();
        bounds.most = bounds.most.max(limit);
        bounds.highest = bounds.highest.max(limit);
        self.budget.set_limit(limit);
    }

    /// To between half and nine eighths of what it was in the beginning.
    pub fn change_limit(&self, random: &mut Random) {
        self.set_limit(self.base / 8 * (4 + random.below(6) as usize));
    }

    pub fn restore_limit(&self) {
        if self.budget.limit() != self.base {
            self.set_limit(self.base);
        }
    }

    /// What is used, if it may be so much; for when nobody works.
    pub fn check_limit(&self) -> Result<usize, String> {
        let mut bounds = self.bounds();
        let (used, limit, peak) = (self.budget.used(), self.budget.limit(), self.budget.peak());
        let Bounds { most, highest } = *bounds;
        if used > most || peak > highest {
            return Err(format!(
                "budget {}: {used} bytes used of a limit of {limit}, at most {most} allowed now; peak {peak}, at most {highest} ever allowed",
                self.name
            ));
        }
        bounds.most = limit.max(used);
        Ok(used)
    }
}

/// All of them, from the root down.
pub struct Budgets(pub Vec<Node>);

impl Budgets {
    pub fn new(limit: usize) -> Self {
        let root = Budget::new(limit);
        let crowd = root.child(limit / 256);
        let (min, max) = (limit / 64, limit / 8);
        let bricks = root.child_reserving(min, max).expect("nothing is used yet");
        let under = |name, share| Node::new(name, root.child(limit / share), Some(ROOT), 0);
        Self(vec![
            Node::new("root", root.clone(), None, 0),
            under("blocks", 2),
            under("heap", 8),
            Node::new("bricks", bricks, Some(ROOT), min),
            Node::new("crowd", crowd.clone(), Some(ROOT), 0),
            Node::new("corner", crowd.child(limit / 1024), Some(CROWD), 0),
        ])
    }

    /// The place of the budget that a pool is on.
    pub fn place(kind: Kind) -> usize {
        match kind {
            Kind::Pages | Kind::Secrets => ROOT,
            Kind::Blocks => BLOCKS,
            Kind::Heap => HEAP,
            Kind::Bricks => BRICKS,
            Kind::Crowd | Kind::Tokens => CROWD,
            Kind::Corner => CORNER,
        }
    }

    pub fn of(&self, kind: Kind) -> &Budget {
        &self.0[Self::place(kind)].budget
    }

    pub fn root(&self) -> &Budget {
        &self.0[ROOT].budget
    }

    pub fn crowd(&self) -> &Budget {
        &self.0[CROWD].budget
    }

    pub fn restore_limits(&self) {
        self.0.iter().for_each(Node::restore_limit);
    }

    /// Whether `below` is at or under `above`.
    pub fn is_under(&self, below: usize, above: usize) -> bool {
        below == above || self.0[below].parent.is_some_and(|parent| self.is_under(parent, above))
    }
}
