//! What is out, by where in the program it was taken.

use std::collections::BTreeMap;
use std::fmt;
use std::panic::Location;
use std::time::Duration;

use crate::engine::core::Core;
use crate::engine::track::Out;
#[cfg(feature = "tracing-01")]
use crate::policy::told;
use crate::tell::Name;

/// What is out of a pool that [tracks](crate::BufferPoolBuilder::track), by the places in the program where it was taken:
/// from [`BufferPool::outstanding`](crate::BufferPool::outstanding) and [`Pool::outstanding`](crate::Pool::outstanding).
///
/// `Display` shows a table. With the feature `track`.
///
/// # Examples
///
/// ```
/// use millpond::BufferPool;
///
/// let pool = BufferPool::builder().track(true).build()?;
/// let bufs = [pool.get(4096), pool.get(100)];     // two places
/// let outstanding = pool.outstanding();
/// assert_eq!(outstanding.sites.len(), 2);
/// assert_eq!(outstanding.sites[0].bytes, 4096);
/// println!("{outstanding}");
/// # drop(bufs);
/// # Ok::<(), millpond::BuildError>(())
/// ```
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Outstanding {
    /// The places, that with the most bytes first.
    pub sites: Vec<CallSite>,
    /// Buffers or values that are out besides: all of them in a pool that does not track. Others too where somebody gets or
    /// drops at this moment.
    pub untracked: usize,
}

/// A place in the program, and what was taken there and is out.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct CallSite {
    /// Where: the call of `get` or another verb, or for [`ChainWriter`](crate::ChainWriter)s where they were made.
    pub location: &'static Location<'static>,
    /// Buffers or values.
    pub count: usize,
    /// Bytes of them: capacities, or what values weigh.
    pub bytes: usize,
    /// How long the oldest has been out, give or take two seconds; of pools with
    /// [`Maintenance::Manual`](crate::Maintenance::Manual), give or take what has passed since they were looked after.
    pub oldest: Duration,
    /// The thread that took the oldest: the system's number on Linux and Windows, elsewhere one that counts threads.
    pub thread: u32,
}

impl Outstanding {
    /// Of this core, now.
    pub(crate) fn of(core: &Core) -> Self {
        let mut sites = BTreeMap::new();
        core.for_each_out(|out| {
            let place = out.location;
            sites.entry((place.file(), place.line(), place.column())).or_insert_with(|| CallSite::at(place)).add(&out);
        });
        let mut sites: Vec<_> = sites.into_values().collect();
        sites.sort_by_key(|site| std::cmp::Reverse((site.bytes, site.count)));
        let mut outstanding = Outstanding { sites, untracked: 0 };
        outstanding.untracked = core.outstanding().saturating_sub(outstanding.count());
        outstanding
    }

    /// Buffers or values that are out, tracked or not.
    #[must_use]
    pub fn count(&self) -> usize {
        self.sites.iter().map(|site| site.count).sum::<usize>() + self.untracked
    }

    /// Bytes of those that are tracked.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.sites.iter().map(|site| site.bytes).sum()
    }
}

impl CallSite {
    fn at(location: &'static Location<'static>) -> Self {
        CallSite { location, count: 0, bytes: 0, oldest: Duration::ZERO, thread: 0 }
    }

    fn add(&mut self, out: &Out) {
        self.count += 1;
        self.bytes += out.bytes;
        if self.thread == 0 || out.age > self.oldest {
            self.oldest = out.age;
            self.thread = out.thread;
        }
    }
}

/// A line for each place, ages in seconds.
impl fmt::Display for Outstanding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>8} {:>14} {:>8} {:>8}  taken at", "out", "bytes", "oldest", "thread")?;
        for CallSite { location, count, bytes, oldest, thread } in &self.sites {
            write!(f, "\n{count:>8} {bytes:>14} {:>6} s {thread:>8}  {location}", oldest.as_secs())?;
        }
        match self.untracked {
            0 => Ok(()),
            untracked => write!(f, "\n{untracked:>8} {:>14} {:>8} {:>8}  not tracked", "-", "-", "-"),
        }
    }
}

/// Tells what is out of a pool that nobody has a handle of any more, if it has a name and tracks.
pub(crate) fn log_abandoned(core: &Core, name: &Name) {
    if let Some(pool) = name.get().filter(|_| core.tracks() && core.outstanding() > 0) {
        log(pool, &Outstanding::of(core));
    }
}

/// To subscribers of `tracing`.
#[cfg(feature = "tracing-01")]
fn log(pool: &str, outstanding: &Outstanding) {
    told::abandoned(pool, outstanding);
}

/// To whoever reads the program's errors.
#[cfg(not(feature = "tracing-01"))]
fn log(pool: &str, outstanding: &Outstanding) {
    use std::io::Write;

    // One write, so that other threads' lines stay whole. That nobody reads it is no reason to fail.
    let text = format!("millpond: the pool {pool:?} is gone, and of it are out:\n{outstanding}\n");
    std::io::stderr().write_all(text.as_bytes()).ok();
}
