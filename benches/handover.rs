//! One thread gets buffers, another drops them: what the way home costs, the channel between them included.

#![allow(missing_docs, reason = "`criterion_group!` makes functions without")]

use std::hint::black_box;
use std::sync::mpsc::sync_channel;
use std::thread;
use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use millpond::{BufferPool, Recycled};

const BYTES: usize = 4 << 10;
/// Buffers on their way at once.
const QUEUE: usize = 256;

fn handover(c: &mut Criterion) {
    let pool = BufferPool::new();
    c.bench_function("handover/channel-alone", |b| b.iter_custom(|count| pass(count, || 0)));
    c.bench_function("handover/buffers", |b| {
        b.iter_custom(|count| {
            pass(count, || {
                let mut buf = pool.get(Recycled(BYTES));
                buf[0] = 1;
                buf
            })
        });
    });
}

/// Makes `count` values here and drops them on another thread.
fn pass<T: Send>(count: u64, mut make: impl FnMut() -> T) -> Duration {
    let (sender, receiver) = sync_channel(QUEUE);
    let begin = Instant::now();
    thread::scope(|scope| {
        scope.spawn(move || receiver.into_iter().for_each(|value| drop(black_box(value))));
        (0..count).for_each(|_| sender.send(make()).expect("the receiver waits for the last value"));
        drop(sender);
    });
    begin.elapsed()
}

criterion_group!(benches, handover);
criterion_main!(benches);
