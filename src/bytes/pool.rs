//! The pool of byte buffers: how one is built, and what is asked of it.

mod keeper;

use std::alloc::Layout;
use std::fmt;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};

use crate::bytes::SizeClasses;
use crate::bytes::buf::taken::Stock;
use crate::bytes::buf::{PooledBuf, Taken, taken};
use crate::bytes::many;
use crate::bytes::order;
use crate::bytes::request::{Capacity, Request};
use crate::engine::batch::PooledBatch;
use crate::engine::core::{CoreOf, Handle, Limits, StoreConfig};
use crate::engine::lists::Lists;
use crate::engine::store::Keeping;
use crate::engine::track::Checkout;
use crate::memory::options::Need;
use crate::memory::os::topology::Bank;
use crate::memory::regions::Registry;
use crate::memory::{BlockSource, Memory, Want, os};
use crate::panics;
use crate::policy::acquire::{Acquire, Waits};
use crate::policy::builder::{BufferPoolBuilder, Zeroing};
use crate::policy::error::{BuildError, Error};
use crate::policy::eviction::Eviction;
use crate::policy::maintenance::{self, Maintenance, Upkeep};
use crate::policy::pressure::Pressure;
use crate::policy::stats::{Besides, ClassStats, Stats};
use crate::policy::told;
use crate::tell::Name;

pub(crate) use keeper::ByteKeeper;

/// A pool of byte buffers in size classes.
///
/// A cheap handle: clones share the pool, buffers are `'static` and keep what they need alive. While a thread works
/// within what its cache holds, a get and its return touch no memory that another thread uses: no lock, no allocation,
/// no system call, no atomic read-modify-write.
///
/// When the last handle is dropped, all idle memory is freed at once, wherever it is cached. Buffers that are still out
/// stay valid and are freed when they come home.
///
/// # Examples
///
/// ```
/// use millpond::{BufferPool, Capacity, Recycled};
///
/// let pool = BufferPool::new();
/// let page = pool.get(4096);                      // 4096 zero bytes
/// let block = pool.get(Recycled(1 << 20));        // 1 MiB of unspecified bytes
/// let mut text = pool.get(Capacity(100));         // empty, with room
/// text.extend_from_slice(b"ready");
/// assert_eq!((page.len(), block.len(), text.len()), (4096, 1 << 20, 5));
/// ```
#[derive(Clone)]
pub struct BufferPool {
    pub(super) core: Handle<ByteKeeper>,
}

impl UnwindSafe for BufferPool {}
impl RefUnwindSafe for BufferPool {}

/// The core of a byte pool.
pub(crate) type ByteCore = CoreOf<ByteKeeper>;

impl BufferPool {
    /// A pool with the defaults of [`BufferPoolBuilder`].
    ///
    /// Costs a few kilobytes; memory for buffers is taken when it is first asked for. The first pool of a process also
    /// announces the memory barrier to the kernel, which may take milliseconds in a process with many threads.
    #[must_use]
    pub fn new() -> Self {
        Self::builder().build().expect("the defaults are valid")
    }

    /// The process-wide pool, made with the defaults on first use.
    ///
    /// ```
    /// let greeting = millpond::BufferPool::shared().copy_from(b"hello");
    /// assert_eq!(greeting[..], *b"hello");
    /// ```
    pub fn shared() -> &'static BufferPool {
        static SHARED: OnceLock<BufferPool> = OnceLock::new();
        SHARED.get_or_init(BufferPool::new)
    }

    /// A builder for a pool with other options.
    pub fn builder() -> BufferPoolBuilder {
        BufferPoolBuilder::default()
    }

    /// A builder for a pool of buffers that hold secrets: keys, passwords, decrypted messages.
    ///
    /// Every buffer is [wiped](crate::Zeroing::OnReturn) as soon as it is dropped. Memory is locked in RAM, left out of
    /// core dumps, zero in the child of a fork, and between pages without access, each as far as the system does it:
    /// [`Stats::memory`](crate::Stats::memory) shows how far. Who must have all of it builds with
    /// [`Need::Require`].
    ///
    /// What the program copies elsewhere, and what registers and hibernation leave behind, is beyond the pool's reach.
    ///
    /// # Cost
    /// A return wipes what was written. Buffers are whole OS pages, and one more of addresses each. Linux lets
    /// most users lock 8 MiB in all (`RLIMIT_MEMLOCK`).
    ///
    /// # Examples
    ///
    /// ```
    /// use millpond::{BufferPool, MemoryOption};
    ///
    /// let secrets = BufferPool::secret().size_classes([4096]).build()?;
    /// let key = secrets.copy_from(b"correct horse battery staple");
    /// let stats = secrets.stats();
    /// let locked = stats.memory.iter().find(|asked| asked.option == MemoryOption::Locked);
    /// if locked.is_some_and(|locked| locked.got < locked.asked) {
    ///     eprintln!("keys may be swapped out: raise the limit on locked memory");
    /// }
    /// # drop(key);
    /// # Ok::<(), millpond::BuildError>(())
    /// ```
    pub fn secret() -> BufferPoolBuilder {
        let memory = Memory::mapped().locked(Need::Prefer).exclude_from_dumps(Need::Prefer);
        let memory = memory.wipe_on_fork(Need::Prefer).guard_pages(Need::Prefer);
        Self::builder().zeroing(Zeroing::OnReturn).memory(memory)
    }

    /// A pool with these options, which the builder has checked.
    pub(crate) fn build(builder: BufferPoolBuilder) -> Result<Self, BuildError> {
        let options = builder.options();
        let block = |size: &usize| {
            let size = size.next_multiple_of(options.alignment);
            Layout::from_size_align(size, options.alignment).expect("at most half the address space")
        };
        let blocks: Vec<_> = options.size_classes.iter().map(block).collect();
        let idle = |block: &Layout| StoreConfig { weight: block.size(), keeping: Keeping::Idle };
        let nothing = StoreConfig { weight: os::page_size(), keeping: Keeping::Nothing };
        let stores: Vec<_> = blocks.iter().map(idle).chain([nothing, nothing]).collect();
        let name = Name::new(options.name);
        let plan = options.memory.plan(&name).map_err(|denial| BuildError::of_denial(denial, os::page_size()))?;
        let banks = options.memory.banks();
        let plans = Vec::from_iter((0..banks).map(|bank| options.memory.plan_on(Bank(bank as u8), plan.as_ref())));
        let apart = Memory::APART;
        let layouts = blocks.iter().copied().chain([apart, apart]);
        let registry = &Registry::new();
        let source = |block| plans.iter().map(move |plan| options.memory.source_for(block, plan.as_ref(), registry));
        let keeper = ByteKeeper {
            classes: SizeClasses::new(options.size_classes.to_vec(), options.max_request),
            wipes: options.wipes,
            closed: AtomicBool::new(false),
            max_request: options.max_request,
            alignment: options.alignment,
            sources: layouts.flat_map(source).collect(),
            registry: registry.clone(),
            banks,
            plan: plan.clone(),
            leaf: options.bounds.budget().node().clone(),
            overflow: options.bounds.overflow,
            waits: Arc::new(Waits::new()),
            upkeep: Upkeep::new(options.decay, &name, options.tracks),
            lists: Lists::new(),
            name,
            builder: builder.clone(),
        };
        // Returns that wipe are slow, so gets of such a pool need not be fast; see `lane_home`.
        let steps: Vec<_> = keeper.classes.steps().map(|class| class.filter(|_| !options.wipes).map(|c| c.0)).collect();
        let limits = Limits {
            max_idle: options.max_idle,
            max_idle_per_store: options.max_idle_per_class,
            thread_cache: options.thread_cache,
            by_clock: options.eviction == Eviction::ClockPro,
            banks,
            #[cfg(feature = "track")]
            tracks: options.tracks,
        };
        let pool = BufferPool { core: Handle::new(keeper, &stores, steps, limits) };
        pool.keeper().leaf.join(options.name.map(String::from), pool.core.core().hold(), &pool.keeper().waits);
        pool.prefill(options.prefill)?;
        if let Some(upkeep) = pool.keeper().upkeep.as_ref().filter(|_| options.maintenance == Maintenance::Thread) {
            maintenance::watch(pool.core.core().hold(), upkeep);
        }
        Ok(pool)
    }

    fn prefill(&self, counts: &[(usize, usize)]) -> Result<(), BuildError> {
        let born = |&(size, count): &(usize, usize)| {
            let (store, layout) = self.keeper().block_for(size).expect("the builder checked it");
            Stock::born(&self.core, store, layout, count)
        };
        let stocks = counts.iter().map(born).collect::<Result<Vec<_>, _>>();
        let stocked = stocks.map(drop);
        // What gave way may have panicked.
        panics::resume();
        stocked
    }

    #[cfg(any(feature = "metrics-024", feature = "prometheus-client-025"))]
    pub(crate) fn handle(&self) -> &Handle<ByteKeeper> {
        &self.core
    }

    pub(super) fn keeper(&self) -> &ByteKeeper {
        self.core.keeper()
    }

    #[cfg_attr(
        not(all(feature = "io-uring-07", feature = "tracing-01", target_os = "linux")),
        allow(dead_code, reason = "for events")
    )]
    pub(crate) fn name(&self) -> &Name {
        self.keeper().name()
    }

    /// Whether what was written is wiped when it comes home.
    #[cfg_attr(not(all(feature = "io-uring-07", target_os = "linux")), allow(dead_code, reason = "for copies"))]
    pub(crate) fn wipes(&self) -> bool {
        self.keeper().wipes()
    }

    /// A buffer as requested, now.
    ///
    /// Takes no lock, allocates nothing and enters no kernel while the thread's cache holds a buffer of the class;
    /// otherwise takes a batch from the pool's depot, and when that is empty, memory from the system. A zeroed
    /// request also costs the zeroing of what was written to the memory since it was last zero.
    ///
    /// # Panics
    /// With the error's text when [`try_get`](Self::try_get) would fail.
    ///
    /// # Examples
    ///
    /// ```
    /// use millpond::{BufferPool, Recycled};
    ///
    /// let pool = BufferPool::new();
    /// assert_eq!(pool.get(3)[..], [0, 0, 0]);
    /// assert_eq!(pool.get(Recycled(3)).len(), 3);
    /// ```
    #[inline(always)]
    #[track_caller]
    #[must_use]
    pub fn get<R: Request>(&self, request: R) -> PooledBuf {
        let taken = match taken::hit(&self.core, request.capacity()) {
            Some(taken) => taken,
            None => obtain_or_panic(&self.core, request.capacity(), want(request)),
        };
        PooledBuf::requested(taken, request, self.core.core().checkout())
    }

    /// A buffer as requested, now, or the reason why not. Never waits. Costs as [`get`](Self::get).
    ///
    /// # Errors
    /// [`Error::TooLarge`] above the pool's largest request; [`Error::OverBudget`] when a budget has no more, or never had so
    /// much, with its limit, and nothing idle could give way; [`Error::Queued`] when others wait in line for it;
    /// [`Error::OutOfMemory`] when the system has none and no thread's cache holds a buffer of the class; [`Error::Refused`]
    /// and [`Error::Source`] where the pool's [`Memory`] fails; [`Error::Closed`] after [`close`](Self::close). Nothing is
    /// lost then.
    ///
    /// # Examples
    ///
    /// ```
    /// use millpond::{BufferPool, Error};
    ///
    /// let pool = BufferPool::builder().max_request(1 << 20).build()?;
    /// assert!(pool.try_get(1 << 20).is_ok());
    /// assert_eq!(pool.try_get(2 << 20).unwrap_err(), Error::TooLarge { requested: 2 << 20, limit: 1 << 20 });
    /// # Ok::<(), millpond::BuildError>(())
    /// ```
    #[inline(always)]
    #[cfg_attr(feature = "track", track_caller)]
    pub fn try_get<R: Request>(&self, request: R) -> Result<PooledBuf, Error> {
        self.try_get_for(request, self.core.core().checkout())
    }

    /// The same for a checkout that was noted elsewhere.
    #[inline(always)]
    pub(super) fn try_get_for<R: Request>(&self, request: R, checkout: Checkout) -> Result<PooledBuf, Error> {
        let taken = match taken::hit(&self.core, request.capacity()) {
            Some(taken) => taken,
            None => obtain(&self.core, request.capacity(), want(request))?,
        };
        Ok(PooledBuf::requested(taken, request, checkout))
    }

    /// Buffers for all of these requests, now, or none.
    ///
    /// Costs one exchange with the depot for each magazine full of buffers, not one for each buffer, and one allocation
    /// for the batch.
    ///
    /// # Panics
    /// With the error's text when [`try_get_many`](Self::try_get_many) would fail.
    ///
    /// # Examples
    ///
    /// ```
    /// let pool = millpond::BufferPool::new();
    /// let batch = pool.get_many([4096; 32]);
    /// assert_eq!(batch.len(), 32);
    /// ```
    #[track_caller]
    #[must_use]
    pub fn get_many<R: Request>(&self, requests: impl IntoIterator<Item = R>) -> PooledBatch<PooledBuf> {
        match self.try_get_many(requests) {
            Ok(batch) => batch,
            Err(error) => error.panic(),
        }
    }

    /// Buffers for all of these requests, now, or none and the reason why. Costs as [`get_many`](Self::get_many).
    ///
    /// # Errors
    /// That of the first request which [`try_get`](Self::try_get) would refuse. The buffers got before it have gone
    /// home.
    #[cfg_attr(feature = "track", track_caller)]
    pub fn try_get_many<R: Request>(
        &self,
        requests: impl IntoIterator<Item = R>,
    ) -> Result<PooledBatch<PooledBuf>, Error> {
        let got = many::get(&self.core, requests, self.keeper().overflow, self.core.core().checkout());
        got.inspect_err(|error| told::refused(&self.keeper().name, error))
    }

    /// A buffer as requested, when it is its turn: waits in line while the budget is spent. See [`Acquire`].
    ///
    /// # Errors
    /// Of the future: [`Error::NeverFits`] for more than the budget may ever have, [`Error::Closed`] when the pool is
    /// closed meanwhile, and what [`try_get`](Self::try_get) fails with for other reasons than the budget.
    ///
    /// # Examples
    ///
    /// ```
    /// # async fn serve() -> Result<(), millpond::Error> {
    /// let pool = millpond::BufferPool::shared();
    /// let page = pool.acquire(4096).await?;
    /// assert_eq!(page.len(), 4096);
    /// # Ok(())
    /// # }
    /// ```
    #[cfg_attr(feature = "track", track_caller)]
    pub fn acquire<R: Request>(&self, request: R) -> Acquire<PooledBuf> {
        Acquire::new(order::one(self.core.clone(), request.wish(), self.core.core().checkout()))
    }

    /// Buffers for all of these requests at once, when it is their turn. As [`acquire`](Self::acquire); a large batch is
    /// not starved by small requests behind it.
    ///
    /// # Panics
    /// When the iterator does.
    ///
    /// # Examples
    ///
    /// ```
    /// let pool = millpond::BufferPool::new();
    /// let parts = pool.acquire_many([4096, 65536]).wait()?;
    /// assert_eq!((parts[0].len(), parts[1].len()), (4096, 65536));
    /// # Ok::<(), millpond::Error>(())
    /// ```
    #[cfg_attr(feature = "track", track_caller)]
    pub fn acquire_many<R: Request>(&self, requests: impl IntoIterator<Item = R>) -> Acquire<PooledBatch<PooledBuf>> {
        let checkout = self.core.core().checkout();
        Acquire::new(order::many(self.core.clone(), requests.into_iter().map(|request| request.wish()), checkout))
    }

    /// Gives idle memory back to the system until at most `keep_bytes` of this pool lie idle; how many bytes were freed.
    ///
    /// Reaches the caches of all threads, also of those that sleep. Costs a visit to their magazines, a memory barrier
    /// in each running thread of the process for every 16 of them, and the freeing.
    ///
    /// # Examples
    ///
    /// ```
    /// let pool = millpond::BufferPool::new();
    /// drop(pool.get_many([1024; 100]));
    /// assert_eq!(pool.trim(10 * 1024), 90 * 1024);
    /// assert_eq!(pool.trim(0), 10 * 1024);
    /// ```
    pub fn trim(&self, keep_bytes: usize) -> usize {
        self.keeper().lists.clear();
        let freed = self.core.core().trim(keep_bytes);
        told::trimmed(&self.keeper().name, keep_bytes, freed);
        freed
    }

    /// Looks after idle memory now, if a quarter of the [decay](BufferPoolBuilder::decay) interval has passed since that was done
    /// last: what has lain idle for a whole interval goes back to the system. For programs that do so themselves
    /// ([`Maintenance::Manual`]), a few times in an interval; harmless in others.
    ///
    /// Costs a look at the clock, or if it is time a visit to the caches of all threads, a memory barrier in each running
    /// thread of the process if one of the caches was not used lately, and the freeing.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use millpond::{BufferPool, Maintenance};
    ///
    /// let builder = BufferPool::builder().maintenance(Maintenance::Manual);
    /// let pool = builder.decay(Duration::from_millis(4)).build()?;
    /// drop(pool.get(4096));
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
    }

    /// Gives idle memory back because it is wanted elsewhere, now and once; how many bytes were freed. For programs that
    /// are told, by the system or by whoever runs them.
    ///
    /// | level | gives back |
    /// |---|---|
    /// | [`Moderate`](Pressure::Moderate) | what nobody has needed since the last call of this, or for a quarter of the [decay](BufferPoolBuilder::decay) interval if that is shorter; also out of the caches of threads that have done nothing since the pool was last looked after |
    /// | [`Critical`](Pressure::Critical) | all that lies idle, out of all threads' caches |
    ///
    /// Until somebody has looked, nothing is known to be unneeded: in a pool that neither decays nor was called before,
    /// the first call with `Moderate` frees nothing. [Prefilled](BufferPoolBuilder::prefill) buffers stay. While another
    /// thread looks after the pool, nothing is done.
    ///
    /// Costs a visit to the caches of all threads, a memory barrier in each running thread of the process for every 16 of
    /// those that are emptied, and the freeing.
    ///
    /// # Examples
    ///
    /// ```
    /// use millpond::{BufferPool, Pressure};
    ///
    /// let pool = BufferPool::new();
    /// drop(pool.get_many([1024; 100]));
    /// assert_eq!(pool.pressure(Pressure::Critical), 100 * 1024);
    /// assert_eq!(pool.stats().footprint, 0);
    /// ```
    pub fn pressure(&self, level: Pressure) -> usize {
        self.keeper().lists.clear();
        let freed = level.relieve(self.core.core());
        told::relieved(&self.keeper().name, level, freed);
        freed
    }

    /// A buffer with a copy of these bytes.
    ///
    /// # Panics
    /// As [`get`](Self::get).
    ///
    /// # Examples
    ///
    /// ```
    /// let pool = millpond::BufferPool::new();
    /// assert_eq!(pool.copy_from(b"hello")[..], *b"hello");
    /// ```
    #[inline]
    #[track_caller]
    #[must_use]
    pub fn copy_from(&self, bytes: &[u8]) -> PooledBuf {
        let mut buf = self.get(Capacity(bytes.len()));
        buf.extend_from_slice(bytes);
        buf
    }

    /// Makes this thread's magazines now, for every size class, so that no later get or return on this thread has to.
    ///
    /// For threads that must not allocate later, together with [`prefill`](BufferPoolBuilder::prefill). Allocates about
    /// a kilobyte for each class that the thread has not used yet.
    ///
    /// From then on, a [`try_get`](Self::try_get) or a return on this thread neither allocates, frees, locks nor enters
    /// the kernel while the prefilled buffers of its class suffice: for those that are out at once, and for those that
    /// lie idle in other threads' caches, out of reach of this one. That is up to 64 for each other thread that uses
    /// the class, or as many as [`thread_cache`](BufferPoolBuilder::thread_cache) has room for.
    pub fn attach_thread(&self) {
        self.core.core().attach_thread();
    }

    /// Closes the pool for all its handles: idle memory is freed at once, later requests fail, and buffers that are out
    /// are freed when they come home.
    ///
    /// Costs a visit to the magazines of all threads and a memory barrier in each running thread of the process.
    ///
    /// # Examples
    ///
    /// ```
    /// use millpond::{BufferPool, Error};
    ///
    /// let pool = BufferPool::new();
    /// let kept = pool.copy_from(b"still valid");
    /// pool.close();
    /// assert_eq!(pool.try_get(10).unwrap_err(), Error::Closed);
    /// assert_eq!(kept[..], *b"still valid");
    /// ```
    pub fn close(&self) {
        self.keeper().closed.store(true, Relaxed);
        self.core.close();
    }

    /// What the pool has done and holds, by size class and in all.
    ///
    /// Exact when nobody uses the pool. Meanwhile, a slot that moves between two places may be counted in both or in
    /// neither: at most a magazine full for each thread at work. Costs a visit to the magazines of all threads, and to those
    /// who wait in line.
    ///
    /// # Examples
    ///
    /// ```
    /// let pool = millpond::BufferPool::new();
    /// drop(pool.get(1000));
    /// drop(pool.get(1000));
    /// let stats = pool.stats();
    /// assert_eq!((stats.gets, stats.fresh, stats.cache_hits), (2, 1, 1));
    /// assert_eq!(stats.footprint, 1024);
    /// ```
    #[must_use]
    pub fn stats(&self) -> Stats {
        stats(&self.core)
    }
}

/// As [`BufferPool::stats`], also when no handle is left.
pub(crate) fn stats(core: &ByteCore) -> Stats {
    let (core, keeper) = (core.core(), core.keeper());
    let block = |class: usize| class.next_multiple_of(keeper.alignment);
    let class = |(class, &size): (usize, &usize)| ClassStats::new(size, block(size), &core.stats(class));
    let classes = keeper.classes.sizes().iter().enumerate().map(class).collect();
    let slack: usize = keeper.sources.iter().map(BlockSource::overhead).sum();
    let besides = Besides {
        oversize: core.stats(keeper.oversize()),
        unpooled: core.stats(keeper.unpooled()),
        waits: &keeper.waits,
        waiters: keeper.leaf.count_waits(&keeper.waits),
        overhead: slack + keeper.lists.bytes() + keeper.registry.bytes() + core.overhead(),
        plan: keeper.plan.as_deref(),
    };
    Stats::of_bytes(classes, &besides)
}

/// A get that the thread's cache cannot serve. Returns what fits two registers: through memory, the handle would be
/// put together there on the hit path too.
#[cold]
#[inline(never)]
#[track_caller]
fn obtain_or_panic(core: &ByteCore, size: usize, want: Want) -> Taken {
    match obtain(core, size, want) {
        Ok(taken) => taken,
        Err(error) => error.panic(),
    }
}

/// As [`taken::obtain`]; tells of a refusal.
#[cold]
#[inline(never)]
fn obtain(core: &ByteCore, size: usize, want: Want) -> Result<Taken, Error> {
    taken::obtain(core, size, want).inspect_err(|error| told::refused(core.keeper().name(), error))
}

pub(in crate::bytes) fn want<R: Request>(request: R) -> Want {
    if request.wants_zero() { Want::Zeroed } else { Want::Any }
}

impl Default for BufferPool {
    /// As [`BufferPool::new`].
    fn default() -> Self {
        Self::new()
    }
}

/// Shows the options, defaults included.
impl fmt::Debug for BufferPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let closed = self.keeper().closed.load(Relaxed);
        f.debug_struct("BufferPool").field("options", &self.keeper().builder).field("closed", &closed).finish()
    }
}

impl fmt::Debug for Handle<ByteKeeper> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.core(), f)
    }
}

#[cfg(all(test, feature = "pressure", target_os = "linux", not(any(loom, miri))))]
mod pressed;

#[cfg(all(test, not(loom)))]
mod banks;

#[cfg(all(test, not(loom)))]
mod tests;
