//! An object pool's options, their defaults and what is allowed.

use std::error;
use std::fmt;
use std::time::Duration;

use crate::object::pool::Pool;
use crate::object::reuse::Reuse;
use crate::policy::budget::Budget;
use crate::policy::builder::{Bounds, DEFAULT_DECAY, Overflow};
use crate::policy::error::{BuildError, CreateError, Error};
use crate::policy::maintenance::Maintenance;
use crate::sync::DEPTH;

/// Makes new values.
pub(crate) type Create<T> = Box<dyn Fn() -> Result<T, Error> + Send + Sync>;

/// What the options of a pool say but for how values are made.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) name: Option<String>,
    pub(crate) trim_capacity: usize,
    pub(crate) max_idle: usize,
    pub(crate) max_objects: usize,
    pub(crate) thread_cache: usize,
    pub(crate) prefill: usize,
    pub(crate) decay: Duration,
    pub(crate) maintenance: Maintenance,
    pub(crate) bounds: Bounds,
    pub(crate) tracks: bool,
}

/// Says how many bytes a value stands for.
pub(crate) type Weigh<T> = Box<dyn Fn(&T) -> usize + Send + Sync>;

/// Options for a [`Pool`], made by [`Pool::builder`].
///
/// | option | default |
/// |---|---|
/// | [`create`](Self::create), [`try_create`](Self::try_create) | `T::default` |
/// | [`trim_capacity`](Self::trim_capacity) | no limit |
/// | [`max_idle`](Self::max_idle) | no limit |
/// | [`max_objects`](Self::max_objects) | no limit |
/// | [`thread_cache`](Self::thread_cache) | 64 values for each thread |
/// | [`prefill`](Self::prefill) | none |
/// | [`decay`](Self::decay) | 10 seconds |
/// | [`maintenance`](Self::maintenance) | [`Maintenance::Thread`] |
/// | [`budget`](Self::budget) | [`Budget::process`] |
/// | [`max_memory`](Self::max_memory) | that of the budget |
/// | [`overflow`](Self::overflow) | [`Overflow::Fail`] |
/// | [`weigh`](Self::weigh) | `size_of::<T>()` |
/// | `track`, with the feature of that name | no |
/// | [`name`](Self::name) | none |
///
/// `C` is how values are made: by default, or by a function.
///
/// # Examples
///
/// ```
/// use millpond::Pool;
///
/// let pool = Pool::<Vec<f32>>::builder()
///     .create(|| Vec::with_capacity(4096))
///     .trim_capacity(4096)
///     .max_idle(100)
///     .prefill(8)
///     .build()?;
/// assert_eq!(pool.stats().idle_in_depot, 8);
/// # Ok::<(), millpond::BuildError>(())
/// ```
#[must_use = "nothing is built before `build`"]
pub struct PoolBuilder<T, C = ByDefault> {
    options: Options,
    create: C,
    weigh: Option<Weigh<T>>,
}

/// Values are made by `T::default()`.
#[derive(Clone, Copy, Debug, Default)]
pub struct ByDefault;

/// Values are made by a function.
pub struct ByFunction<T>(Create<T>);

/// How a [`PoolBuilder`] makes values. Sealed.
#[diagnostic::on_unimplemented(
    message = "`Pool<{T}>` does not know how to make a value",
    label = "`{T}` is not `Default`",
    note = "tell the builder by `create` or `try_create`"
)]
pub trait Creates<T>: sealed::Into<T> {}

mod sealed {
    use super::Create;

    pub trait Into<T> {
        fn into_create(self) -> Create<T>;
    }
}

impl<T: Default> Creates<T> for ByDefault {}

impl<T: Default> sealed::Into<T> for ByDefault {
    fn into_create(self) -> Create<T> {
        Box::new(|| Ok(T::default()))
    }
}

impl<T> Creates<T> for ByFunction<T> {}

impl<T> sealed::Into<T> for ByFunction<T> {
    fn into_create(self) -> Create<T> {
        self.0
    }
}

impl<T> fmt::Debug for ByFunction<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ByFunction")
    }
}

impl<T> PoolBuilder<T> {
    pub(crate) fn new() -> Self {
        let options = Options {
            name: None,
            trim_capacity: usize::MAX,
            max_idle: usize::MAX,
            max_objects: usize::MAX,
            thread_cache: DEPTH,
            prefill: 0,
            decay: DEFAULT_DECAY,
            maintenance: Maintenance::default(),
            bounds: Bounds::default(),
            tracks: false,
        };
        PoolBuilder { options, create: ByDefault, weigh: None }
    }
}

impl<T, C> PoolBuilder<T, C> {
    /// How new values are made. Called when none is idle, without a lock; may use any pool. When it panics, the pool is
    /// as it was, and the panic goes on to who asked.
    pub fn create(self, create: impl Fn() -> T + Send + Sync + 'static) -> PoolBuilder<T, ByFunction<T>> {
        self.with(Box::new(move || Ok(create())))
    }

    /// How new values are made when that may fail. The error goes on, as [`Error::Create`], to who asked.
    ///
    /// # Examples
    ///
    /// ```
    /// use millpond::{Error, Pool};
    ///
    /// let pool = Pool::<Vec<u8>>::builder().try_create(|| Err("no more today")).build()?;
    /// let error = pool.try_get().unwrap_err();
    /// assert_eq!(error.to_string(), "a new value could not be made: no more today");
    /// # Ok::<(), millpond::BuildError>(())
    /// ```
    pub fn try_create<E: Into<Box<dyn error::Error + Send + Sync>>>(
        self,
        create: impl Fn() -> Result<T, E> + Send + Sync + 'static,
    ) -> PoolBuilder<T, ByFunction<T>> {
        self.with(Box::new(move || create().map_err(|error| Error::Create(CreateError::new(error.into())))))
    }

    fn with(self, create: Create<T>) -> PoolBuilder<T, ByFunction<T>> {
        PoolBuilder { options: self.options, create: ByFunction(create), weigh: self.weigh }
    }

    /// How much room a returned value may keep, in elements (bytes, for text): what [`Reuse::reuse`] is given. The
    /// collections of the standard library let up to twice as much pass.
    pub fn trim_capacity(mut self, elements: usize) -> Self {
        self.options.trim_capacity = elements;
        self
    }

    /// The values that may lie idle in the whole pool. At most half of them, rounded up, lie in threads' caches. What
    /// comes back beyond them is dropped.
    pub fn max_idle(mut self, count: usize) -> Self {
        self.options.max_idle = count;
        self
    }

    /// The values that there may be at all, out and idle together. Beyond them requests fail with [`Error::Exhausted`],
    /// or wait, when made by [`acquire`](Pool::acquire); before that, idle values are taken from other threads' caches. Values that another thread is just moving between
    /// its cache and the depot count as out.
    pub fn max_objects(mut self, count: usize) -> Self {
        self.options.max_objects = count;
        self
    }

    /// The values that may lie in one thread's cache: at most 64, and one even if this is 0.
    pub fn thread_cache(mut self, count: usize) -> Self {
        self.options.thread_cache = count;
        self
    }

    /// Has so many values ready when the pool is built.
    ///
    /// Decay and [pressure](Pool::pressure) leave as many. A request that the budget would refuse otherwise takes them,
    /// and so do [`max_idle`](Self::max_idle) and [`trim`](Pool::trim).
    pub fn prefill(mut self, count: usize) -> Self {
        self.options.prefill = count;
        self
    }

    /// How long values lie idle before they are dropped. What was not needed in a whole interval goes at its end, or up to
    /// a quarter later; what lies in the cache of a thread that does nothing, up to an interval after that.
    /// [Prefilled](Self::prefill) values stay. `Duration::MAX` turns it off.
    pub fn decay(mut self, interval: Duration) -> Self {
        self.options.decay = interval;
        self
    }

    /// Who looks after idle values, so that they decay.
    pub fn maintenance(mut self, maintenance: Maintenance) -> Self {
        self.options.maintenance = maintenance;
        self
    }

    /// The budget that the values' weight is charged to.
    pub fn budget(mut self, budget: &Budget) -> Self {
        self.options.bounds.set_budget(budget);
        self
    }

    /// The bytes that the pool's values may weigh, out and idle together: a [child](Budget::child) of its budget.
    pub fn max_memory(mut self, bytes: usize) -> Self {
        self.options.bounds.set_max_memory(bytes);
        self
    }

    /// What becomes of requests when the budget is spent, or [`max_objects`](Self::max_objects) are out.
    pub fn overflow(mut self, overflow: Overflow) -> Self {
        self.options.bounds.overflow = overflow;
        self
    }

    /// How many bytes a value stands for, which are charged to the budget: by default its own size, without what it
    /// owns elsewhere.
    ///
    /// Called when a value is made or adopted, and again when it comes home, after [`Reuse::reuse`]; without a lock, so
    /// it may use pools. What a value has grown by is charged then; if the budget refuses, the value is dropped. Such a
    /// return, and the get of such a value, cost a look at the pool and a call more than others.
    ///
    /// # Examples
    ///
    /// ```
    /// use millpond::{Budget, Pool};
    ///
    /// let budget = Budget::new(1 << 20);
    /// let pool = Pool::<Vec<u8>>::builder().budget(&budget).weigh(|vec| size_of_val(vec) + vec.capacity()).build()?;
    /// let mut vec = pool.get();
    /// vec.reserve_exact(1000);
    /// drop(vec);
    /// assert_eq!(budget.used(), size_of::<Vec<u8>>() + 1000);
    /// # Ok::<(), millpond::BuildError>(())
    /// ```
    pub fn weigh(mut self, weigh: impl Fn(&T) -> usize + Send + Sync + 'static) -> Self {
        self.weigh = Some(Box::new(weigh));
        self
    }

    /// Whether the pool remembers who took what is out, as [`BufferPoolBuilder::track`](crate::BufferPoolBuilder::track) has it.
    /// With the feature `track`.
    #[cfg(feature = "track")]
    pub fn track(mut self, tracks: bool) -> Self {
        self.options.tracks = tracks;
        self
    }

    /// A name for the pool, shown by `Debug` and by its budget.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.options.name = Some(name.into());
        self
    }
}

impl<T: Reuse + Send + 'static, C: Creates<T>> PoolBuilder<T, C> {
    /// Builds the pool. Allocates a few kilobytes for the pool itself, as any collection would: without memory for those,
    /// the process aborts.
    ///
    /// # Errors
    /// [`BuildError::Invalid`] names an option whose value is not allowed; [`BuildError::Create`] has the error of
    /// `try_create`, and [`BuildError::OverBudget`] and [`BuildError::OutOfMemory`] say that there is no memory, when the
    /// pool is to be prefilled.
    ///
    /// # Panics
    /// When `create` does, while the pool is prefilled.
    pub fn build(self) -> Result<Pool<T>, BuildError> {
        self.options.check()?;
        Pool::build(self.options, self.create.into_create(), self.weigh)
    }
}

impl Options {
    fn check(&self) -> Result<(), BuildError> {
        if self.max_objects == 0 {
            return Err(BuildError::invalid("max_objects", 0, "1 or more".into()));
        }
        for (option, limit) in [("max_objects", self.max_objects), ("max_idle", self.max_idle)] {
            if self.prefill > limit {
                return Err(BuildError::invalid("prefill", self.prefill, format!("at most {limit} ({option})")));
            }
        }
        Ok(())
    }
}

impl<T, C: fmt::Debug> fmt::Debug for PoolBuilder<T, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PoolBuilder").field("options", &self.options).field("create", &self.create).finish()
    }
}
