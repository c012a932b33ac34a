//! Requests that wait their turn.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering, Ordering::Relaxed};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use crate::engine::core::Core;
use crate::panics;
use crate::policy::budget::{Demand, Grant, Node, Place, Stood, fetch, leave, stand};
use crate::policy::error::Error;
use crate::policy::told::{self, Waiting};

/// A handle on its way: what [`acquire`](crate::BufferPool::acquire) and
/// [`acquire_many`](crate::BufferPool::acquire_many) return.
///
/// A future for any runtime; and for threads without one, [`wait`](Self::wait) and its kin. It stands in line from its
/// first poll on: who came first is served first, large requests before the small ones behind them. While anybody
/// stands in line, nobody overtakes by `try_get`.
///
/// Dropped before it is done, it leaves the line, and what may have been set aside for it goes to the next. While it
/// waits it keeps the pool open. Leaked (`mem::forget`), it stays in line, and those behind it wait for ever.
///
/// Costs what a get costs if it need not wait. Otherwise the line's lock, a visit to the magazines of all threads when
/// a line forms, and as long as lines form the pools under the budget return buffers through that lock.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use millpond::{BufferPool, Error};
///
/// let pool = BufferPool::builder().size_classes([4096]).max_memory(4096).build()?;
/// let first = pool.acquire(4096).wait()?;
/// let second = pool.acquire(4096).wait_timeout(Duration::from_millis(10));
/// assert!(matches!(second, Err(Error::TimedOut { requested: 4096, .. })));
/// std::thread::spawn(move || drop(first));
/// assert_eq!(pool.acquire(4096).wait()?.len(), 4096);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "nothing is requested before it is polled or waited for"]
pub struct Acquire<H: Awaited> {
    order: H::Order,
    state: State,
    waiting: Waiting,
}

enum State {
    New,
    /// It cannot be served at once.
    Refused,
    Waits(Place),
    Done,
}

/// Handles that can be waited for. Sealed.
pub trait Awaited: sealed::Deliver {}

impl<H: sealed::Deliver> Awaited for H {}

/// What is asked of a pool in line.
#[derive(Clone, Copy, Debug)]
pub struct Site<'a> {
    pub(crate) leaf: &'a Arc<Node>,
    pub(crate) core: &'a Core,
    pub(crate) waits: &'a Waits,
}

pub(crate) mod sealed {
    use super::{Demand, Error, Grant, Site};
    use crate::tell::Name;

    /// A handle, or a batch, and how it is come by.
    pub trait Deliver: Sized {
        /// A request, and the pool it goes to.
        type Order: Unpin + Send + 'static;

        /// As the methods that never wait, but without memory from outside the budget.
        fn try_now(order: &mut Self::Order) -> Result<Self, Error>;

        /// Whether [`try_now`](Self::try_now) would find others in line, as far as can be told without trying.
        #[inline]
        fn finds_line(order: &Self::Order) -> bool {
            Self::site(order).has_line()
        }

        /// Where to stand.
        fn site(order: &Self::Order) -> Site<'_>;

        /// What to stand for.
        fn demand(order: &mut Self::Order) -> Result<Demand, Error>;

        /// The handle, from what was granted. None: it was not enough, and the order knows better now.
        fn redeem(order: &mut Self::Order, grant: Grant) -> Option<Result<Self, Error>>;

        /// What the pool is called.
        fn name(order: &Self::Order) -> &Name;

        /// What was asked for, in bytes or values.
        fn requested(order: &Self::Order) -> usize;
    }
}

/// What a pool's users have waited, as far as it was counted here, and the pool's number among those of its tree.
#[derive(Debug)]
pub(crate) struct Waits {
    number: AtomicU32,
    count: AtomicU64,
    nanos: AtomicU64,
    longest: AtomicU64,
}

/// How long waits were: all together, and the longest.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Waited {
    pub(crate) nanos: u64,
    pub(crate) longest: u64,
}

impl Waited {
    pub(crate) fn add(&mut self, waited: Duration) {
        let nanos = u64::try_from(waited.as_nanos()).unwrap_or(u64::MAX);
        self.nanos = self.nanos.saturating_add(nanos);
        self.longest = self.longest.max(nanos);
    }
}

/// Of a pool that has not joined a tree, or has left it.
const NO_NUMBER: u32 = u32::MAX;

impl Waits {
    pub(crate) fn new() -> Self {
        Waits {
            number: AtomicU32::new(NO_NUMBER),
            count: AtomicU64::new(0),
            nanos: AtomicU64::new(0),
            longest: AtomicU64::new(0),
        }
    }

    /// The pool's number in its tree. Under the lock of its lines, as all that follow.
    pub(crate) fn number(&self) -> Option<u32> {
        Some(self.number.load(Relaxed)).filter(|&number| number != NO_NUMBER)
    }

    pub(crate) fn join(&self, number: u32) {
        self.number.store(number, Relaxed);
    }

    /// The number that it had.
    pub(crate) fn leave(&self) -> Option<u32> {
        let number = self.number();
        self.number.store(NO_NUMBER, Relaxed);
        number
    }

    /// Counts what was counted elsewhere.
    pub(crate) fn add(&self, count: u32, waited: Waited) {
        self.count.store(self.count() + u64::from(count), Relaxed);
        self.nanos.store(self.nanos.load(Relaxed).saturating_add(waited.nanos), Relaxed);
        self.longest.store(self.longest.load(Relaxed).max(waited.longest), Relaxed);
    }

    pub(crate) fn count(&self) -> u64 {
        self.count.load(Relaxed)
    }

    pub(crate) fn total(&self) -> Duration {
        Duration::from_nanos(self.nanos.load(Relaxed))
    }

    pub(crate) fn longest(&self) -> Duration {
        Duration::from_nanos(self.longest.load(Relaxed))
    }
}

impl Site<'_> {
    /// Whether others wait for what the pool has.
    #[inline]
    pub(crate) fn has_line(&self) -> bool {
        self.core.has_attention() && self.leaf.is_queued()
    }
}

impl<H: Awaited> Acquire<H> {
    pub(crate) fn new(order: H::Order) -> Self {
        Acquire { order, state: State::New, waiting: Waiting::new() }
    }

    /// Blocks this thread until the request is served.
    ///
    /// # Errors
    /// [`Error::NeverFits`] at once where no wait would help, [`Error::Closed`] when the pool is closed, and what
    /// `try_get` fails with for other reasons than a spent budget.
    ///
    /// # Examples
    ///
    /// ```
    /// let pool = millpond::BufferPool::new();
    /// assert_eq!(pool.acquire(100).wait()?.len(), 100);
    /// # Ok::<(), millpond::Error>(())
    /// ```
    pub fn wait(self) -> Result<H, Error> {
        self.block(None)
    }

    /// Blocks this thread until the request is served or the time is up. Zero is one try.
    ///
    /// # Errors
    /// [`Error::TimedOut`], and those of [`wait`](Self::wait).
    pub fn wait_timeout(self, timeout: Duration) -> Result<H, Error> {
        let began = Instant::now();
        // A time that no clock can show never comes.
        self.block(began.checked_add(timeout).map(|deadline| (began, deadline)))
    }

    /// Blocks this thread until the request is served or the time has come.
    ///
    /// # Errors
    /// As [`wait_timeout`](Self::wait_timeout).
    pub fn wait_deadline(self, deadline: Instant) -> Result<H, Error> {
        self.block(Some((Instant::now(), deadline)))
    }

    /// Blocks this thread until it is served; or from the first time to the second.
    #[inline]
    fn block(mut self, time: Option<(Instant, Instant)>) -> Result<H, Error> {
        if let Some(result) = self.serve_at_once() {
            panics::resume();
            return result.inspect_err(|error| told::refused(H::name(&self.order), error));
        }
        self.state = State::Refused;
        self.park(time)
    }

    fn park(mut self, time: Option<(Instant, Instant)>) -> Result<H, Error> {
        let bell = Arc::new(Bell { thread: thread::current(), has_rung: AtomicBool::new(false) });
        let waker = Waker::from(bell.clone());
        let mut context = Context::from_waker(&waker);
        loop {
            if let Poll::Ready(result) = Pin::new(&mut self).poll(&mut context) {
                return result;
            }
            // Acquire pairs with the bell's Release: what was granted is there.
            while !bell.has_rung.swap(false, Ordering::Acquire) {
                let Some((began, deadline)) = time else {
                    thread::park();
                    continue;
                };
                match deadline.saturating_duration_since(Instant::now()) {
                    Duration::ZERO => {
                        let timed_out =
                            Error::TimedOut { requested: H::requested(&self.order), waited: began.elapsed() };
                        told::refused(H::name(&self.order), &timed_out);
                        return Err(timed_out);
                    }
                    left => thread::park_timeout(left),
                }
            }
        }
    }

    /// What a request gets that does not wait; none if it has to.
    #[inline]
    fn serve_at_once(&mut self) -> Option<Result<H, Error>> {
        if H::finds_line(&self.order) {
            return None;
        }
        Some(H::try_now(&mut self.order)).filter(|now| !now.as_ref().is_err_and(Error::is_for_now))
    }

    fn step(&mut self, waker: &Waker) -> Poll<Result<H, Error>> {
        let mut ticket = None;
        let mut polled = match &mut self.state {
            State::New => match self.serve_at_once() {
                Some(now) => return Poll::Ready(now),
                None => self.stand(ticket, waker),
            },
            State::Refused => self.stand(ticket, waker),
            &mut State::Waits(place) => {
                ticket = Some(place.ticket);
                let fetched = fetch(H::site(&self.order).leaf, place, waker);
                if fetched.is_ready() {
                    // Before user code may run and panic: what was granted is in hand.
                    self.state = State::New;
                }
                fetched
            }
            State::Done => panic!("`Acquire` polled after it was done"),
        };
        while let Poll::Ready(granted) = polled {
            match H::redeem(&mut self.order, granted?) {
                Some(result) => return Poll::Ready(result),
                // It was not enough: stands where it stood.
                None => polled = self.stand(ticket, waker),
            }
        }
        Poll::Pending
    }

    #[inline]
    fn stand(&mut self, ticket: Option<u64>, waker: &Waker) -> Poll<Result<Grant, Error>> {
        let demand = H::demand(&mut self.order)?;
        match stand(H::site(&self.order), demand, ticket, waker) {
            Ok(Stood::Granted(grant)) => Poll::Ready(Ok(grant)),
            Ok(Stood::Waits(place)) => {
                self.state = State::Waits(place);
                Poll::Pending
            }
            Err(error) => Poll::Ready(Err(error)),
        }
    }
}

impl<H: Awaited> Future for Acquire<H> {
    type Output = Result<H, Error>;

    /// # Panics
    /// When it is polled again after it was ready.
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let polled = this.step(context.waker());
        match &polled {
            Poll::Ready(result) => {
                this.state = State::Done;
                this.waiting.end(H::name(&this.order), result.as_ref().err());
            }
            Poll::Pending => this.waiting.begin(H::name(&this.order), H::requested(&this.order)),
        }
        // What values that gave way panicked.
        panics::resume();
        polled
    }
}

// Nothing in it is pinned: its place in line is the line's.
impl<H: Awaited> Unpin for Acquire<H> {}

impl<H: Awaited> Drop for Acquire<H> {
    fn drop(&mut self) {
        if let State::Waits(place) = self.state {
            leave(H::site(&self.order), place);
            self.waiting.give_up(H::name(&self.order));
            panics::resume();
        }
    }
}

impl<H: Awaited> fmt::Debug for Acquire<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match &self.state {
            State::New | State::Refused => "not asked yet",
            State::Waits(_) => "in line",
            State::Done => "done",
        };
        f.debug_struct("Acquire").field("requested", &H::requested(&self.order)).field("state", &state).finish()
    }
}

/// Wakes a blocked thread. It notes that it did: user code that runs after the thread came to stand in line may park, too,
/// and so use up what `unpark` left.
struct Bell {
    thread: Thread,
    has_rung: AtomicBool,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.has_rung.store(true, Ordering::Release);
        self.thread.unpark();
    }
}
