//! `get(n)` gives zero bytes, whatever happened to the memory before.

#[path = "support/random.rs"]
mod random;
#[path = "support/zero.rs"]
mod zero;

use std::thread;

use millpond::{BufferPool, Capacity, Memory, Recycled, Zeroing};
use random::Random;
use zero::is_zero;

const STEPS: usize = if cfg!(miri) { 100 } else { 4000 };

/// Sizes on both sides of classes, of the heap and mapped, pooled and not.
fn size(random: &mut Random) -> usize {
    let magnitude = random.below(if cfg!(miri) { 10 } else { 18 });
    random.below(1 << magnitude) + random.below(3)
}

fn dirty_and_ask(pool: &BufferPool, seed: u64) {
    let mut random = Random::new(seed);
    let mut held = std::collections::VecDeque::new();
    for _ in 0..STEPS {
        let len = size(&mut random);
        let mut buf = match random.below(4) {
            0 => pool.get(Capacity(len)),
            1 => pool.get(Recycled(len)),
            _ => {
                let buf = pool.get(len);
                assert!(buf.len() == len && is_zero(&buf), "{len} zero bytes");
                buf
            }
        };
        let fill = random.below(len + 1);
        match random.below(4) {
            0 => buf.fill(0xFF),
            1 => buf.resize(fill, 0xFF),
            2 => buf.extend_from_slice(&vec![0xFF; fill]),
            _ => {}
        }
        held.push_back(buf.freeze());
        if held.len() > random.below(12) {
            held.pop_front();
        }
    }
}

#[test]
fn bytes_are_zero_under_random_use() {
    let memories =
        if cfg!(miri) { vec![Memory::heap()] } else { vec![Memory::heap(), Memory::mapped(), Memory::default()] };
    for memory in memories {
        for zeroing in [Zeroing::OnGet, Zeroing::OnReturn] {
            dirty_and_ask(&BufferPool::builder().memory(memory.clone()).zeroing(zeroing).build().unwrap(), 7);
        }
    }
}

#[test]
fn bytes_are_zero_when_threads_share_the_memory() {
    let pool = BufferPool::builder().size_classes([512, 4096, 100_000]).build().unwrap();
    thread::scope(|scope| {
        for seed in 0..3 {
            let pool = &pool;
            scope.spawn(move || dirty_and_ask(pool, seed));
        }
    });
}
