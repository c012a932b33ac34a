//! What sharing costs: freezing, cloning, slicing, and the way back.

#![allow(missing_docs, reason = "`criterion_group!` makes functions without")]

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use millpond::{BufferPool, Recycled};

const BYTES: usize = 4 << 10;

fn freeze(c: &mut Criterion) {
    let pool = BufferPool::new();
    c.bench_function("frozen/freeze", |b| {
        b.iter(|| black_box(pool.get(Recycled(BYTES)).freeze()));
    });
    c.bench_function("frozen/freeze-and-back", |b| {
        b.iter(|| black_box(pool.get(Recycled(BYTES)).freeze().try_into_mut()));
    });
}

fn share(c: &mut Criterion) {
    let pool = BufferPool::new();
    let frozen = pool.get(Recycled(BYTES)).freeze();
    c.bench_function("frozen/clone", |b| b.iter(|| black_box(frozen.clone())));
    c.bench_function("frozen/slice", |b| b.iter(|| black_box(frozen.slice(16..BYTES - 16))));
}

fn copy(c: &mut Criterion) {
    let pool = BufferPool::new();
    let bytes = vec![1; BYTES];
    c.bench_function("frozen/copy-from", |b| b.iter(|| black_box(pool.copy_from(&bytes))));
}

criterion_group!(benches, freeze, share, copy);
criterion_main!(benches);
