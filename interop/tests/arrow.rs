//! Columns of Arrow over pooled buffers.

use arrow_buffer::{Buffer, ScalarBuffer};
use bytes::Bytes;
use millpond::{BufferPool, Capacity, PooledBytes};
use millpond_interop::{SIZE, assert_home, marked_pool};

/// A column of doubles in a pooled buffer.
fn column(pool: &BufferPool, values: impl Iterator<Item = f64>) -> PooledBytes {
    let mut buf = pool.get(Capacity(SIZE));
    values.for_each(|value| buf.extend_from_slice(&value.to_le_bytes()));
    buf.freeze()
}

fn doubles() -> impl Iterator<Item = f64> {
    (0..SIZE / 8).map(|at| at as f64 / 3.0)
}

#[test]
fn buffers_are_the_pools_without_a_copy_and_aligned() {
    let pool = marked_pool();
    let bytes = column(&pool, doubles());
    let start = bytes.as_ptr();
    let buffer = Buffer::from(Bytes::from(bytes));
    assert_eq!((buffer.as_ptr(), buffer.len()), (start, SIZE));
    assert_eq!(start.align_offset(64), 0, "as Arrow recommends");
    // Which panics where the alignment does not suffice.
    let values = ScalarBuffer::<f64>::from(buffer.clone());
    assert_eq!(values.inner().as_ptr(), start);
    assert!(values.iter().copied().eq(doubles()));
    drop(buffer);
    assert_eq!(pool.stats().outstanding, SIZE as u64, "the column has it");
    drop(values);
    assert_home(&pool);
}

#[test]
fn slices_share_the_buffer_and_the_last_brings_it_home() {
    let pool = marked_pool();
    let bytes = column(&pool, doubles());
    let start = bytes.as_ptr();
    let buffer = Buffer::from(Bytes::from(bytes));
    let tail = std::thread::spawn(move || buffer.slice(SIZE - 64)).join().unwrap();
    assert_eq!((tail.as_ptr(), tail.len()), (start.wrapping_add(SIZE - 64), 64));
    let last = ScalarBuffer::<f64>::new(tail.clone(), 0, 8);
    assert_eq!(last[7], doubles().last().unwrap());
    drop((tail, last));
    assert_home(&pool);
}

/// A piece of a message need not be aligned, and Arrow says so instead of copying.
#[test]
#[should_panic(expected = "not aligned")]
fn pieces_that_are_not_aligned_are_refused() {
    let bytes = column(&BufferPool::new(), doubles()).slice(4..12);
    drop(ScalarBuffer::<f64>::from(Buffer::from(Bytes::from(bytes))));
}

#[test]
fn every_class_is_aligned() {
    let pool = BufferPool::new();
    for size in (1..200).chain([1 << 12, 100_000, 3 << 20, (64 << 20) + 1]) {
        let buffer = Buffer::from(Bytes::from(pool.copy_from(&vec![1; size]).freeze()));
        assert_eq!(buffer.as_ptr().align_offset(64), 0, "{size} bytes");
    }
    assert_eq!(pool.stats().outstanding, 0);
}
