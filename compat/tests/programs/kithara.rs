// Programs for kithara-bufpool as it was first published.

use std::sync::mpsc;
use std::thread;

use kithara_bufpool::{Pool, Pooled, PooledOwned, PooledSlice, PooledSliceOwned, Reuse, SharedPool, global_pool};

global_pool!(f32_pool, F32_POOL, 32, Vec<f32>, 1024, 32_768);

#[derive(Default)]
struct Packet {
    data: Vec<u8>,
    stream: usize,
}

impl Reuse for Packet {
    fn reuse(&mut self, trim: usize) -> bool {
        self.data.clear();
        self.data.shrink_to(trim);
        self.stream = 0;
        self.data.capacity() > 0
    }
}

/// Generic over what is pooled, as the original's bounds are.
fn emptied<const SHARDS: usize, T: Reuse + Default>(pool: &Pool<SHARDS, T>, fill: impl FnOnce(&mut T)) -> T {
    let guard: Pooled<'_, SHARDS, T> = pool.get_with(fill);
    drop(guard);
    pool.get().into_inner()
}

#[test]
fn samples_are_decoded_into_a_global_pool() {
    let mut samples = f32_pool().get();
    samples.resize(4096, 0.0);
    samples[0] = 1.5;
    drop(samples);
    let again = f32_pool().get();
    assert!(again.is_empty() && again.capacity() >= 4096);
    assert!(F32_POOL.get().is_some());
}

#[test]
fn a_macro_declares_a_pool_inside_of_a_function() {
    kithara_bufpool::global_pool!(bytes, BYTES, 4, Vec<u8>, 16, 1024);
    bytes().get().push(42);
    assert!(bytes().get().is_empty());
}

#[test]
fn what_was_read_is_a_slice_of_its_buffer() {
    let pool = Pool::<32, Vec<u8>>::new(1024, 128 * 1024);
    let mut buf = pool.get_with(|buf| buf.resize(4096, 0));
    buf[..4].copy_from_slice(b"read");
    let mut slice: PooledSlice<'_, 32, u8> = PooledSlice::new(buf, 4);
    slice.as_mut_slice()[0] = b'R';
    slice.as_mut()[3] = b'D';
    let bytes: &[u8] = slice.as_ref();
    assert_eq!(bytes, b"ReaD");
    assert_eq!((slice.len(), slice.is_empty(), slice.as_slice().len()), (4, false, 4));
    assert_eq!(slice.into_inner().len(), 4096);
}

#[test]
fn a_shared_pool_serves_a_pipeline_of_threads() {
    let pool = SharedPool::<32, Vec<f64>>::new(1024, 4096);
    let (sender, receiver) = mpsc::channel::<PooledSliceOwned<32, f64>>();
    let mixer = thread::spawn(move || receiver.iter().map(|block| block.as_slice().iter().sum::<f64>()).sum::<f64>());
    let decoder = pool.clone();
    for block in 1..=10 {
        let samples: PooledOwned<32, Vec<f64>> = decoder.get_with(|samples| samples.resize(512, f64::from(block)));
        sender.send(PooledSliceOwned::new(samples, 2)).unwrap();
    }
    drop(sender);
    assert_eq!(mixer.join().unwrap(), 110.0);
    assert!(pool.get().is_empty());
}

#[test]
fn any_user_type_is_pooled() {
    let pool = Pool::<4, Packet>::new(16, 1024);
    let packet = emptied(&pool, |packet| {
        packet.data.extend_from_slice(b"hello");
        packet.stream = 7;
    });
    assert!(packet.data.is_empty() && packet.data.capacity() >= 5);
    assert_eq!(packet.stream, 0);
    assert!(emptied(&Pool::<4, Vec<u8>>::new(16, 1024), |vec| vec.push(1)).capacity() > 0);
}

#[test]
fn a_value_leaves_the_pool_for_good() {
    let pool = Pool::<32, Vec<u8>>::new(1024, 128 * 1024);
    assert_eq!(pool.get_with(|buf| buf.extend_from_slice(b"hello")).into_inner(), b"hello");
    let shared = SharedPool::<32, Vec<u8>>::new(1024, 128 * 1024);
    assert_eq!(shared.get_with(|buf| buf.extend_from_slice(b"world")).into_inner(), b"world");
}

#[test]
#[should_panic(expected = "exceeds buffer length")]
fn a_slice_of_more_than_the_buffer_has_is_refused() {
    let pool = Pool::<4, Vec<u8>>::new(16, 1024);
    drop(PooledSlice::new(pool.get_with(|buf| buf.resize(10, 0)), 20));
}

#[test]
#[should_panic(expected = "at least 1 shard")]
fn a_pool_without_shards_is_refused() {
    drop(Pool::<0, Vec<u8>>::new(16, 1024));
}
