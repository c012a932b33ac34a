// Programs for zeropool 0.3.1.

use std::io::{Read, Write};
use std::thread;

use zeropool::{BufferPool, Builder, EvictionPolicy, PooledBuffer};

/// Reads a file, as the original's first example does.
fn read(pool: &BufferPool, mut file: impl Read) -> PooledBuffer {
    let mut buffer = pool.get(1024);
    let count = file.read(&mut buffer).unwrap();
    buffer.truncate(count);
    buffer
}

#[test]
fn a_file_is_read_into_a_buffer_of_the_pool() {
    let pool = BufferPool::new();
    let content = read(&pool, &b"some content"[..]);
    assert_eq!(&content[..], b"some content");
    assert_eq!(std::str::from_utf8(&content).unwrap(), "some content");
}

#[test]
fn a_buffer_is_used_like_a_vector() {
    let pool = BufferPool::default();
    let mut buffer = pool.get(10);
    assert_eq!((buffer.len(), buffer.is_empty()), (10, false));
    buffer.fill(0);
    buffer[0] = 42;
    buffer.resize(12, 7);
    buffer.extend_from_slice(b"end");
    buffer.extend([1_u8, 2]);
    assert!(buffer.write_all(b"written").is_ok());
    assert_eq!(buffer[10..], *b"\x07\x07end\x01\x02written");
    assert!(buffer.starts_with(&[42]) && buffer.iter().rev().take(7).eq(b"nettirw"));
    buffer.clear();
    buffer.reserve(5_000);
    assert!(buffer.is_empty() && buffer.capacity() >= 5_000);
    let shared: &[u8] = buffer.as_ref();
    assert!(shared.is_empty());
    let exclusive: &mut [u8] = buffer.as_mut();
    assert!(exclusive.is_empty());
    let text = format!("{buffer:?}");
    assert!(text.starts_with("PooledBuffer { len: 0, capacity: "), "{text}");
}

#[test]
fn a_buffer_leaves_the_pool_as_a_vector() {
    let pool = BufferPool::new();
    let mut buffer = pool.get(10);
    buffer.fill(9);
    let vec: Vec<u8> = buffer.into_inner();
    assert_eq!(vec, [9; 10]);
    assert_ne!(pool.get(10).as_ptr(), vec.as_ptr());
    assert_eq!(pool.get(5).into_vec().len(), 5);
}

#[test]
fn a_pool_is_configured_by_its_builder() {
    let builder: Builder = BufferPool::builder()
        .min_buffer_size(512 * 1024)
        .tls_cache_size(8)
        .max_buffers_per_shard(32)
        .num_shards(16)
        .pinned_memory(false)
        .eviction_policy(EvictionPolicy::ClockPro);
    let pool = builder.clone().build();
    pool.preallocate(10, 1024 * 1024);
    assert_eq!(pool.len(), 16, "as many for each shard");
    assert!(pool.get(1024 * 1024).capacity() >= 1024 * 1024);
    pool.shrink_to_fit();
    pool.clear();
    assert!(pool.is_empty());
    assert_eq!(pool.get(1024).len(), 1024);
    assert!(format!("{builder:?} {pool:?}").contains("ClockPro"));
    assert_eq!(EvictionPolicy::default(), EvictionPolicy::ClockPro);
    assert_ne!(EvictionPolicy::default(), EvictionPolicy::Lifo);
    drop(Builder::default().eviction_policy(EvictionPolicy::Lifo).build());
}

#[test]
fn buffers_of_no_bytes_and_of_very_many() {
    let pool = BufferPool::builder().min_buffer_size(0).tls_cache_size(2).build();
    assert!(pool.is_empty());
    assert_eq!(pool.get(0).len(), 0);
    assert_eq!(pool.get(100 * 1024 * 1024).len(), 100 * 1024 * 1024);
}

#[test]
fn threads_have_clones_of_the_pool() {
    let pool = BufferPool::new();
    let threads: Vec<_> = (0..8)
        .map(|number| {
            let pool = pool.clone();
            thread::spawn(move || {
                for _ in 0..100 {
                    let mut buffer = pool.get(4096);
                    buffer.fill(number);
                    assert!(buffer.iter().all(|&byte| byte == number));
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
}

#[test]
fn a_buffer_outlives_its_pool_and_its_thread() {
    let buffer = thread::spawn(|| BufferPool::new().get(2048)).join().unwrap();
    assert_eq!(buffer.len(), 2048);
}

#[test]
#[should_panic(expected = "tls_cache_size must be greater than 0")]
fn a_thread_cache_of_no_buffers_is_refused() {
    drop(BufferPool::builder().tls_cache_size(0).build());
}

#[test]
#[should_panic(expected = "max_buffers_per_shard must be greater than 0")]
fn shards_of_no_buffers_are_refused() {
    drop(BufferPool::builder().max_buffers_per_shard(0).build());
}
