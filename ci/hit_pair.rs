//! What `ci/gate` counts: hit pairs, each kind in a function of its own that the instruction counts can name.
//!
//! `cargo run --release --example hit_pair -- FUNCTION PAIRS`

// Attributes that keep a symbol's name count as unsafe code.
#![allow(unsafe_code)]

use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use millpond::{BufferPool, Capacity, Pool, Recycled, Reuse};

struct Pools {
    bytes: BufferPool,
    values: Pool<Message>,
}

/// A value of 200 bytes that is made ready by one store.
#[derive(Default)]
struct Message {
    len: usize,
    words: [u64; 24],
}

impl Reuse for Message {
    fn reuse(&mut self, _: usize) -> bool {
        self.len = 0;
        true
    }
}

/// Unspecified bytes, one of them written.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn hit_recycled(pools: &Pools) {
    if let Some(byte) = pools.bytes.get(Recycled(4096)).first_mut() {
        *byte = 1;
    }
}

/// An empty buffer, asked for its room.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn hit_capacity(pools: &Pools) {
    black_box(pools.bytes.get(Capacity(4096)).capacity());
}

/// Zero bytes that were not written since they were last zeroed, one of them read.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn hit_zeroed(pools: &Pools) {
    black_box(pools.bytes.get(4096).first());
}

/// A value, one word of it written.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn hit_value(pools: &Pools) {
    pools.values.get().words[3] = 1;
}

/// A mistake for the gate to find: a counter that all threads share.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn hit_and_count(pools: &Pools) {
    static PAIRS: AtomicU64 = AtomicU64::new(0);
    pools.bytes.get(Recycled(4096))[0] = 1;
    PAIRS.fetch_add(1, Relaxed);
}

/// A mistake for the gate to find: a hit path that is not inlined.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn hit_and_call(pools: &Pools) {
    hit_recycled(pools);
    black_box(());
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [function, pairs] = &arguments[..] else { panic!("expected FUNCTION PAIRS, got {arguments:?}") };
    let hit = match function.as_str() {
        "hit_recycled" => hit_recycled,
        "hit_capacity" => hit_capacity,
        "hit_zeroed" => hit_zeroed,
        "hit_value" => hit_value,
        "hit_and_count" => hit_and_count,
        "hit_and_call" => hit_and_call,
        _ => panic!("no function {function}"),
    };
    let pairs: u64 = pairs.parse().expect("PAIRS is a number");
    let pools = Pools { bytes: BufferPool::new(), values: Pool::new() };
    for _ in 0..pairs {
        hit(&pools);
    }
}
