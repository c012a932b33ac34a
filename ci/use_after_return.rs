//! The mistake that `ci/asan` must find: a byte read after its buffer went home.

// The mistake is one that safe code cannot make.
#![allow(unsafe_code)]

use std::hint::black_box;

use millpond::{BufferPool, Capacity};

fn main() {
    let pool = BufferPool::new();
    let mut buf = pool.get(Capacity(4096));
    buf.extend_from_slice(b"still there");
    let byte = buf.as_ptr();
    drop(buf);
    // SAFETY: none. The memory is the pool's, mapped and idle, and nobody may read it.
    black_box(unsafe { byte.read_volatile() });
}
