//! Wakers are user code: being cloned, called or dropped, they may use the pools that they wait for.
#![allow(unsafe_code)] // A waker that hears of its clones and drops.

#[path = "support/waiting.rs"]
mod waiting;

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::ptr;
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Context, Poll, RawWaker, RawWakerVTable, Waker};
use std::thread;
use std::time::Duration;

use millpond::{Budget, BufferPool};
use waiting::Waiting;

const SIZE: usize = 4096;

type Deed = Box<dyn FnOnce()>;

thread_local! {
    static ON_CLONE: RefCell<Option<Deed>> = const { RefCell::new(None) };
    static ON_WAKE: RefCell<Option<Deed>> = const { RefCell::new(None) };
    static ON_DROP: RefCell<Option<Deed>> = const { RefCell::new(None) };
}

/// Does what was asked for next time, once.
fn act(deed: &'static thread::LocalKey<RefCell<Option<Deed>>>) {
    let deed = deed.with(RefCell::take);
    if let Some(deed) = deed {
        deed();
    }
}

/// What is to be done when a waker is next cloned, or called, or dropped, on this thread.
fn next(when: &'static thread::LocalKey<RefCell<Option<Deed>>>, deed: impl FnOnce() + 'static) {
    when.set(Some(Box::new(deed)));
}

/// A waker that acts.
fn acting() -> Waker {
    const TABLE: RawWakerVTable = RawWakerVTable::new(clone, wake, |_| act(&ON_WAKE), |_| act(&ON_DROP));
    unsafe fn clone(_: *const ()) -> RawWaker {
        act(&ON_CLONE);
        RawWaker::new(ptr::null(), &TABLE)
    }
    unsafe fn wake(_: *const ()) {
        act(&ON_WAKE);
        act(&ON_DROP);
    }
    // SAFETY: there is nothing behind the pointer, so all contracts hold.
    unsafe { Waker::from_raw(RawWaker::new(ptr::null(), &TABLE)) }
}

fn poll<F: Future + Unpin>(future: &mut F, waker: &Waker) -> Poll<F::Output> {
    Pin::new(future).poll(&mut Context::from_waker(waker))
}

fn pool_on(budget: &Budget) -> BufferPool {
    BufferPool::builder().size_classes([SIZE]).budget(budget).build().unwrap()
}

/// A deadlock must not end the whole run.
fn within_ten_seconds(work: impl FnOnce() + Send + 'static) {
    let (done, is_done) = mpsc::channel();
    let worker = thread::spawn(move || {
        work();
        done.send(()).unwrap();
    });
    assert!(is_done.recv_timeout(Duration::from_secs(10)) != Err(mpsc::RecvTimeoutError::Timeout), "deadlock");
    worker.join().unwrap();
}

#[test]
fn a_waker_that_returns_a_buffer_when_it_is_dropped() {
    within_ten_seconds(|| {
        let pool = pool_on(&Budget::new(2 * SIZE));
        let (one, _two) = (pool.get(SIZE), pool.get(SIZE));
        let first = Waiting::stand(pool.acquire(SIZE));
        next(&ON_DROP, move || drop(one));
        // It never fits, so the waker that was cloned for it is dropped at once.
        assert!(poll(&mut pool.acquire_many([SIZE; 3]), &acting()).is_ready());
        drop(first.served());
    });
}

#[test]
fn a_waker_that_returns_a_buffer_when_another_takes_its_place() {
    within_ten_seconds(|| {
        let pool = pool_on(&Budget::new(2 * SIZE));
        let (one, _two) = (pool.get(SIZE), pool.get(SIZE));
        let mut first = pool.acquire(SIZE);
        assert!(poll(&mut first, &acting()).is_pending());
        next(&ON_DROP, move || drop(one));
        // Whichever of the two polls finds it.
        let again = poll(&mut first, Waker::noop());
        assert!(again.is_ready() || poll(&mut first, Waker::noop()).is_ready());
    });
}

#[test]
fn a_waker_that_returns_a_buffer_when_it_is_cloned() {
    within_ten_seconds(|| {
        let pool = pool_on(&Budget::new(SIZE));
        let held = pool.get(SIZE);
        next(&ON_CLONE, move || drop(held));
        let mut first = pool.acquire(SIZE);
        let waker = acting();
        assert!(poll(&mut first, &waker).is_ready() || poll(&mut first, &waker).is_ready());
    });
}

#[test]
fn a_waker_that_makes_a_pool_while_attention_is_being_raised() {
    within_ten_seconds(|| {
        let all = Budget::new(2 * SIZE);
        let (late_budget, budget) = (all.child(usize::MAX), all.child(usize::MAX));
        let pool = pool_on(&budget);
        let (_kept, back) = (pool.get(SIZE), pool.get(SIZE));
        // It comes back before its caches are asked, and is offered then: the waiter is woken by its own search.
        next(&ON_CLONE, move || drop(back));
        let late = Arc::new(Mutex::new(None));
        let made = late.clone();
        next(&ON_WAKE, move || *made.lock().unwrap() = Some(pool_on(&late_budget)));
        let mut first = pool.acquire(SIZE);
        let waker = acting();
        let woken = poll(&mut first, &waker);
        drop((woken, first));
        let late = late.lock().unwrap().take().expect("woken by what its own search offered");
        let held = late.get(SIZE);
        let second = Waiting::stand(pool.acquire(SIZE));
        drop(held);
        drop(second.served());
    });
}
