//! The pool of values: how one is built, and what is asked of it.

mod keeper;

use std::any::type_name;
use std::fmt;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};

use crate::engine::batch::PooledBatch;
use crate::engine::core::{Core, CoreOf, Handle, Limits, StoreConfig};
use crate::engine::lists::Lists;
use crate::engine::store::{Keeping, StoreStats};
use crate::object::builder::{Create, Options, PoolBuilder, Weigh};
use crate::object::order;
use crate::object::pooled::Pooled;
use crate::object::pooled::taken::{self, STORE, UNPOOLED};
use crate::object::reuse::Reuse;
use crate::panics;
use crate::policy::acquire::{Acquire, Waits};
use crate::policy::error::{BuildError, Error};
use crate::policy::maintenance::{self, Maintenance, Upkeep};
use crate::policy::pressure::Pressure;
use crate::policy::stats::{Besides, ClassStats, Stats};
use crate::policy::told;
use crate::tell::Name;

pub(crate) use keeper::ObjectKeeper;

/// A pool of values that can be used again.
///
/// A cheap handle: clones share the pool, and what it gives out is `'static`. While a thread works within what its cache
/// holds, a get and its return touch no memory that another thread uses: no lock, no allocation, no system call, no
/// atomic read-modify-write. A returned value is made ready by [`Reuse::reuse`], at once and by the thread that returns
/// it.
///
/// The bytes of the value itself lie in the pool beside a header, rounded up to 128 bytes together, and stay with the
/// pool until it is gone; what the value owns elsewhere goes when the value is discarded. So large values are better
/// pooled in a `Box`, and those aligned to more than 128 bytes must be. A value's type cannot contain a handle of its own pool,
/// other than behind a `dyn Trait`: the compiler ends with E0275. When the last handle is dropped, all idle values are
/// dropped at once, wherever they are cached.
///
/// # Examples
///
/// ```
/// use millpond::Pool;
///
/// let pool = Pool::<Vec<u64>>::new();
/// let mut primes = pool.get();
/// primes.extend([2, 3, 5, 7]);
/// drop(primes);                                   // cleared here, by this thread
/// let again = pool.get();
/// assert!(again.is_empty() && again.capacity() >= 4);
/// ```
pub struct Pool<T: Reuse + Send + 'static> {
    core: Handle<ObjectKeeper<T>>,
    /// Behind the handle, whose end drops values.
    _resume: Resume,
}

/// Goes on, when it is dropped, with what a value's destructor panicked.
#[derive(Clone)]
struct Resume;

impl Drop for Resume {
    fn drop(&mut self) {
        panics::resume();
    }
}

impl<T: Reuse + Send> UnwindSafe for Pool<T> {}
impl<T: Reuse + Send> RefUnwindSafe for Pool<T> {}

/// The core of an object pool.
pub(crate) type ObjectCore<T> = CoreOf<ObjectKeeper<T>>;

impl<T: Reuse + Send + Default + 'static> Pool<T> {
    /// A pool of `T::default()` with the defaults of [`PoolBuilder`].
    ///
    /// Costs a few kilobytes. The first pool of a process also announces the memory barrier to the kernel, which may
    /// take milliseconds in a process with many threads.
    #[must_use]
    pub fn new() -> Self {
        Self::builder().build().expect("the defaults are valid")
    }
}

impl<T: Reuse + Send + 'static> Pool<T> {
    /// A builder for a pool with other options, or for values that have no default.
    pub fn builder() -> PoolBuilder<T> {
        PoolBuilder::new()
    }

    /// A pool with these options, which the builder has checked.
    pub(crate) fn build(options: Options, create: Create<T>, weigh: Option<Weigh<T>>) -> Result<Self, BuildError> {
        let limits = Limits {
            max_idle: usize::MAX,
            max_idle_per_store: options.max_idle,
            thread_cache: options.thread_cache,
            by_clock: false,
            banks: 1,
            #[cfg(feature = "track")]
            tracks: options.tracks,
        };
        let budget = options.bounds.budget();
        let leaf = match options.max_objects {
            usize::MAX => budget.node().clone(),
            max => budget.node().for_values(max),
        };
        let (prefill, weighs) = (options.prefill, weigh.is_some());
        let (joined, name) = (options.name.clone(), Name::new(options.name.as_deref()));
        let (upkeep, maintenance) = (Upkeep::new(options.decay, &name, options.tracks), options.maintenance);
        let keeper = ObjectKeeper {
            create,
            weigh,
            options,
            closed: AtomicBool::new(false),
            leaf,
            waits: Arc::new(Waits::new()),
            upkeep,
            lists: Lists::new(),
            name,
            expected: AtomicUsize::new(size_of::<T>()),
        };
        let store = |keeping| StoreConfig { weight: 1, keeping };
        let stores = [store(Keeping::Idle), store(Keeping::Nothing)];
        // Returns that weigh are slow, so gets of such a pool need not be fast; see `lane_home`.
        let step = Some(STORE).filter(|_| !weighs);
        let pool = Pool { core: Handle::new(keeper, &stores, [step], limits), _resume: Resume };
        pool.keeper().leaf.join(joined, pool.core.core().hold(), &pool.keeper().waits);
        let stocked = taken::stock(&pool.core, prefill);
        // What gave way may have panicked.
        panics::resume();
        stocked?;
        if let Some(upkeep) = pool.keeper().upkeep.as_ref().filter(|_| maintenance == Maintenance::Thread) {
            maintenance::watch(pool.core.core().hold(), upkeep);
        }
        Ok(pool)
    }

    #[cfg(any(feature = "metrics-024", feature = "prometheus-client-025"))]
    pub(crate) fn handle(&self) -> &Handle<ObjectKeeper<T>> {
        &self.core
    }

    pub(super) fn core(&self) -> &Core {
        self.core.core()
    }

    pub(super) fn name(&self) -> &Name {
        self.keeper().name()
    }

    fn keeper(&self) -> &ObjectKeeper<T> {
        self.core.keeper()
    }

    /// A value, now: one that was used before, or a new one.
    ///
    /// Takes no lock, allocates nothing and enters no kernel while the thread's cache holds a value; otherwise takes a
    /// batch from the pool's depot, and when that is empty, makes a value.
    ///
    /// # Panics
    /// With the error's text when [`try_get`](Self::try_get) would fail; and when `create` panics.
    #[inline(always)]
    #[track_caller]
    #[must_use]
    pub fn get(&self) -> Pooled<T> {
        let pooled = match taken::hit(&self.core) {
            Some(pooled) => pooled,
            None => obtain_or_panic(&self.core),
        };
        pooled.check_out(self.core.core().checkout());
        pooled
    }

    /// A value, now, or the reason why not. Never waits. Costs as [`get`](Self::get).
    ///
    /// # Errors
    /// [`Error::Exhausted`] when [`max_objects`](PoolBuilder::max_objects) are out, [`Error::OverBudget`] when the budget is
    /// spent, [`Error::NeverFits`] for a value that weighs more than the budget may ever have, [`Error::Queued`] when others
    /// wait in line, [`Error::Create`] with the error of `try_create`, [`Error::OutOfMemory`] when the system has none,
    /// [`Error::Closed`] after [`close`](Self::close). The pool is as it was then.
    ///
    /// # Panics
    /// When `create` does.
    ///
    /// # Examples
    ///
    /// ```
    /// use millpond::{Error, Pool};
    ///
    /// let pool = Pool::<String>::builder().max_objects(1).build()?;
    /// let first = pool.try_get();
    /// assert_eq!(pool.try_get().unwrap_err(), Error::Exhausted { limit: 1 });
    /// drop(first);
    /// assert!(pool.try_get().is_ok());
    /// # Ok::<(), millpond::BuildError>(())
    /// ```
    #[inline(always)]
    #[cfg_attr(feature = "track", track_caller)]
    pub fn try_get(&self) -> Result<Pooled<T>, Error> {
        let pooled = match taken::hit(&self.core) {
            Some(pooled) => pooled,
            None => obtain(&self.core)?,
        };
        pooled.check_out(self.core.core().checkout());
        Ok(pooled)
    }

    /// A value that `prepare` has worked on.
    ///
    /// # Panics
    /// As [`get`](Self::get), and when `prepare` does; then the value goes home.
    ///
    /// # Examples
    ///
    /// ```
    /// let pool = millpond::Pool::<String>::new();
    /// assert_eq!(*pool.get_with(|text| text.push_str("ready")), "ready");
    /// ```
    #[inline]
    #[track_caller]
    #[must_use]
    pub fn get_with(&self, prepare: impl FnOnce(&mut T)) -> Pooled<T> {
        let mut pooled = self.get();
        prepare(&mut pooled);
        pooled
    }

    /// So many values, now. Costs one exchange with the depot for each magazine full of values, and one allocation for
    /// the batch.
    ///
    /// # Panics
    /// With the error's text when [`try_get_many`](Self::try_get_many) would fail.
    ///
    /// # Examples
    ///
    /// ```
    /// let pool = millpond::Pool::<Vec<f32>>::new();
    /// let mut blocks = pool.get_many(8);
    /// blocks.iter_mut().for_each(|block| block.resize(512, 0.0));
    /// ```
    #[track_caller]
    #[must_use]
    pub fn get_many(&self, count: usize) -> PooledBatch<Pooled<T>> {
        match self.try_get_many(count) {
            Ok(batch) => batch,
            Err(error) => error.panic(),
        }
    }

    /// So many values, now, or none and the reason why. Costs as [`get_many`](Self::get_many).
    ///
    /// # Errors
    /// That of the first value which [`try_get`](Self::try_get) would refuse. Those got before it have gone home.
    #[cfg_attr(feature = "track", track_caller)]
    pub fn try_get_many(&self, count: usize) -> Result<PooledBatch<Pooled<T>>, Error> {
        let checkout = self.core.core().checkout();
        let got = taken::empty_batch(&self.core, count).and_then(|mut batch| {
            taken::hits(&self.core, count, &mut batch);
            taken::obtain_many(&self.core, count - batch.len(), self.keeper().overflow(), &mut batch)?;
            batch.iter().for_each(|pooled| pooled.check_out(checkout));
            Ok(batch)
        });
        got.inspect_err(|error| told::refused(&self.keeper().name, error))
    }

    /// A value, when it is its turn: waits in line while the budget is spent, or [`max_objects`](PoolBuilder::max_objects)
    /// are out. See [`Acquire`].
    ///
    /// # Errors
    /// Of the future: [`Error::NeverFits`] for more than there may ever be, [`Error::Closed`] when the pool is closed
    /// meanwhile, and what [`try_get`](Self::try_get) fails with for other reasons than these limits.
    ///
    /// # Panics
    /// The future, when `create` does.
    ///
    /// # Examples
    ///
    /// ```
    /// let pool = millpond::Pool::<String>::builder().max_objects(1).build()?;
    /// let first = pool.acquire().wait()?;
    /// std::thread::spawn(move || drop(first));
    /// let second = pool.acquire().wait()?;
    /// # drop(second);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[cfg_attr(feature = "track", track_caller)]
    pub fn acquire(&self) -> Acquire<Pooled<T>> {
        Acquire::new(order::one(self.core.clone(), self.core.core().checkout()))
    }

    /// So many values at once, when it is their turn. As [`acquire`](Self::acquire); a large batch is not starved by
    /// small requests behind it.
    #[cfg_attr(feature = "track", track_caller)]
    pub fn acquire_many(&self, count: usize) -> Acquire<PooledBatch<Pooled<T>>> {
        Acquire::new(order::many(self.core.clone(), count, self.core.core().checkout()))
    }

    /// Drops idle values until those left weigh at most `keep_bytes`; how many bytes were freed. Where values are
    /// [weighed](PoolBuilder::weigh), as if each idle one weighed the average.
    ///
    /// Reaches the caches of all threads, also of those that sleep. Costs a visit to their magazines, a memory barrier
    /// in each running thread of the process for every 16 of them, and the values' destructors.
    ///
    /// # Examples
    ///
    /// ```
    /// let pool = millpond::Pool::builder().create(|| Vec::<u8>::with_capacity(100)).build()?;
    /// drop(pool.get_many(5));
    /// assert_eq!(pool.trim(0), 5 * size_of::<Vec<u8>>());
    /// assert_eq!(pool.stats().footprint, 0);
    /// # Ok::<(), millpond::BuildError>(())
    /// ```
    pub fn trim(&self, keep_bytes: usize) -> usize {
        self.keeper().lists.clear();
        let freed = self.core.core().trim(keep_bytes);
        told::trimmed(&self.keeper().name, keep_bytes, freed);
        panics::resume();
        freed
    }

    /// Looks after idle values now, if a quarter of the [decay](PoolBuilder::decay) interval has passed since that was done
    /// last: what has lain idle for a whole interval is dropped. For programs that do so themselves
    /// ([`Maintenance::Manual`]), a few times in an interval; harmless in others.
    ///
    /// Costs a look at the clock, or if it is time a visit to the caches of all threads, a memory barrier in each running
    /// thread of the process if one of the caches was not used lately, and the freeing.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use millpond::{Maintenance, Pool};
    ///
    /// let builder = Pool::<String>::builder().maintenance(Maintenance::Manual);
    /// let pool = builder.decay(Duration::from_millis(4)).build()?;
    /// drop(pool.get());
    /// for _ in 0..20 {
    ///     std::thread::sleep(Duration::from_millis(1));
    ///     pool.maintain();
    /// }
    /// assert_eq!(pool.stats().footprint, 0);
    /// # Ok::<(), millpond::BuildError>(())
    /// ```
    pub fn maintain(&self) {
        if let Some(upkeep) = &self.keeper().upkeep {
            upkeep.look_after(self.core.core());
        }
        panics::resume();
    }

    /// Drops idle values because memory is wanted elsewhere, now and once; how many bytes were freed. For programs that are
    /// told, by the system or by whoever runs them.
    ///
    /// | level | drops |
    /// |---|---|
    /// | [`Moderate`](Pressure::Moderate) | what nobody has needed since the last call of this, or for a quarter of the [decay](PoolBuilder::decay) interval if that is shorter; also out of the caches of threads that have done nothing since the pool was last looked after |
    /// | [`Critical`](Pressure::Critical) | all that lies idle, out of all threads' caches |
    ///
    /// Until somebody has looked, nothing is known to be unneeded: in a pool that neither decays nor was called before,
    /// the first call with `Moderate` frees nothing. [Prefilled](PoolBuilder::prefill) values stay. While another thread
    /// looks after the pool, nothing is done.
    ///
    /// Costs a visit to the caches of all threads, a memory barrier in each running thread of the process for every 16 of
    /// those that are emptied, and the values' destructors.
    ///
    /// # Panics
    /// When a destructor does; then all the others have run.
    ///
    /// # Examples
    ///
    /// ```
    /// use millpond::{Pool, Pressure};
    ///
    /// let pool = Pool::builder().create(|| Vec::<u8>::with_capacity(100)).prefill(2).build()?;
    /// drop(pool.get_many(5));
    /// assert_eq!(pool.pressure(Pressure::Critical), 3 * size_of::<Vec<u8>>());
    /// # Ok::<(), millpond::BuildError>(())
    /// ```
    pub fn pressure(&self, level: Pressure) -> usize {
        self.keeper().lists.clear();
        let freed = level.relieve(self.core.core());
        told::relieved(&self.keeper().name, level, freed);
        panics::resume();
        freed
    }

    /// A value made elsewhere, which is one of the pool's from now on: it goes home when it is dropped.
    ///
    /// # Panics
    /// With the error's text when [`try_adopt`](Self::try_adopt) would fail.
    ///
    /// # Examples
    ///
    /// ```
    /// let pool = millpond::Pool::<Vec<u8>>::new();
    /// let capacity = pool.adopt(Vec::with_capacity(5000)).capacity();
    /// assert_eq!(pool.get().capacity(), capacity);
    /// ```
    #[track_caller]
    #[must_use = "a dropped handle returns the value to the pool; `extend` does that for many"]
    pub fn adopt(&self, value: T) -> Pooled<T> {
        match self.try_adopt(value) {
            Ok(pooled) => pooled,
            Err((_, error)) => error.panic(),
        }
    }

    /// A value made elsewhere as one of the pool's, or the value again and the reason why not. Allocates a header when
    /// none is free.
    ///
    /// # Errors
    /// [`Error::Exhausted`], [`Error::OverBudget`], [`Error::NeverFits`], [`Error::Queued`], [`Error::OutOfMemory`] and
    /// [`Error::Closed`] as for [`try_get`](Self::try_get).
    #[cfg_attr(feature = "track", track_caller)]
    pub fn try_adopt(&self, value: T) -> Result<Pooled<T>, (T, Error)> {
        let adopted = taken::adopt(&self.core, value);
        let pooled = adopted.inspect_err(|(_, error)| told::refused(&self.keeper().name, error))?;
        pooled.check_out(self.core.core().checkout());
        Ok(pooled)
    }

    /// Makes this thread's magazine now, so that no later get or return on this thread has to.
    ///
    /// For threads that must not allocate later, together with [`prefill`](PoolBuilder::prefill). Allocates about a
    /// kilobyte.
    ///
    /// From then on, a [`try_get`](Self::try_get) or a return on this thread neither allocates, frees, locks nor enters
    /// the kernel while the prefilled values suffice: for those that are out at once, and for those that lie idle in
    /// other threads' caches, out of reach of this one. That is up to [`thread_cache`](PoolBuilder::thread_cache) for
    /// each other thread that uses the pool. The value's own [`reuse`](Reuse::reuse) must do none of these things
    /// either, nor discard it: a collection must be made with room, and not outgrow twice its
    /// [`trim_capacity`](PoolBuilder::trim_capacity).
    pub fn attach_thread(&self) {
        self.core.core().attach_thread();
        panics::resume();
    }

    /// Closes the pool for all its handles: idle values are dropped at once, later requests fail, and values that are
    /// out are dropped when they come home.
    ///
    /// Costs a visit to the magazines of all threads and a memory barrier in each running thread of the process.
    pub fn close(&self) {
        self.keeper().closed.store(true, Relaxed);
        self.core.close();
        panics::resume();
    }

    /// What the pool has done and holds, counted in values: `footprint`, `outstanding` and what is idle, too. Only
    /// `overhead` is in bytes. There is one class, whose `size` is that of a value.
    ///
    /// Exact when nobody uses the pool. Meanwhile, a value that moves between two places may be counted in both or in
    /// neither: at most a magazine full for each thread at work. Costs a visit to the magazines of all threads.
    ///
    /// # Examples
    ///
    /// ```
    /// let pool = millpond::Pool::<String>::new();
    /// let kept = pool.get_many(3);
    /// assert_eq!((pool.stats().outstanding, pool.stats().fresh), (3, 3));
    /// # drop(kept);
    /// ```
    #[must_use]
    pub fn stats(&self) -> Stats {
        stats(&self.core)
    }
}

/// As [`Pool::stats`], also when no handle is left.
pub(crate) fn stats<T: Reuse + Send + 'static>(core: &ObjectCore<T>) -> Stats {
    let (core, keeper) = (core.core(), core.keeper());
    let class = ClassStats::new(size_of::<T>(), 1, &core.stats(STORE));
    let besides = Besides {
        oversize: StoreStats::default(),
        unpooled: core.stats(UNPOOLED),
        waits: &keeper.waits,
        waiters: keeper.leaf.count_waits(&keeper.waits),
        overhead: keeper.lists.bytes() + core.overhead(),
        plan: None,
    };
    Stats::of_objects(class, &besides)
}

#[cold]
#[inline(never)]
#[track_caller]
fn obtain_or_panic<T: Reuse + Send + 'static>(core: &ObjectCore<T>) -> Pooled<T> {
    match obtain(core) {
        Ok(pooled) => pooled,
        Err(error) => error.panic(),
    }
}

/// As [`taken::obtain`]; tells of a refusal.
#[cold]
#[inline(never)]
fn obtain<T: Reuse + Send + 'static>(core: &ObjectCore<T>) -> Result<Pooled<T>, Error> {
    taken::obtain(core).inspect_err(|error| told::refused(core.keeper().name(), error))
}

impl<T: Reuse + Send + 'static> Clone for Pool<T> {
    fn clone(&self) -> Self {
        Pool { core: self.core.clone(), _resume: Resume }
    }
}

impl<T: Reuse + Send + Default + 'static> Default for Pool<T> {
    /// As [`Pool::new`].
    fn default() -> Self {
        Self::new()
    }
}

/// Values made elsewhere join the pool, ready for reuse: each as if it had been [adopted](Pool::adopt) and dropped. Those
/// that the pool may not have are dropped.
impl<T: Reuse + Send + 'static> Extend<T> for Pool<T> {
    fn extend<I: IntoIterator<Item = T>>(&mut self, values: I) {
        for value in values {
            drop(self.try_adopt(value));
        }
    }
}

/// Shows the options, defaults included.
impl<T: Reuse + Send + 'static> fmt::Debug for Pool<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool")
            .field("type", &type_name::<T>())
            .field("options", &self.keeper().options)
            .field("closed", &self.keeper().is_closed())
            .finish()
    }
}
