//! Get, touch one byte, drop: what a pool costs when all goes well.
//!
//! `millpond-lab compare` measures the same beside other pools; these benches are for looking at one change.

#![allow(missing_docs, reason = "`criterion_group!` makes functions without")]

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use millpond::{BufferPool, Capacity, Recycled};

const SIZES: [usize; 6] = [256, 1 << 10, 4 << 10, 64 << 10, 1 << 20, 16 << 20];

fn recycled(c: &mut Criterion) {
    let mut group = c.benchmark_group("hit/recycled");
    for size in SIZES {
        let pool = BufferPool::new();
        group.bench_with_input(BenchmarkId::from_parameter(size), &size, |b, &size| {
            b.iter(|| {
                let mut buf = pool.get(Recycled(size));
                buf[0] = 1;
                black_box(&mut buf);
            });
        });
    }
}

fn capacity(c: &mut Criterion) {
    let pool = BufferPool::new();
    c.bench_function("hit/capacity", |b| {
        b.iter(|| {
            let mut buf = pool.get(Capacity(4096));
            buf.extend_from_slice(b"message");
            black_box(&mut buf);
        });
    });
}

/// One thread, many pools in turn: each must still find its own magazine.
fn pools(c: &mut Criterion) {
    let mut group = c.benchmark_group("hit/pools");
    for count in [1, 10, 1000] {
        let pools: Vec<_> = (0..count).map(|_| BufferPool::new()).collect();
        let mut next = pools.iter().cycle();
        group.bench_function(BenchmarkId::from_parameter(count), |b| {
            b.iter(|| {
                let mut buf = next.next().expect("a cycle has no end").get(Recycled(4096));
                buf[0] = 1;
                black_box(&mut buf);
            });
        });
    }
}

criterion_group!(benches, recycled, capacity, pools);
criterion_main!(benches);
