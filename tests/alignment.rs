//! Every buffer starts at a multiple of the pool's alignment, in every class and above all of them.

use millpond::{BufferPool, Capacity, Memory};

const ALIGNMENTS: std::ops::RangeInclusive<u32> = 0..=if cfg!(miri) { 13 } else { 21 };

fn check(memory: &Memory, alignment: usize) {
    let builder = BufferPool::builder().size_classes([1, 100, 5000, 70_000]).alignment(alignment);
    let pool = builder.memory(memory.clone()).build().unwrap();
    for round in 0..2 {
        for size in [0, 1, 100, 101, 5000, 70_000, 70_001, 200_000] {
            let bufs = [0; 3].map(|_| pool.get(Capacity(size)));
            for buf in &bufs {
                let off = buf.as_ptr().addr() % alignment;
                assert_eq!(off, 0, "{size} bytes, alignment {alignment}, {memory:?}, round {round}");
                assert!(buf.capacity() >= size);
                assert_eq!(buf.capacity() % alignment, 0);
            }
        }
    }
    let mut grown = pool.get(Capacity(1));
    grown.resize(grown.capacity() + 1, 1);
    assert_eq!(grown.as_ptr().addr() % alignment, 0);
}

#[test]
fn every_power_of_two_up_to_two_mebibytes_is_kept() {
    for exponent in ALIGNMENTS {
        check(&Memory::heap(), 1 << exponent);
        if !cfg!(miri) {
            check(&Memory::mapped(), 1 << exponent);
            check(&Memory::default(), 1 << exponent);
        }
    }
}

#[test]
fn the_default_is_a_cache_line() {
    let pool = BufferPool::new();
    for size in [1, 300, 1000, 100_000] {
        assert_eq!(pool.get(size).as_ptr().addr() % 64, 0);
    }
}
