//! A pool's regions: listed, pinned and watched.

use std::fmt;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crate::bytes::pool::BufferPool;
use crate::engine::core::CoreRef;
use crate::memory::Source;
use crate::memory::regions::{Hold, Region, RegionWatcher, Registry, Watch};

/// The first and the longest pause between two looks of [`RegionPin::wait`].
const PAUSES: [Duration; 2] = [Duration::from_micros(20), Duration::from_millis(5)];

impl BufferPool {
    /// The [regions](Region) that the pool's memory is in at this moment, by index.
    ///
    /// None where memory is from the heap, or between guard pages. In the child of a fork that happened while another
    /// thread changed the list, none either.
    ///
    /// # Cost
    /// A short lock, which those take who map memory or give it back, and one allocation.
    ///
    /// # Examples
    ///
    /// ```
    /// let pool = millpond::BufferPool::new();
    /// let buf = pool.get(4096);
    /// let (index, _) = buf.region().unwrap();
    /// assert!(pool.regions().iter().any(|region| region.index() == index));
    /// ```
    #[must_use]
    pub fn regions(&self) -> Vec<Region> {
        self.keeper().registry.regions()
    }

    /// Keeps all memory of the pool where it is, as long as the pin lives: for kernels and devices that were told of
    /// its regions and hold on to their pages.
    ///
    /// Whatever the pool gives up meanwhile stays mapped, with its pages: it counts as
    /// [overhead](crate::Stats::overhead), is not zero unless the pool [wipes](crate::Zeroing::OnReturn), and is used
    /// first when the pool grows. New regions may come. When the last pin goes, what is not in use goes back.
    ///
    /// When this returns, nothing is being given back any more. A region that was on its way out before is not
    /// [listed](Self::regions), and watchers may still be told so.
    ///
    /// # Cost
    /// Two atomic operations, and a wait for the system calls that give memory back at this moment. A buffer that the pool
    /// has not ready looks, as long as pins live, at every region if it is one of 2 MiB or more.
    ///
    /// # Examples
    ///
    /// ```
    /// let pool = millpond::BufferPool::new();
    /// let buf = pool.get(4096);
    /// let pin = pool.pin_regions();
    /// let told = pool.regions();                      // tell the kernel of them
    /// drop(buf);
    /// pool.trim(0);
    /// assert_eq!(pool.regions(), told);
    /// pin.release().unwrap();
    /// assert!(pool.regions().is_empty());
    /// ```
    #[must_use = "memory stays as long as the pin lives"]
    pub fn pin_regions(&self) -> RegionPin {
        let keeper = self.keeper();
        keeper.registry.passes().raise(Hold::Pin);
        RegionPin { registry: keeper.registry.clone(), sources: keeper.sources.clone(), core: self.core.core().hold() }
    }

    /// Has this watcher told of each region that is there, before this returns, and from then on of each that comes and
    /// goes, until the watch is dropped.
    ///
    /// Meanwhile only whole regions go back to the system, and no part of one: a buffer that is given up keeps its
    /// pages as long as there are others in its region. A panic of the watcher is caught.
    ///
    /// # Cost
    /// As [`pin_regions`](Self::pin_regions), and the calls of the watcher.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::sync::{Arc, Mutex};
    /// use millpond::{BufferPool, Region, RegionWatcher};
    ///
    /// #[derive(Default)]
    /// struct Table(Mutex<Vec<u32>>);
    ///
    /// impl RegionWatcher for Table {
    ///     fn added(&self, region: &Region) {
    ///         self.0.lock().unwrap().push(region.index());
    ///     }
    ///
    ///     fn removed(&self, region: &Region) {
    ///         self.0.lock().unwrap().retain(|&index| index != region.index());
    ///     }
    /// }
    ///
    /// let (pool, table) = (BufferPool::new(), Arc::new(Table::default()));
    /// let watch = pool.watch_regions(table.clone());
    /// let buf = pool.get(4096);
    /// assert_eq!(*table.0.lock().unwrap(), [buf.region().unwrap().0]);
    /// drop((buf, pool));
    /// assert!(table.0.lock().unwrap().is_empty());
    /// # drop(watch);
    /// ```
    #[must_use = "the watcher is told as long as the watch lives"]
    pub fn watch_regions(&self, watcher: Arc<dyn RegionWatcher>) -> RegionWatch {
        let keeper = self.keeper();
        let watch = keeper.registry.watch(watcher);
        RegionWatch { watch, registry: keeper.registry.clone(), sources: keeper.sources.clone() }
    }
}

/// Keeps all memory of a pool where it is; made by [`BufferPool::pin_regions`].
///
/// Dropped, it lets go, whether or not buffers are out: who told a kernel or a device of the memory takes that back
/// first, and may [`release`](Self::release) the pin to be told if buffers are still out. The pool may be dropped
/// before.
pub struct RegionPin {
    registry: Arc<Registry>,
    sources: Arc<[Source]>,
    core: CoreRef,
}

// What sources and watchers have behind them is their own affair.
impl UnwindSafe for RegionPin {}
impl RefUnwindSafe for RegionPin {}

impl RegionPin {
    /// Buffers of the pool that are out with users, frozen ones counted once.
    ///
    /// Exact when nobody uses the pool. Costs as [`BufferPool::stats`].
    #[must_use]
    pub fn outstanding(&self) -> usize {
        self.core.outstanding()
    }

    /// Lets go, if no buffer is out.
    ///
    /// # Errors
    /// The pin, and how many are out.
    ///
    /// # Examples
    ///
    /// ```
    /// let pool = millpond::BufferPool::new();
    /// let (buf, pin) = (pool.get(4096), pool.pin_regions());
    /// let in_flight = pin.release().unwrap_err();
    /// assert_eq!(in_flight.outstanding(), 1);
    /// drop(buf);
    /// in_flight.into_pin().release().unwrap();
    /// ```
    pub fn release(self) -> Result<(), InFlight> {
        match self.outstanding() {
            0 => Ok(()),
            outstanding => Err(InFlight { pin: self, outstanding }),
        }
    }

    /// Lets go as soon as no buffer is out.
    ///
    /// # Errors
    /// The pin, and how many were out when the time was up.
    ///
    /// # Cost
    /// Looks as [`outstanding`](Self::outstanding) does, again and again, with pauses from 20 us that double up to 5 ms: returns tell
    /// nobody, so that they cost nothing.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let pool = millpond::BufferPool::new();
    /// let (buf, pin) = (pool.get(4096), pool.pin_regions());
    /// let other = std::thread::spawn(move || drop(buf));
    /// pin.wait(Duration::from_secs(10)).unwrap();
    /// # other.join().unwrap();
    /// ```
    pub fn wait(self, timeout: Duration) -> Result<(), InFlight> {
        let start = Instant::now();
        let [mut pause, longest] = PAUSES;
        let mut pin = self;
        loop {
            let in_flight = match pin.release() {
                Ok(()) => return Ok(()),
                Err(in_flight) => in_flight,
            };
            let left = timeout.saturating_sub(start.elapsed());
            if left.is_zero() {
                return Err(in_flight);
            }
            thread::sleep(pause.min(left));
            pause = longest.min(pause * 2);
            pin = in_flight.pin;
        }
    }
}

impl Drop for RegionPin {
    fn drop(&mut self) {
        if self.registry.passes().lower(Hold::Pin) {
            self.sources.iter().for_each(Source::sweep);
        }
    }
}

impl fmt::Debug for RegionPin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RegionPin").field("outstanding", &self.outstanding()).finish_non_exhaustive()
    }
}

/// A [pin](RegionPin) that was not released, because buffers are out.
#[derive(Debug)]
pub struct InFlight {
    pin: RegionPin,
    outstanding: usize,
}

impl InFlight {
    /// The pin, as it was.
    #[must_use]
    pub fn into_pin(self) -> RegionPin {
        self.pin
    }

    /// How many buffers were out.
    #[must_use]
    pub fn outstanding(&self) -> usize {
        self.outstanding
    }
}

impl fmt::Display for InFlight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "regions stay pinned, for {} buffers are out", self.outstanding)
    }
}

impl std::error::Error for InFlight {}

/// Has a watcher told of regions; made by [`BufferPool::watch_regions`].
///
/// Dropped, it ends the watch: calls that other threads are in may last a moment longer. It may be dropped in the
/// watcher's own methods. The pool may be dropped before, and the watcher is told as its regions go.
pub struct RegionWatch {
    watch: Arc<Watch>,
    registry: Arc<Registry>,
    sources: Arc<[Source]>,
}

// As for pins.
impl UnwindSafe for RegionWatch {}
impl RefUnwindSafe for RegionWatch {}

impl Drop for RegionWatch {
    fn drop(&mut self) {
        if self.registry.unwatch(&self.watch) {
            self.sources.iter().for_each(Source::sweep);
        }
    }
}

impl fmt::Debug for RegionWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RegionWatch").finish_non_exhaustive()
    }
}
