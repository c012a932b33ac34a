//! What the tests of all runtimes look at.

use std::fs;
use std::path::PathBuf;

use millpond::{BufferPool, Capacity};

/// A mark that an earlier user of a buffer has left.
pub const SECRET: u8 = 0xA5;
/// The one size class of [`marked_pool`].
pub const SIZE: usize = 4096;

/// A pool whose idle buffers have all been written to the end by somebody.
pub fn marked_pool() -> BufferPool {
    let pool = fresh_pool();
    let mut bufs = pool.get_many([Capacity(SIZE); 8]);
    bufs.iter_mut().for_each(|buf| buf.resize(SIZE, SECRET));
    drop(bufs);
    pool
}

/// A pool whose memory nobody has written to.
pub fn fresh_pool() -> BufferPool {
    BufferPool::builder().size_classes([SIZE]).build().unwrap()
}

/// Asserts that nothing is out, and that zero bytes are zero, whatever has been written to the buffers.
pub fn assert_home(pool: &BufferPool) {
    assert_eq!(pool.stats().outstanding, 0);
    let bufs = pool.get_many([SIZE; 16]);
    assert!(bufs.iter().all(|buf| buf.iter().all(|&byte| byte == 0)), "bytes of an earlier user");
}

/// Bytes that differ from place to place, and none of which is [`SECRET`].
pub fn counted(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at % 151) as u8).collect()
}

/// A file with these bytes; the folder goes with the first.
pub fn file(bytes: &[u8]) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("input");
    fs::write(&path, bytes).unwrap();
    (folder, path)
}
