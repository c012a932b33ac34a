//! What is tried when memory is short, one step after the other.

use std::cell::Cell;
use std::sync::Arc;

use crate::engine::core::{Core, Reach};
use crate::memory::Denial;
use crate::policy::budget::node::{Amount, Node, Refusal, Reservation, Unit};
use crate::policy::error::{BuildError, Error};

/// Why there is no new slot.
#[derive(Clone)]
pub(crate) enum Short<'a> {
    /// A budget refused it.
    Budget(Refusal<'a>),
    /// The system did.
    System(Denial),
}

impl Short<'_> {
    /// How far up the path from this leaf it was refused.
    fn height(&self, leaf: &Arc<Node>) -> usize {
        match self {
            Short::Budget(refusal) => leaf.path().take_while(|node| !Arc::ptr_eq(node, refusal.node)).count(),
            Short::System(_) => usize::MAX,
        }
    }

    /// Whether the limit that was reached has room for so much by now.
    fn is_over(&self, missing: usize) -> bool {
        matches!(self, Short::Budget(_)) && missing == 0
    }

    /// The bytes that would have to be given up, of those that a birth needs.
    fn missing(&self, leaf: &Arc<Node>, needed: Amount) -> usize {
        match self {
            Short::Budget(refusal) => refusal.node.missing(leaf, needed),
            Short::System(_) => needed.bytes,
        }
    }

    /// Whether it helps when something is given up, for this request and not for others.
    fn is_hopeless(&self) -> bool {
        self.is_queued() || matches!(self, Short::System(denial) if !denial.is_shortage())
    }

    /// Whether others wait, who would get whatever is given up.
    pub(crate) fn is_queued(&self) -> bool {
        matches!(self, Short::Budget(refusal) if refusal.queued)
    }

    /// The error of a request for so many bytes.
    #[cold]
    pub(crate) fn into_error(self, requested: usize) -> Error {
        match self {
            Short::System(denial) => Error::of_denial(denial, requested),
            Short::Budget(Refusal { queued: true, .. }) => Error::Queued { requested },
            Short::Budget(Refusal { node, .. }) => match node.unit() {
                Unit::Bytes => Error::OverBudget { requested, available: node.available(), limit: node.limit() },
                Unit::Values => Error::Exhausted { limit: node.limit() },
            },
        }
    }

    pub(crate) fn into_build_error(self, requested: usize) -> BuildError {
        match self {
            Short::System(denial) => BuildError::of_denial(denial, requested),
            Short::Budget(Refusal { node, .. }) => {
                BuildError::OverBudget { requested, available: node.available(), limit: node.limit() }
            }
        }
    }
}

impl<'a> From<Refusal<'a>> for Short<'a> {
    fn from(refusal: Refusal<'a>) -> Self {
        Short::Budget(refusal)
    }
}

#[derive(Clone, Copy)]
enum Step {
    /// Idle memory of the pool itself, in its depots.
    OwnDepots,
    /// A slot out of other threads' caches that serves as it is.
    Steal,
    OwnCaches,
    /// Idle memory of all pools under the node that refused.
    Others,
    Callbacks,
}

impl Step {
    /// Whether a pool has done with the steps before all that this one could do: because nothing has been in caches since
    /// they began, or because the pool is all there is under the node that refused.
    fn is_vain(self, attended: bool, sole: bool) -> bool {
        match self {
            Step::OwnDepots => false,
            Step::Steal | Step::OwnCaches => attended,
            Step::Others | Step::Callbacks => sole,
        }
    }
}

/// What callbacks gave back lies idle, perhaps in other pools.
const STEPS: [Step; 6] = [Step::OwnDepots, Step::Steal, Step::OwnCaches, Step::Others, Step::Callbacks, Step::Others];

/// What `birth` gives `seeker`, after as many steps as it takes; or what `steal` gives. `core` is that of the pool, if its
/// own idle memory may go. `needed` is asked anew each time, for a seeker may find a part of what it seeks, or learn that
/// it needs more.
pub(crate) fn climb<'a, T, S>(
    leaf: &'a Arc<Node>,
    core: Option<&Core>,
    needed: impl Fn(&T) -> Amount,
    seeker: &mut T,
    birth: impl Fn(&mut T) -> Result<S, Short<'a>>,
    steal: impl Fn(&mut T) -> Option<S>,
) -> Result<S, Short<'a>> {
    let mut short = match birth(seeker) {
        Ok(slot) => return Ok(slot),
        Err(short) => short,
    };
    let attended = core.is_some_and(Core::is_attended);
    let mut steps = STEPS.iter();
    let mut height = short.height(leaf);
    while let Some(step) = steps.next().filter(|_| !short.is_hopeless()) {
        if core.is_some() && step.is_vain(attended, node_of(&short, leaf).is_sole()) {
            continue;
        }
        let missing = short.missing(leaf, needed(seeker));
        let freed = match step {
            Step::OwnDepots => core.map_or(0, |core| core.reclaim(missing, Reach::Depots)),
            Step::Steal => match steal(seeker) {
                Some(slot) => return Ok(slot),
                None => 0,
            },
            Step::OwnCaches => core.map_or(0, |core| core.reclaim(missing, Reach::Caches)),
            Step::Others => node_of(&short, leaf).reclaim(missing, Reach::Caches, leaf),
            Step::Callbacks => press(node_of(&short, leaf), missing),
        };
        if freed > 0 || short.is_over(short.missing(leaf, needed(seeker))) {
            short = match birth(seeker) {
                Ok(slot) => return Ok(slot),
                Err(short) => short,
            };
            if short.height(leaf) > height {
                // What lies idle there has not been looked at.
                height = short.height(leaf);
                steps = STEPS.iter();
            }
        }
    }
    if short.is_queued() && reclaim_covered(leaf, &short, needed(seeker)) > 0 {
        return birth(seeker);
    }
    Err(short)
}

/// Others wait, who would get what is given up, except what a minimum covers for this pool and its neighbours: that is
/// given up for `needed`. How many bytes.
fn reclaim_covered(leaf: &Arc<Node>, short: &Short<'_>, needed: Amount) -> usize {
    let refused = node_of(short, leaf);
    let covering = leaf.reach().last().filter(|_| !leaf.reach().any(|node| Arc::ptr_eq(node, refused)));
    covering.map_or(0, |covering| covering.reclaim(needed.bytes, Reach::Caches, leaf))
}

/// Charges an amount that belongs to no pool.
pub(super) fn reserve(node: &Arc<Node>, amount: Amount) -> Result<Reservation<'_>, Short<'_>> {
    climb(node, None, |()| amount, &mut (), |()| node.reserve(amount).map_err(Short::from), |()| None)
}

/// Where memory would have to be given up: under the node that refused, or anywhere when the system is short.
fn node_of<'a>(short: &Short<'a>, leaf: &'a Arc<Node>) -> &'a Arc<Node> {
    match short {
        Short::Budget(refusal) => refusal.node,
        Short::System(_) => leaf.top(),
    }
}

/// Asks callbacks, unless this thread is inside one.
fn press(node: &Arc<Node>, missing: usize) -> usize {
    thread_local! {
        static INSIDE: Cell<bool> = const { Cell::new(false) };
    }
    struct Leave;
    impl Drop for Leave {
        fn drop(&mut self) {
            INSIDE.set(false);
        }
    }
    if missing == 0 || INSIDE.replace(true) {
        return 0;
    }
    let _leave = Leave;
    node.press(missing)
}
