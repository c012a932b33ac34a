//! Many buffers out at once: what the depot costs, buffer by buffer and as a batch.

#![allow(missing_docs, reason = "`criterion_group!` makes functions without")]

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use millpond::{BufferPool, Recycled};

const BYTES: usize = 4 << 10;
const COUNTS: [usize; 3] = [10, 100, 1000];

fn one_by_one(c: &mut Criterion) {
    let mut group = c.benchmark_group("burst/one-by-one");
    let pool = BufferPool::new();
    for count in COUNTS {
        group.throughput(Throughput::Elements(count as u64));
        group.bench_with_input(BenchmarkId::from_parameter(count), &count, |b, &count| {
            let mut held = Vec::with_capacity(count);
            b.iter(|| {
                held.extend((0..count).map(|_| pool.get(Recycled(BYTES))));
                black_box(&mut held);
                held.clear();
            });
        });
    }
}

fn get_many(c: &mut Criterion) {
    let mut group = c.benchmark_group("burst/get-many");
    let pool = BufferPool::new();
    for count in COUNTS {
        group.throughput(Throughput::Elements(count as u64));
        group.bench_with_input(BenchmarkId::from_parameter(count), &count, |b, &count| {
            b.iter(|| black_box(pool.get_many((0..count).map(|_| Recycled(BYTES)))));
        });
    }
}

criterion_group!(benches, one_by_one, get_many);
criterion_main!(benches);
