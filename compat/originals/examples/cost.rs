//! What the old names cost over millpond, and what the originals take, in one run: rounds of all of them in turn.
//!
//!     cargo run --release --manifest-path compat/originals/Cargo.toml --example cost
//!
//! A *pair* is a get, a byte written and a drop; a *burst* is 16 gets, a byte written to each, and their drops. The first
//! form of kithara-bufpool is on no registry.

use std::hint::black_box;
use std::ops::DerefMut;
use std::thread;
use std::time::Instant;

use millpond::{Recycled, Zeroing};
use millpond_compat::{kithara, santh, zeropool as over_millpond};

const ROUNDS: usize = 61;
/// Buffers handed out in one timing.
const GETS: usize = 64_000;
const BURST: usize = 16;
const KIB_4: usize = 4 << 10;
const MIB: usize = 1 << 20;

/// Times of one contender, in nanoseconds for each buffer.
struct Row<'a> {
    name: &'static str,
    run: Box<dyn Fn(bool) + Send + 'a>,
    times: Vec<f64>,
}

impl<'a> Row<'a> {
    /// `get` hands out a buffer that was written to.
    fn new<B>(name: &'static str, get: impl Fn() -> B + Send + 'a) -> Self {
        let run = move |burst: bool| match burst {
            false => (0..GETS).for_each(|_| drop(black_box(get()))),
            true => (0..GETS / BURST).for_each(|_| drop(black_box(std::array::from_fn::<B, BURST, _>(|_| get())))),
        };
        Row { name, run: Box::new(run), times: Vec::new() }
    }

    fn time(&mut self, burst: bool) {
        let begun = Instant::now();
        (self.run)(burst);
        self.times.push(begun.elapsed().as_nanos() as f64 / GETS as f64);
    }
}

/// On a thread of its own: all zeropools of a thread share what it caches.
fn table(title: &str, mut rows: Vec<Row<'_>>) {
    for (what, burst) in [("pair", false), ("burst", true)] {
        thread::scope(|scope| {
            scope.spawn(|| rounds(burst, &mut rows));
        });
        println!("\n{title}, {what}: ns for each buffer, minimum and median of {ROUNDS} rounds");
        for Row { name, times, .. } in &mut rows {
            times.sort_by(f64::total_cmp);
            println!("{name:>30} {:>8.1} {:>8.1}", times[0], times[ROUNDS / 2]);
        }
    }
}

fn rounds(burst: bool, rows: &mut [Row<'_>]) {
    // The first round makes what is then used again.
    rows.iter_mut().for_each(|row| row.time(burst));
    rows.iter_mut().for_each(|row| row.times.clear());
    for _ in 0..ROUNDS {
        rows.iter_mut().for_each(|row| row.time(burst));
    }
}

fn main() {
    let config = santh::PoolConfig { four_kib_count: 64, ..Default::default() };
    let compat = santh::BufferPool::new(config);
    let config = santh_bufpool::PoolConfig { four_kib_count: 64, ..Default::default() };
    let original = santh_bufpool::BufferPool::new(config);
    let wiping = millpond::BufferPool::builder().zeroing(Zeroing::OnReturn).build().expect("valid options");
    table(
        "santh-bufpool, 4 KiB",
        vec![
            Row::new("millpond, Zeroing::OnReturn", || first(wiping.get(KIB_4))),
            Row::new("millpond_compat::santh", || first(compat.checkout(KIB_4).expect("not too large"))),
            Row::new("santh-bufpool 0.1.0", || first(original.checkout(KIB_4).expect("not too large"))),
        ],
    );

    let plain = millpond::BufferPool::new();
    let (compat, original) = (over_millpond::BufferPool::new(), zeropool::BufferPool::new());
    table(
        "zeropool, 1 MiB",
        vec![
            Row::new("millpond, Recycled", || first(plain.get(Recycled(MIB)))),
            Row::new("millpond_compat::zeropool", || first(compat.get(MIB))),
            Row::new("zeropool 0.3.1", || first(original.get(MIB))),
        ],
    );

    let compat = over_millpond::BufferPool::builder().tls_cache_size(BURST).build();
    let original = zeropool::BufferPool::builder().tls_cache_size(BURST).build();
    table(
        "zeropool, 1 MiB, tls_cache_size(16)",
        vec![
            Row::new("millpond_compat::zeropool", || first(compat.get(MIB))),
            Row::new("zeropool 0.3.1", || first(original.get(MIB))),
        ],
    );

    let plain = millpond::Pool::<Vec<f32>>::builder().trim_capacity(32_768).build().expect("valid options");
    let compat = kithara::Pool::<32, Vec<f32>>::new(1024, 32_768);
    table(
        "kithara-bufpool, Vec<f32>",
        vec![
            Row::new("millpond", || pushed(plain.get())),
            Row::new("millpond_compat::kithara", || pushed(compat.get())),
        ],
    );
}

/// Writes the first byte.
fn first<B: DerefMut<Target: AsMut<[u8]>>>(mut buf: B) -> B {
    (*buf).as_mut()[0] = 1;
    buf
}

fn pushed<B: DerefMut<Target = Vec<f32>>>(mut values: B) -> B {
    values.push(1.0);
    values
}
