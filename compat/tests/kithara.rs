//! What kithara-bufpool documented when it was first published, row by row.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread;

use millpond_compat::kithara::{
    Pool, Pooled, PooledOwned, PooledSlice, PooledSliceOwned, Reuse, SharedPool, global_pool,
};

/// Of so many values got at once, those that had been used before.
fn used_before<const SHARDS: usize>(pool: &Pool<SHARDS, Vec<u8>>, count: usize) -> usize {
    let values: Vec<_> = (0..count).map(|_| pool.get()).collect();
    values.iter().filter(|value| value.capacity() > 0).count()
}

/// Gets so many values at once, uses and drops them.
fn use_many<const SHARDS: usize>(pool: &Pool<SHARDS, Vec<u8>>, count: usize) {
    drop((0..count).map(|_| pool.get_with(|vec| vec.push(1))).collect::<Vec<_>>());
}

#[test]
fn reuse_of_a_vec_clears_it() {
    let mut vec = vec![1, 2, 3];
    assert!(vec.reuse(100));
    assert!(vec.is_empty() && vec.capacity() >= 3);
}

#[test]
fn reuse_of_a_vec_shrinks_it_to_trim() {
    for capacity in [101, 150, 199, 200, 1000] {
        let mut vec = Vec::<u64>::with_capacity(capacity);
        assert!(vec.reuse(100));
        assert_eq!(vec.capacity(), 100, "of {capacity}");
    }
    let mut small = Vec::<u64>::with_capacity(50);
    assert!(small.reuse(100));
    assert_eq!(small.capacity(), 50);
}

#[test]
fn reuse_of_a_vec_keeps_it_if_it_has_capacity() {
    assert!(!Vec::<u8>::new().reuse(100));
    assert!(!Vec::<u8>::with_capacity(10).reuse(0));
    assert!(Vec::<u8>::with_capacity(10).reuse(1));
}

#[test]
fn trim_capacity_is_what_returned_values_keep() {
    let pool = Pool::<4, Vec<f32>>::new(16, 1024);
    for len in [100, 1500, 2048, 100_000] {
        drop(pool.get_with(|samples| samples.resize(len, 0.0)));
        let capacity = pool.get().capacity();
        assert!((1..=1024).contains(&capacity), "{capacity} elements after {len}");
    }
}

#[test]
fn reuse_is_called_once_on_each_return_and_its_refusal_discards() {
    static RETURNS: AtomicUsize = AtomicUsize::new(0);
    static ALIVE: AtomicUsize = AtomicUsize::new(0);
    struct Counted {
        uses: usize,
    }
    impl Default for Counted {
        fn default() -> Self {
            ALIVE.fetch_add(1, Relaxed);
            Counted { uses: 0 }
        }
    }
    impl Drop for Counted {
        fn drop(&mut self) {
            ALIVE.fetch_sub(1, Relaxed);
        }
    }
    impl Reuse for Counted {
        fn reuse(&mut self, trim: usize) -> bool {
            assert_eq!(trim, 77);
            RETURNS.fetch_add(1, Relaxed);
            self.uses < 3
        }
    }
    let pool = Pool::<2, Counted>::new(8, 77);
    for round in 1..=7 {
        let value = pool.get_with(|value| value.uses += 1);
        assert_eq!(value.uses, 1 + (round - 1) % 3);
        drop(value);
        assert_eq!(RETURNS.load(Relaxed), round);
        assert_eq!(ALIVE.load(Relaxed), usize::from(round % 3 != 0));
    }
    drop(pool);
    assert_eq!(ALIVE.load(Relaxed), 0);
}

#[test]
fn max_buffers_divided_by_shards_are_kept_for_each_shard() {
    fn kept<const SHARDS: usize>(max_buffers: usize) -> usize {
        let pool = Pool::<SHARDS, Vec<u8>>::new(max_buffers, 1024);
        use_many(&pool, 100);
        used_before(&pool, 100)
    }
    assert_eq!([kept::<1>(16), kept::<4>(16), kept::<4>(19), kept::<16>(64)], [16, 16, 16, 64]);
    assert_eq!(kept::<32>(31), 0);
}

#[test]
fn an_empty_shard_tries_the_others_before_allocating() {
    let pool = &Pool::<8, Vec<u8>>::new(64, 1024);
    let values: Vec<_> = (0..40).map(|_| pool.get_with(|vec| vec.push(1))).collect();
    thread::scope(|scope| scope.spawn(move || drop(values)).join().unwrap());
    assert_eq!(used_before(pool, 64), 40);
}

#[test]
fn get_gives_a_default_and_get_with_prepares_it() {
    let pool = Pool::<4, Vec<u8>>::new(16, 1024);
    assert!(pool.get().is_empty());
    let mut value: Pooled<'_, 4, Vec<u8>> = pool.get_with(|vec| vec.extend_from_slice(b"hello"));
    value.push(b'!');
    assert_eq!(*value, b"hello!");
    assert_eq!(format!("{:?}", pool.get_with(|vec| vec.push(1))), "[1]");
}

#[test]
fn a_panic_of_get_with_loses_nothing() {
    let pool = Pool::<4, Vec<u8>>::new(16, 1024);
    use_many(&pool, 1);
    assert!(catch_unwind(AssertUnwindSafe(|| drop(pool.get_with(|_| panic!("not ready"))))).is_err());
    assert_eq!(used_before(&pool, 1), 1);
}

#[test]
fn shared_pool_is_cloned_and_its_guards_are_static() {
    fn is_static<T: Send + 'static>(value: T) -> T {
        value
    }
    let pool = SharedPool::<4, Vec<u8>>::new(16, 1024);
    let clone = pool.clone();
    let address = pool.get_with(|vec| vec.resize(100, 1)).as_ptr();
    let value: PooledOwned<4, Vec<u8>> = is_static(clone.get());
    assert_eq!(value.as_ptr(), address);
    drop((pool, clone));
    let value = thread::spawn(move || value).join().unwrap();
    assert!(value.is_empty() && value.capacity() >= 100);
}

#[test]
fn pooled_slice_tracks_the_valid_length() {
    let pool = Pool::<4, Vec<u16>>::new(16, 1024);
    let mut slice = PooledSlice::new(pool.get_with(|vec| vec.extend(0..100)), 50);
    assert_eq!((slice.len(), slice.is_empty()), (50, false));
    assert!(slice.as_slice().iter().copied().eq(0..50));
    slice.as_mut_slice()[49] = 7;
    slice.as_mut()[0] = 8;
    let elements: &[u16] = slice.as_ref();
    assert_eq!((elements[0], elements[49], elements.len()), (8, 7, 50));
    assert_eq!(slice.into_inner().len(), 100);
    let none = PooledSlice::new(pool.get(), 0);
    assert!(none.is_empty());
    assert_eq!(format!("{none:?}"), "[]");
}

#[test]
fn pooled_slice_owned_tracks_the_valid_length() {
    let pool = SharedPool::<4, Vec<u16>>::new(16, 1024);
    let mut slice = PooledSliceOwned::new(pool.get_with(|vec| vec.extend(0..100)), 50);
    slice.as_mut_slice()[49] = 7;
    slice.as_mut()[0] = 8;
    let slice = thread::spawn(move || slice).join().unwrap();
    assert_eq!((slice.as_slice()[0], slice.as_ref()[49], slice.len(), slice.is_empty()), (8, 7, 50, false));
    assert_eq!(slice.into_inner().len(), 100);
}

#[test]
#[should_panic(expected = "exceeds buffer length")]
fn pooled_slice_of_more_than_there_is() {
    drop(PooledSlice::new(Pool::<4, Vec<u8>>::new(16, 1024).get(), 1));
}

#[test]
#[should_panic(expected = "exceeds buffer length")]
fn pooled_slice_owned_of_more_than_there_is() {
    drop(PooledSliceOwned::new(SharedPool::<4, Vec<u8>>::new(16, 1024).get(), 1));
}

#[test]
fn global_pool_is_built_when_first_used_and_is_the_same_for_all() {
    global_pool!(blocks, BLOCKS, 2 * 4, Vec<f32>, 64, 4096);
    assert!(BLOCKS.get().is_none());
    let pool: &'static Pool<8, Vec<f32>> = blocks();
    assert!(std::ptr::eq(pool, blocks()) && BLOCKS.get().is_some());
    let address = pool.get_with(|block| block.resize(512, 0.0)).as_ptr();
    assert_eq!(blocks().get().as_ptr(), address);
}

#[test]
fn into_inner_takes_the_value_out_for_good() {
    let pool = Pool::<4, Vec<u8>>::new(16, 1024);
    let vec: Vec<u8> = pool.get_with(|vec| vec.push(1)).into_inner();
    assert_eq!((vec, used_before(&pool, 1)), (vec![1], 0));
    let pool = SharedPool::<4, Vec<u8>>::new(16, 1024);
    let vec: Vec<u8> = pool.get_with(|vec| vec.push(2)).into_inner();
    assert_eq!((vec, pool.get().capacity()), (vec![2], 0));
}

#[test]
fn any_vector_is_pooled() {
    fn round<T: Default + Clone + Send + 'static>() {
        let pool = Pool::<4, Vec<T>>::new(16, 1024);
        drop(pool.get_with(|vec| vec.resize(10, T::default())));
        assert!(pool.get().capacity() >= 10);
    }
    round::<u8>();
    round::<f32>();
    round::<f64>();
    round::<String>();
}

#[test]
fn a_value_is_returned_by_its_drop_wherever_that_is() {
    let pool = SharedPool::<4, Vec<u8>>::new(16, 1024);
    let value = pool.get_with(|vec| vec.resize(100, 1));
    let address = value.as_ptr();
    thread::spawn(move || drop(value)).join().unwrap();
    assert_eq!(pool.get().as_ptr(), address);
}
