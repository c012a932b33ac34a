//! A byte pool's options, their defaults and what is allowed.

use std::time::Duration;

use crate::bytes::pool::BufferPool;
use crate::bytes::{MAX_CLASSES, default_sizes};
use crate::memory::{Memory, os};
use crate::policy::budget::Budget;
use crate::policy::error::BuildError;
use crate::policy::eviction::Eviction;
use crate::policy::maintenance::Maintenance;

/// The largest alignment of a buffer, in bytes.
const MAX_ALIGNMENT: usize = 2 << 20;
const DEFAULT_ALIGNMENT: usize = 64;
const DEFAULT_THREAD_CACHE: usize = 4 << 20;
pub(crate) const DEFAULT_DECAY: Duration = Duration::from_secs(10);
/// The most that lies idle by default, and the share of memory where there is little.
const MAX_DEFAULT_IDLE: usize = 256 << 20;
const IDLE_SHARE: usize = 8;

/// When a pool makes bytes zero.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[non_exhaustive]
pub enum Zeroing {
    /// When zero bytes are asked for, as far as they may be something else.
    #[default]
    OnGet,
    /// Before memory lies idle, as far as it was written: nothing of a buffer is left anywhere in the pool once the
    /// buffer is dropped.
    OnReturn,
}

/// What becomes of a `get` or `try_get` when the budget is spent and nothing idle could give way.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[non_exhaustive]
pub enum Overflow {
    /// It fails.
    #[default]
    Fail,
    /// It is served with memory outside the budget, which is counted as [`unpooled`](crate::Stats::unpooled) and goes
    /// back to the system when it is returned. `acquire` waits even so.
    Unpooled,
}

/// Which budget a pool is on.
#[derive(Clone, Debug, Default)]
pub(crate) struct Bounds {
    budget: Option<Budget>,
    max_memory: Option<usize>,
    pub(crate) overflow: Overflow,
}

impl Bounds {
    pub(crate) fn set_budget(&mut self, budget: &Budget) {
        self.budget = Some(budget.clone());
    }

    pub(crate) fn set_max_memory(&mut self, bytes: usize) {
        self.max_memory = Some(bytes);
    }

    /// The budget of a new pool.
    pub(crate) fn budget(&self) -> Budget {
        let budget = self.budget.as_ref().unwrap_or_else(|| Budget::process());
        self.max_memory.map_or_else(|| budget.clone(), |max| budget.child(max))
    }
}

/// Options for a [`BufferPool`], made by [`BufferPool::builder`].
///
/// | option | default |
/// |---|---|
/// | [`size_classes`](Self::size_classes) | two a doubling from 256 B to 64 MiB |
/// | [`alignment`](Self::alignment) | 64 bytes |
/// | [`max_request`](Self::max_request) | `isize::MAX` bytes |
/// | [`prefill`](Self::prefill) | nothing |
/// | [`max_idle`](Self::max_idle) | an eighth of the memory that the process may use, at most 256 MiB |
/// | [`max_idle_per_class`](Self::max_idle_per_class) | no limit |
/// | [`eviction`](Self::eviction) | [`Eviction::ClockPro`] |
/// | [`decay`](Self::decay) | 10 seconds |
/// | [`maintenance`](Self::maintenance) | [`Maintenance::Thread`] |
/// | [`thread_cache`](Self::thread_cache) | 4 MiB for each thread |
/// | [`budget`](Self::budget) | [`Budget::process`] |
/// | [`max_memory`](Self::max_memory) | that of the budget |
/// | [`overflow`](Self::overflow) | [`Overflow::Fail`] |
/// | [`zeroing`](Self::zeroing) | [`Zeroing::OnGet`] |
/// | [`memory`](Self::memory) | [`Memory::mapped`] |
/// | `track`, with the feature of that name | no |
/// | [`name`](Self::name) | none |
///
/// # Examples
///
/// ```
/// use millpond::{BufferPool, Zeroing};
///
/// let pool = BufferPool::builder()
///     .size_classes([4096, 65536])
///     .alignment(4096)
///     .prefill(4096, 16)
///     .zeroing(Zeroing::OnReturn)
///     .build()?;
/// assert_eq!(pool.stats().idle_in_depot, 16 * 4096);
/// # Ok::<(), millpond::BuildError>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "nothing is built before `build`"]
pub struct BufferPoolBuilder {
    name: Option<String>,
    size_classes: Vec<usize>,
    alignment: usize,
    max_request: usize,
    prefill: Vec<(usize, usize)>,
    max_idle: usize,
    max_idle_per_class: usize,
    thread_cache: usize,
    eviction: Eviction,
    decay: Duration,
    maintenance: Maintenance,
    bounds: Bounds,
    zeroing: Zeroing,
    memory: Memory,
    tracks: bool,
}

impl Default for BufferPoolBuilder {
    /// The defaults for this process.
    fn default() -> Self {
        BufferPoolBuilder {
            name: None,
            size_classes: default_sizes(),
            alignment: DEFAULT_ALIGNMENT,
            max_request: isize::MAX as usize,
            prefill: Vec::new(),
            max_idle: os::usable_memory().map_or(MAX_DEFAULT_IDLE, |all| (all / IDLE_SHARE).min(MAX_DEFAULT_IDLE)),
            max_idle_per_class: usize::MAX,
            thread_cache: DEFAULT_THREAD_CACHE,
            eviction: Eviction::default(),
            decay: DEFAULT_DECAY,
            maintenance: Maintenance::default(),
            bounds: Bounds::default(),
            zeroing: Zeroing::default(),
            memory: Memory::default(),
            tracks: false,
        }
    }
}

impl BufferPoolBuilder {
    /// The sizes of pooled buffers, in bytes: ascending, distinct, not zero, at most 64 of them. A request is served by
    /// the smallest that holds it; above the largest, by memory of its own that is not pooled.
    pub fn size_classes(mut self, sizes: impl IntoIterator<Item = usize>) -> Self {
        self.size_classes = sizes.into_iter().collect();
        self
    }

    /// The alignment of every buffer's first byte: a power of two, at most 2 MiB. Classes are rounded up to it.
    pub fn alignment(mut self, bytes: usize) -> Self {
        self.alignment = bytes;
        self
    }

    /// The largest request that is served at all, in bytes. Classes above it are never used.
    pub fn max_request(mut self, bytes: usize) -> Self {
        self.max_request = bytes;
        self
    }

    /// Has `count` buffers for requests of `size` bytes ready when the pool is built, their memory touched. May be
    /// called for several sizes.
    ///
    /// Decay and [pressure](BufferPool::pressure) leave as many in the class. A request that the budget would refuse
    /// otherwise takes them, and so do [`max_idle`](Self::max_idle) and [`trim`](BufferPool::trim).
    pub fn prefill(mut self, size: usize, count: usize) -> Self {
        self.prefill.push((size, count));
        self
    }

    /// The bytes that may lie idle in the whole pool. At most half of them lie in threads' caches. What is beyond
    /// them is freed; which, [`eviction`](Self::eviction) says.
    ///
    /// For the default, the memory that the process may use is the machine's, or on Linux less where control groups
    /// (`memory.max`, `memory.high`; in version 1 `memory.limit_in_bytes`) or the limit on addresses (`RLIMIT_AS`) say so.
    /// The system is asked when the process makes its first builder; what changes later has no effect.
    pub fn max_idle(mut self, bytes: usize) -> Self {
        self.max_idle = bytes;
        self
    }

    /// The buffers of one size class that may lie idle. At most half of them, rounded up, lie in threads' caches.
    pub fn max_idle_per_class(mut self, count: usize) -> Self {
        self.max_idle_per_class = count;
        self
    }

    /// Which idle buffers give way when there are too many.
    pub fn eviction(mut self, eviction: Eviction) -> Self {
        self.eviction = eviction;
        self
    }

    /// How long memory lies idle before it goes back to the system. What was not needed in a whole interval goes at its
    /// end, or up to a quarter later; what lies in the cache of a thread that does nothing, up to an interval after that.
    /// [Prefilled](Self::prefill) buffers stay. `Duration::MAX` turns it off.
    pub fn decay(mut self, interval: Duration) -> Self {
        self.decay = interval;
        self
    }

    /// Who looks after idle memory, so that it decays.
    pub fn maintenance(mut self, maintenance: Maintenance) -> Self {
        self.maintenance = maintenance;
        self
    }

    /// The bytes that may lie in one thread's cache of this pool. Classes of up to 256 KiB get one place in it even so, and
    /// besides there may be one buffer that is larger than half of this, up to sixteen times as large as all of it.
    pub fn thread_cache(mut self, bytes: usize) -> Self {
        self.thread_cache = bytes;
        self
    }

    /// The budget that the pool's memory is charged to.
    pub fn budget(mut self, budget: &Budget) -> Self {
        self.bounds.set_budget(budget);
        self
    }

    /// The bytes that the pool may have, out and idle together: a [child](Budget::child) of its budget.
    pub fn max_memory(mut self, bytes: usize) -> Self {
        self.bounds.set_max_memory(bytes);
        self
    }

    /// What becomes of requests when the budget is spent.
    pub fn overflow(mut self, overflow: Overflow) -> Self {
        self.bounds.overflow = overflow;
        self
    }

    /// When bytes are made zero.
    pub fn zeroing(mut self, zeroing: Zeroing) -> Self {
        self.zeroing = zeroing;
        self
    }

    /// Where the pool takes its memory from.
    pub fn memory(mut self, memory: Memory) -> Self {
        self.memory = memory;
        self
    }

    /// Whether the pool remembers who took what is out: where in the program, on which thread and when. It does not unless
    /// asked. With the feature `track`.
    ///
    /// [`BufferPool::outstanding`] lists it. When the last handle of a pool with a [name](Self::name) goes and buffers are
    /// out, the list is written to standard error.
    ///
    /// # Cost
    /// Two stores at a get and one at a return; the thread of [`Maintenance::Thread`] wakes up once a second as long as the pool
    /// is there. With the feature, whether a pool tracks or not, a get asks whether it does, a return writes that one word,
    /// and batches between threads have ten buffers in place of sixteen.
    ///
    /// # Examples
    ///
    /// ```
    /// let pool = millpond::BufferPool::builder().name("requests").track(true).build()?;
    /// let buf = pool.get(4096);
    /// println!("{}", pool.outstanding());
    /// drop(buf);
    /// pool.assert_quiescent();
    /// # Ok::<(), millpond::BuildError>(())
    /// ```
    #[cfg(feature = "track")]
    pub fn track(mut self, tracks: bool) -> Self {
        self.tracks = tracks;
        self
    }

    /// A name for the pool, shown by `Debug` and by its budget.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Builds the pool. Allocates a few kilobytes for the pool itself, as any collection would: without memory for those,
    /// the process aborts.
    ///
    /// # Errors
    /// [`BuildError::Invalid`] names an option whose value is not allowed; [`BuildError::OverBudget`] and
    /// [`BuildError::OutOfMemory`] say that there is no memory to prefill; [`BuildError::Refused`] names an option of the
    /// memory that is required and that the system refuses, even for one OS page.
    ///
    /// # Examples
    ///
    /// ```
    /// let error = millpond::BufferPool::builder().size_classes([4096, 1024]).build().unwrap_err();
    /// assert!(error.to_string().starts_with("size_classes is 1024 after 4096"));
    /// ```
    pub fn build(self) -> Result<BufferPool, BuildError> {
        self.check()?;
        BufferPool::build(self)
    }

    fn check(&self) -> Result<(), BuildError> {
        let align = self.alignment;
        if !align.is_power_of_two() || align > MAX_ALIGNMENT {
            return invalid("alignment", align, format!("a power of two, at most {MAX_ALIGNMENT}"));
        }
        if self.max_request == 0 || self.max_request > isize::MAX as usize {
            return invalid("max_request", self.max_request, format!("from 1 to {}", isize::MAX));
        }
        if let Some(granule) = self.memory.wrong_granule() {
            return invalid("granule", granule, "a power of two".into());
        }
        self.check_classes()?;
        self.check_prefill()
    }

    fn check_classes(&self) -> Result<(), BuildError> {
        let sizes = &self.size_classes;
        if sizes.is_empty() || sizes.len() > MAX_CLASSES {
            return invalid(
                "size_classes",
                format!("a list of {}", sizes.len()),
                format!("a list of 1 to {MAX_CLASSES} sizes"),
            );
        }
        let largest = isize::MAX as usize / 2;
        if let Some(&size) = sizes.iter().find(|&&size| size == 0 || size > largest) {
            return invalid("size_classes", size, format!("from 1 to {largest} bytes each"));
        }
        if let Some(pair) = sizes.windows(2).find(|pair| pair[0] >= pair[1]) {
            return invalid("size_classes", format!("{} after {}", pair[1], pair[0]), "ascending and distinct".into());
        }
        Ok(())
    }

    fn check_prefill(&self) -> Result<(), BuildError> {
        let largest = self.size_classes.last().copied().unwrap_or(0).min(self.max_request);
        let mut counts = vec![0usize; self.size_classes.len()];
        for &(size, count) in &self.prefill {
            if size > largest {
                return invalid(
                    "prefill",
                    format!("{count} of {size} bytes"),
                    format!("of at most {largest} bytes each"),
                );
            }
            let class = self.size_classes.partition_point(|&class| class < size);
            counts[class] = counts[class].saturating_add(count);
        }
        let of_class = || self.size_classes.iter().zip(&counts);
        if let Some((class, count)) = of_class().find(|&(_, &count)| count > self.max_idle_per_class) {
            let allowed = format!("at most {} of a class (max_idle_per_class)", self.max_idle_per_class);
            return invalid("prefill", format!("{count} in the class of {class} bytes"), allowed);
        }
        let bytes = |(class, count): (&usize, &usize)| class.next_multiple_of(self.alignment).saturating_mul(*count);
        let total = of_class().map(bytes).fold(0, usize::saturating_add);
        if total > self.max_idle {
            return invalid(
                "prefill",
                format!("{total} bytes in all"),
                format!("at most {} bytes (max_idle)", self.max_idle),
            );
        }
        Ok(())
    }

    pub(crate) fn options(&self) -> Options<'_> {
        Options {
            name: self.name.as_deref(),
            size_classes: &self.size_classes,
            alignment: self.alignment,
            max_request: self.max_request,
            prefill: &self.prefill,
            max_idle: self.max_idle,
            max_idle_per_class: self.max_idle_per_class,
            thread_cache: self.thread_cache,
            eviction: self.eviction,
            decay: self.decay,
            maintenance: self.maintenance,
            bounds: &self.bounds,
            wipes: self.zeroing == Zeroing::OnReturn,
            memory: &self.memory,
            tracks: self.tracks,
        }
    }
}

/// The checked options, for the pool that is built from them.
pub(crate) struct Options<'a> {
    pub(crate) name: Option<&'a str>,
    pub(crate) size_classes: &'a [usize],
    pub(crate) alignment: usize,
    pub(crate) max_request: usize,
    pub(crate) prefill: &'a [(usize, usize)],
    pub(crate) max_idle: usize,
    pub(crate) max_idle_per_class: usize,
    pub(crate) thread_cache: usize,
    pub(crate) eviction: Eviction,
    pub(crate) decay: Duration,
    pub(crate) maintenance: Maintenance,
    pub(crate) bounds: &'a Bounds,
    pub(crate) wipes: bool,
    pub(crate) memory: &'a Memory,
    pub(crate) tracks: bool,
}

fn invalid<T>(option: &'static str, value: impl ToString, allowed: String) -> Result<T, BuildError> {
    Err(BuildError::invalid(option, value, allowed))
}
