//! Wiping on demand, and what wraps it.

#![allow(unsafe_code)] // Looks behind the length of a vector.

use millpond::{BufferPool, Capacity, Pool, PooledBuf, Recycled};
use secrecy::{ExposeSecret, ExposeSecretMut, SecretBox};
use zeroize::{Zeroize, Zeroizing};

const SECRET: u8 = 0xA5;
const SIZE: usize = 4096;

fn pool() -> BufferPool {
    BufferPool::builder().size_classes([SIZE]).thread_cache(1 << 20).build().unwrap()
}

/// A buffer whose block is full of the secret, and whose length is 100.
fn written(pool: &BufferPool) -> PooledBuf {
    let mut buf = pool.get(Recycled(SIZE));
    buf.fill(SECRET);
    buf.truncate(100);
    buf
}

#[test]
fn all_that_was_written_is_wiped_behind_the_length_too() {
    let pool = pool();
    let mut buf = written(&pool);
    buf.zeroize();
    assert_eq!((buf.len(), buf.capacity()), (0, SIZE));
    drop(buf);
    let mut buf = pool.get(Recycled(SIZE));
    assert_eq!(buf[..], [0; SIZE]);
    // Again usable, and the marks are right: what is written now is known to be.
    buf.fill(SECRET);
    buf.zeroize();
    buf.extend_from_slice(&[SECRET; 10]);
    assert_eq!(buf[..], [SECRET; 10]);
    drop(buf);
    assert_eq!(pool.get(SIZE)[..], [0; SIZE]);
    assert_eq!(pool.stats().fresh, 1, "the same memory");
}

#[test]
fn what_was_lent_uninitialised_is_wiped_to_the_end() {
    let pool = pool();
    let mut buf = pool.get(SIZE);
    buf.truncate(0);
    buf.spare_capacity_mut().iter_mut().for_each(|byte| {
        byte.write(SECRET);
    });
    buf.zeroize();
    drop(buf);
    assert_eq!(pool.get(Recycled(SIZE))[..], [0; SIZE], "initialised");
}

/// What was written through an index, and never folded into the marks before.
#[test]
fn what_was_written_in_place_is_wiped() {
    let pool = pool();
    let mut buf = pool.get(SIZE);
    buf[SIZE - 1] = SECRET;
    buf.zeroize();
    drop(buf);
    assert_eq!(pool.get(Recycled(SIZE))[..], [0; SIZE]);
}

/// The memory goes home wiped, although its pool does not wipe.
#[test]
fn wrappers_wipe_before_the_memory_goes_home() {
    let pool = pool();
    drop(Zeroizing::new(written(&pool)));
    assert_eq!(pool.get(Recycled(SIZE))[..], [0; SIZE]);
    let mut secret = SecretBox::new(Box::new(written(&pool)));
    assert_eq!(secret.expose_secret()[..], [SECRET; 100]);
    secret.expose_secret_mut().extend_from_slice(b"more");
    assert!(!format!("{secret:?}").contains("165"));
    drop(secret);
    assert_eq!(pool.get(Recycled(SIZE))[..], [0; SIZE]);
    assert_eq!(pool.stats().fresh, 1, "the same memory");
}

#[test]
fn values_and_batches_are_wiped_as_their_types_say() {
    let pool = Pool::<Vec<u8>>::new();
    let mut key = pool.get_with(|key| key.extend_from_slice(&[SECRET; 32]));
    let start = key.as_ptr();
    key.zeroize();
    assert_eq!((key.len(), key.capacity() >= 32), (0, true));
    // SAFETY: the vector's room, all of which the wipe has written.
    assert_eq!(unsafe { std::slice::from_raw_parts(start, 32) }, [0; 32]);

    let pool = self::pool();
    let mut batch = pool.get_many([Capacity(SIZE); 3]);
    batch.iter_mut().for_each(|buf| buf.resize(SIZE, SECRET));
    batch.zeroize();
    assert!(batch.iter().all(|buf| buf.is_empty()));
    drop(batch);
    assert!(pool.get_many([Recycled(SIZE); 3]).iter().all(|buf| buf[..] == [0; SIZE]));
    assert_eq!(pool.stats().fresh, 3, "the same memory");
}
