//! Budgets: how much memory pools may have together.

mod demand;
mod line;
#[cfg(all(test, loom))]
mod models;
mod node;
mod shortage;

use std::fmt;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::{Arc, OnceLock};

use crate::engine::core::Reach;
use crate::memory::os;
use crate::panics;
use crate::policy::budget::node::Unit;
use crate::policy::error::BuildError;
use crate::policy::stats::bytes;
use crate::policy::told;
use crate::tell::Name;

pub(crate) use demand::{Demand, Grant, Part};
pub(crate) use line::{Place, Stood, dismiss, fetch, leave, offer, stand};
pub(crate) use node::{Amount, Node, Reservation};
pub(crate) use shortage::{Short, climb};

/// The share of the memory available to the process that its pools may have by default.
const PROCESS_SHARE: usize = 4;

/// How many bytes pools may have together, in buffers and values that are out or idle.
///
/// A cheap handle: clones share the budget. Any number of pools, of buffers and of values, may be on one budget, and
/// budgets nest. What a pool takes from the system for a buffer is charged first, to its budget and to all above it, and
/// released when it has been given back: no interleaving of threads exceeds a limit by one byte. A get that an idle
/// buffer serves charges nothing and never looks at the budget.
///
/// Charged is the buffer's size class, rounded up to the pool's alignment, or the [weight](crate::PoolBuilder::weigh)
/// of a value. What a pool needs besides, headers and tables and unused parts of slabs, is shown as
/// [`overhead`](crate::Stats::overhead) and not charged.
///
/// Where a charge would exceed a limit, idle memory is given up first: that of the pool in its own depot, then in all
/// threads' caches, then that of the other pools on the budget; then [callbacks](Self::on_pressure) are asked. Only
/// then does `try_get` fail, or `acquire` wait.
///
/// # Examples
///
/// ```
/// use millpond::{Budget, BufferPool, Error};
///
/// let budget = Budget::new(1 << 20);
/// let pages = BufferPool::builder().budget(&budget).build()?;
/// let blocks = BufferPool::builder().budget(&budget).max_memory(256 << 10).build()?;
///
/// let kept = pages.get_many([4096; 128]);
/// assert_eq!(budget.used(), 128 * 4096);
/// let block = blocks.try_get(512 << 10).unwrap_err();
/// assert_eq!(block, Error::OverBudget { requested: 512 << 10, available: 256 << 10, limit: 256 << 10 });
/// drop(kept);                                     // idle now, and given up for who needs it
/// assert!(pages.try_get(1 << 20).is_ok());
/// # Ok::<(), millpond::BuildError>(())
/// ```
#[derive(Clone)]
pub struct Budget {
    node: Arc<Node>,
}

impl UnwindSafe for Budget {}
impl RefUnwindSafe for Budget {}

impl Budget {
    /// A budget of its own, of so many bytes.
    ///
    /// # Examples
    ///
    /// ```
    /// let budget = millpond::Budget::new(64 << 20);
    /// assert_eq!((budget.used(), budget.available()), (0, 64 << 20));
    /// ```
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Budget { node: Node::root(limit) }
    }

    /// The budget of the process: a quarter of the memory that was available to it when this was first asked, limits
    /// of its control group respected. Every pool that is not given another budget is on it.
    ///
    /// ```
    /// let budget = millpond::Budget::process();
    /// println!("{budget}");
    /// assert!(budget.limit() > 0);
    /// ```
    #[must_use]
    pub fn process() -> &'static Budget {
        static PROCESS: OnceLock<Budget> = OnceLock::new();
        PROCESS.get_or_init(|| Budget::new(os::usable_memory().map_or(usize::MAX, |all| all / PROCESS_SHARE)))
    }

    /// A budget within this one, of at most so many bytes. It may be more than this one has: then this one's limit
    /// counts.
    ///
    /// # Examples
    ///
    /// ```
    /// let all = millpond::Budget::new(10 << 20);
    /// let tenants = [all.child(8 << 20), all.child(8 << 20)];
    /// assert_eq!(tenants[0].available(), 8 << 20);
    /// ```
    #[must_use]
    pub fn child(&self, max: usize) -> Budget {
        Budget { node: self.node.below(Unit::Bytes, 0, max) }
    }

    /// A budget within this one that can count on `min` bytes and may have `max`: the minimum is charged to this budget
    /// at once, until the child and all pools on it are gone.
    ///
    /// Idle memory of other pools gives way to the minimum.
    ///
    /// # Errors
    /// [`BuildError::Invalid`] if `min` is more than `max`, [`BuildError::OverBudget`] if this budget cannot give the
    /// minimum now.
    ///
    /// # Examples
    ///
    /// ```
    /// let all = millpond::Budget::new(10 << 20);
    /// let tenant = all.child_reserving(4 << 20, 8 << 20)?;
    /// assert_eq!((all.used(), tenant.used(), tenant.available()), (4 << 20, 0, 8 << 20));
    /// # Ok::<(), millpond::BuildError>(())
    /// ```
    pub fn child_reserving(&self, min: usize, max: usize) -> Result<Budget, BuildError> {
        if min > max {
            return Err(BuildError::invalid("min", min, format!("at most {max} bytes (max)")));
        }
        let reserved = shortage::reserve(&self.node, Amount::bytes(min)).map_err(|short| short.into_build_error(min));
        // What gave way may have panicked; then the reservation is dropped.
        panics::resume();
        reserved?.keep();
        Ok(Budget { node: self.node.below(Unit::Bytes, min, max) })
    }

    /// Bytes charged: memory of buffers and values that are out or idle, and what is reserved for children.
    #[must_use]
    pub fn used(&self) -> usize {
        self.node.used()
    }

    /// The bytes that may be charged.
    #[must_use]
    pub fn limit(&self) -> usize {
        self.node.limit()
    }

    /// The most bytes that were ever charged at once.
    #[must_use]
    pub fn peak(&self) -> usize {
        self.node.peak()
    }

    /// The bytes that could be charged now: what this budget and all above it have left. Idle memory that would give
    /// way comes on top.
    #[must_use]
    pub fn available(&self) -> usize {
        self.node.available_to_all()
    }

    /// Sets the limit, in bytes, at once.
    ///
    /// Raised, it serves those who wait. Lowered below what is used, it has idle memory given up; what is out stays
    /// out, and nothing new is charged until all fits again. A waiter whose request could never be served any more
    /// gets [`Error::NeverFits`](crate::Error::NeverFits) when its turn comes.
    ///
    /// # Examples
    ///
    /// ```
    /// use millpond::{Budget, BufferPool};
    ///
    /// let budget = Budget::new(1 << 20);
    /// let pool = BufferPool::builder().budget(&budget).build()?;
    /// let kept = pool.get(64 << 10);
    /// drop(pool.get(256 << 10));                      // idle
    /// budget.set_limit(128 << 10);
    /// assert_eq!(budget.used(), 64 << 10);
    /// assert!(pool.try_get(128 << 10).is_err());
    /// # Ok::<(), millpond::BuildError>(())
    /// ```
    pub fn set_limit(&self, bytes: usize) {
        self.node.set_limit(bytes);
        let excess = self.used().saturating_sub(bytes);
        if excess > 0 {
            self.node.reclaim(excess, Reach::Caches, &self.node);
        }
        line::limit_changed(&self.node);
        panics::resume();
    }

    /// Has this called when memory is short here and nothing idle is left: with the bytes that are missing, to return
    /// how many of them it freed. Callbacks of the budgets below are asked, too.
    ///
    /// It runs on the thread that asked for memory, without a lock held; it may use pools, but a shortage of its own
    /// asks no callback. Callbacks stay as long as the budget. One that holds a pool of this budget therefore keeps both
    /// for ever: let it hold something weak.
    ///
    /// # Panics
    /// A panic of the callback goes on to who asked for memory. Nothing is lost.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::sync::{Arc, Mutex};
    /// use millpond::{Budget, BufferPool};
    ///
    /// let budget = Budget::new(1 << 20);
    /// let pool = BufferPool::builder().budget(&budget).build()?;
    /// let cache = Arc::new(Mutex::new(vec![pool.get(1 << 20)]));
    /// let weak = Arc::downgrade(&cache);
    /// budget.on_pressure(move |_| {
    ///     let Some(cache) = weak.upgrade() else { return 0 };
    ///     let dropped = std::mem::take(&mut *cache.lock().unwrap());
    ///     dropped.iter().map(|buf| buf.capacity()).sum()
    /// });
    /// assert!(pool.try_get(64 << 10).is_ok());
    /// # Ok::<(), millpond::BuildError>(())
    /// ```
    pub fn on_pressure(&self, callback: impl Fn(usize) -> usize + Send + Sync + 'static) {
        self.node.add_on_pressure(Arc::new(callback));
    }

    /// Gives idle memory of all pools on this budget back to the system, until at most `keep_bytes` lie idle; how many
    /// bytes were freed.
    ///
    /// Reaches every cache. Costs a visit to the magazines of all threads, a memory barrier in each running thread of
    /// the process for every 16 of them, and the freeing.
    ///
    /// # Examples
    ///
    /// ```
    /// use millpond::{Budget, BufferPool};
    ///
    /// let budget = Budget::new(1 << 20);
    /// let pool = BufferPool::builder().budget(&budget).build()?;
    /// drop(pool.get_many([1024; 100]));
    /// assert_eq!(budget.trim(0), 100 * 1024);
    /// assert_eq!(budget.used(), 0);
    /// # Ok::<(), millpond::BuildError>(())
    /// ```
    pub fn trim(&self, keep_bytes: usize) -> usize {
        let mut idle = 0_usize;
        self.node.each_pool(&mut |core| {
            idle = idle.saturating_add(core.idle_bytes());
            true
        });
        let wanted = if keep_bytes == 0 { usize::MAX } else { idle.saturating_sub(keep_bytes) };
        let mut freed = 0;
        self.node.each_pool(&mut |core| {
            freed += core.reclaim(wanted - freed, Reach::Caches);
            freed < wanted
        });
        told::trimmed(&Name::default(), keep_bytes, freed);
        panics::resume();
        freed
    }

    pub(crate) fn node(&self) -> &Arc<Node> {
        &self.node
    }
}

/// A tree: this budget, the pools on it, and those below it.
impl fmt::Display for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_node(f, &self.node, "budget", 0)
    }
}

fn write_node(f: &mut fmt::Formatter<'_>, node: &Node, title: &str, depth: usize) -> fmt::Result {
    let amount = |amount: usize| match node.unit() {
        Unit::Bytes => bytes(amount as u64),
        Unit::Values => amount.to_string(),
    };
    let (used, limit, peak) = (amount(node.used()), amount(node.limit()), amount(node.peak()));
    write!(f, "{:1$}{title}: {used} of {limit}, peak {peak}", "", 2 * depth)?;
    if node.min() > 0 {
        write!(f, ", {} reserved", amount(node.min()))?;
    }
    for (name, core) in node.pools() {
        let name = name.as_deref().unwrap_or("without a name");
        write!(f, "\n{:1$}pool {name}: {2} idle", "", 2 * depth + 2, bytes(core.idle_bytes() as u64))?;
    }
    for child in node.children() {
        let title = if child.unit() == Unit::Values { "values" } else { "budget" };
        writeln!(f)?;
        write_node(f, &child, title, depth + 1)?;
    }
    Ok(())
}

impl fmt::Debug for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Budget")
            .field("used", &self.used())
            .field("limit", &self.limit())
            .field("peak", &self.peak())
            .finish_non_exhaustive()
    }
}
