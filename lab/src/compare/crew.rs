//! Threads that begin a piece of work together.

use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

/// Runs every piece of work on a thread of its own: `warm_up` with its number first, then all wait for each other,
/// then `work`, then `leave`. Gives the time from the first start of `work` to the last end: with fewer processors
/// than threads nobody outside would see the start in time.
pub fn together<W, B, L>(crew: Vec<W>, warm_up: B, leave: L) -> Duration
where
    W: FnOnce() + Send,
    B: Fn(usize) + Sync,
    L: Fn() + Sync,
{
    let barrier = Barrier::new(crew.len());
    let span = |number, work: W| {
        warm_up(number);
        barrier.wait();
        let begin = Instant::now();
        work();
        let end = Instant::now();
        leave();
        (begin, end)
    };
    let spans: Vec<_> = thread::scope(|scope| {
        let span = &span;
        let threads: Vec<_> =
            crew.into_iter().enumerate().map(|(number, work)| scope.spawn(move || span(number, work))).collect();
        threads.into_iter().map(|thread| thread.join().expect("rows do not panic")).collect()
    });
    let begin = spans.iter().map(|span| span.0).min();
    let end = spans.iter().map(|span| span.1).max();
    begin.zip(end).map_or(Duration::ZERO, |(begin, end)| end - begin)
}
