//! Buffers may be dropped, and gotten, while the thread's locals are being destroyed, before and after the pool's own.

#[path = "support/identities.rs"]
mod identities;

use std::cell::RefCell;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread;

use identities::assert_identities;
use millpond::{BufferPool, Capacity, PooledBuf, PooledBytes};

/// What a thread-local keeps until its thread ends.
enum Kept {
    Unique(PooledBuf),
    Frozen(PooledBytes),
    Batch(millpond::PooledBatch<PooledBuf>),
    /// Uses the pool while it is dropped.
    User(BufferPool),
}

static DESTROYED: AtomicUsize = AtomicUsize::new(0);

impl Drop for Kept {
    fn drop(&mut self) {
        match self {
            Kept::Unique(buf) => buf.extend_from_slice(b" more"),
            Kept::Frozen(bytes) => drop(bytes.clone()),
            Kept::Batch(bufs) => bufs[0].extend_from_slice(&[7; 4000]),
            Kept::User(pool) => use_pool(pool),
        }
        DESTROYED.fetch_add(1, Relaxed);
    }
}

fn use_pool(pool: &BufferPool) {
    for size in [100, 3000, 100_000] {
        let mut zero = pool.get(size);
        assert!(zero.iter().all(|&byte| byte == 0));
        zero.fill(1);
        drop(pool.get_many([Capacity(size); 3]));
        drop(zero.freeze());
    }
    pool.attach_thread();
}

thread_local! {
    static FIRST: RefCell<Vec<Kept>> = const { RefCell::new(Vec::new()) };
    static SECOND: RefCell<Vec<Kept>> = const { RefCell::new(Vec::new()) };
}

/// Runs a thread whose locals hold `make`'s things, in one local registered before the pool's and one after.
fn end_thread_with(pool: &BufferPool, make: fn(&BufferPool) -> Kept) {
    let pool = pool.clone();
    thread::spawn(move || {
        FIRST.with_borrow(|kept| assert!(kept.is_empty()));
        drop(pool.get(100));
        SECOND.with_borrow(|kept| assert!(kept.is_empty()));
        FIRST.with_borrow_mut(|kept| kept.push(make(&pool)));
        SECOND.with_borrow_mut(|kept| kept.push(make(&pool)));
    })
    .join()
    .unwrap();
}

/// One test, because the destroyed are counted for the whole process.
#[test]
fn buffers_come_home_from_destructors() {
    whatever_a_local_keeps_goes_home();
    a_pool_may_be_used_for_the_first_time_in_a_destructor();
    a_pool_may_be_gone_before_the_destructors();
}

fn whatever_a_local_keeps_goes_home() {
    let pool = BufferPool::new();
    let kinds: [fn(&BufferPool) -> Kept; 4] = [
        |pool| Kept::Unique(pool.copy_from(b"unique")),
        |pool| Kept::Frozen(pool.copy_from(b"frozen").freeze()),
        |pool| Kept::Batch(pool.get_many([10, 1000, 10])),
        |pool| Kept::User(pool.clone()),
    ];
    for kind in kinds {
        let before = DESTROYED.load(Relaxed);
        end_thread_with(&pool, kind);
        assert_eq!(DESTROYED.load(Relaxed), before + 2);
        let stats = pool.stats();
        assert_identities(&stats);
        assert_eq!((stats.outstanding, stats.idle_in_caches), (0, 0));
    }
}

fn a_pool_may_be_used_for_the_first_time_in_a_destructor() {
    thread_local!(static LAST: RefCell<Option<Kept>> = const { RefCell::new(None) });
    let pool = BufferPool::new();
    let theirs = pool.clone();
    thread::spawn(move || LAST.set(Some(Kept::User(theirs)))).join().unwrap();
    let stats = pool.stats();
    assert_identities(&stats);
    assert_eq!((stats.outstanding, stats.idle_in_caches), (0, 0));
    assert!(stats.gets > 0);
}

fn a_pool_may_be_gone_before_the_destructors() {
    let pool = BufferPool::new();
    thread::spawn(move || {
        FIRST.with_borrow_mut(|kept| kept.push(Kept::Unique(pool.copy_from(b"unique"))));
        SECOND.with_borrow_mut(|kept| kept.push(Kept::Frozen(pool.copy_from(b"frozen").freeze())));
        SECOND.with_borrow_mut(|kept| kept.push(Kept::Batch(pool.get_many([10, 20]))));
        drop(pool);
    })
    .join()
    .unwrap();
}
