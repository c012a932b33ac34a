//! 64 zeroed KiB: the price follows what was exposed to writing since the last wipe, not the size.

#![allow(missing_docs, reason = "`criterion_group!` makes functions without")]

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use millpond::{BufferPool, Zeroing};

const BYTES: usize = 64 << 10;
const EXPOSED: [usize; 4] = [0, 1 << 10, 16 << 10, BYTES];

fn on_get(c: &mut Criterion) {
    exposed(c, "zeroed/on-get", &BufferPool::new());
}

fn on_return(c: &mut Criterion) {
    let pool = BufferPool::builder().zeroing(Zeroing::OnReturn).build();
    exposed(c, "zeroed/on-return", &pool.expect("no option can be refused"));
}

fn exposed(c: &mut Criterion, name: &str, pool: &BufferPool) {
    let mut group = c.benchmark_group(name);
    for exposed in EXPOSED {
        group.bench_with_input(BenchmarkId::from_parameter(exposed), &exposed, |b, &exposed| {
            b.iter(|| {
                let mut buf = pool.get(BYTES);
                if exposed > 0 {
                    buf.truncate(exposed);
                    buf[0] = 1;
                }
                black_box(&mut buf);
            });
        });
    }
}

criterion_group!(benches, on_get, on_return);
criterion_main!(benches);
