//! A watcher knows of every region before a buffer of it is out, and until its memory goes.
#![allow(unsafe_code)] // A source is an unsafe trait.

#[path = "support/sources.rs"]
mod sources;
#[path = "support/watchers.rs"]
mod watchers;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread;

use millpond::{BufferPool, BufferPoolBuilder, Memory, PooledBuf, Recycled, Region, RegionWatch, RegionWatcher};
use sources::Counting;
use watchers::{Model, watched};

fn gives_up() -> BufferPoolBuilder {
    BufferPool::builder().thread_cache(0).max_idle(0)
}

const SIZES: [usize; 4] = [4096, 100 << 10, 1 << 20, 3 << 20];

fn sizes() -> impl Iterator<Item = usize> {
    SIZES.into_iter().filter(|&size| !cfg!(miri) || size <= 100 << 10)
}

#[test]
fn it_is_told_of_what_is_there_and_of_what_comes_and_goes() {
    let pool = gives_up().build().unwrap();
    let before: Vec<_> = sizes().map(|size| pool.get(Recycled(size))).collect();
    let (model, watch) = watched(&pool);
    model.assert_is(&pool);
    assert_eq!(model.added.load(SeqCst), before.len());
    let after: Vec<_> = sizes().map(|size| pool.get(Recycled(2 * size))).collect();
    before.iter().chain(&after).for_each(|buf| model.assert_knows(buf));
    model.assert_is(&pool);
    drop(before);
    model.assert_is(&pool);
    drop((pool, after));
    model.assert_right();
    assert!(model.there.read().unwrap().is_empty());
    assert_eq!(model.added.load(SeqCst), model.removed.load(SeqCst));
    drop(watch);
}

#[test]
fn parts_of_regions_stay_as_long_as_a_watch_lives_and_empty_ones_go() {
    for size in sizes().filter(|&size| size < 2 << 20) {
        let source = Arc::new(Counting::default());
        let pool = gives_up().memory(Memory::source(source.clone())).build().unwrap();
        let (model, watch) = watched(&pool);
        let mut bufs: Vec<_> = (0..3).map(|_| pool.get(Recycled(size))).collect();
        bufs.iter_mut().for_each(|buf| buf.fill(1));
        let last = bufs.pop();
        drop(bufs);
        pool.trim(0);
        assert_eq!(source.discards.load(SeqCst), 0);
        drop(watch);
        assert!(source.discards.load(SeqCst) > 0, "{size}");
        let (other, watch) = watched(&pool);
        let held = source.held();
        drop(last);
        assert!(source.held() < held && other.there.read().unwrap().is_empty());
        assert_eq!(model.removed.load(SeqCst), 0, "its watch had ended");
        drop(watch);
    }
}

#[test]
fn a_pin_keeps_regions_from_leaving_it() {
    let pool = gives_up().build().unwrap();
    let (model, _watch) = watched(&pool);
    let pin = pool.pin_regions();
    sizes().for_each(|size| drop(pool.get(Recycled(size))));
    assert_eq!((model.removed.load(SeqCst), pool.regions().len()), (0, sizes().count()));
    model.assert_is(&pool);
    drop(pin);
    assert_eq!(model.removed.load(SeqCst), sizes().count());
    model.assert_is(&pool);
}

/// Calls this whenever it is told of anything.
struct Does<F>(F, AtomicUsize);

impl<F: Fn() + Send + Sync> RegionWatcher for Does<F> {
    fn added(&self, _: &Region) {
        self.1.fetch_add(1, SeqCst);
        self.0();
    }

    fn removed(&self, _: &Region) {
        self.1.fetch_add(1, SeqCst);
        self.0();
    }
}

/// Uses the pool while another thread does, too.
fn exercise(pool: &BufferPool) {
    let work = || {
        for size in sizes() {
            let bufs = [pool.get(Recycled(size)), pool.get(Recycled(size))];
            drop(bufs);
            pool.trim(0);
        }
    };
    thread::scope(|scope| {
        let other = scope.spawn(work);
        work();
        // Its cache is empty then.
        other.join().unwrap();
    });
}

#[test]
fn a_watcher_may_use_the_pool() {
    let pool = gives_up().build().unwrap();
    let (model, watch) = watched(&pool);
    let (own, left) = (pool.clone(), AtomicUsize::new(20));
    let busy = Arc::new(Does(
        move || {
            // What it makes come and go it is told of, too.
            if left.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1)).is_err() {
                return;
            }
            sizes().for_each(|size| drop(own.get(Recycled(size))));
            own.trim(0);
            assert!(own.regions().len() < 1000);
            drop(own.pin_regions());
            drop(own.watch_regions(Arc::new(Model::default())));
        },
        AtomicUsize::new(0),
    ));
    let own_watch = pool.watch_regions(busy.clone());
    let first = pool.get(4096);
    assert!(busy.1.load(SeqCst) >= 20);
    exercise(&pool);
    drop((first, own_watch));
    pool.trim(0);
    model.assert_is(&pool);
    assert!(model.there.read().unwrap().is_empty());
    drop(watch);
}

/// Gives the last buffer of a region up while it is told of the region.
#[test]
fn a_region_that_goes_while_it_is_told_of_goes_afterwards() {
    #[derive(Default)]
    struct GivesUp {
        bufs: Mutex<Vec<PooledBuf>>,
        heard: Mutex<Vec<(u32, &'static str)>>,
    }

    impl RegionWatcher for GivesUp {
        fn added(&self, region: &Region) {
            self.heard.lock().unwrap().push((region.index(), "comes"));
            let bufs = std::mem::take(&mut *self.bufs.lock().unwrap());
            drop(bufs);
            self.heard.lock().unwrap().push((region.index(), "is there"));
        }

        fn removed(&self, region: &Region) {
            self.heard.lock().unwrap().push((region.index(), "goes"));
        }
    }

    let pool = gives_up().build().unwrap();
    let watcher = Arc::new(GivesUp::default());
    *watcher.bufs.lock().unwrap() = vec![pool.get(4096), pool.get(9000)];
    let (model, first) = watched(&pool);
    let watch = pool.watch_regions(watcher.clone());
    let heard = watcher.heard.lock().unwrap().clone();
    for index in [0, 1] {
        let of: Vec<_> = heard.iter().filter(|(of, _)| *of == index).map(|(_, what)| *what).collect();
        assert_eq!(of, ["comes", "is there", "goes"], "{heard:?}");
    }
    model.assert_is(&pool);
    assert!(pool.regions().is_empty());
    drop((watch, first));
}

#[test]
fn watchers_of_two_pools_use_each_other() {
    // Each has something to be told of whenever the other was.
    let pools = [gives_up().build().unwrap(), gives_up().build().unwrap()];
    let calls: [_; 2] = std::array::from_fn(|mine| {
        let other = pools[1 - mine].clone();
        let left = AtomicUsize::new(50);
        Arc::new(Does(
            move || {
                if left.load(SeqCst) > 0 {
                    left.fetch_sub(1, SeqCst);
                    drop(other.get(Recycled(5000)));
                }
            },
            AtomicUsize::new(0),
        ))
    });
    let watches: Vec<_> = pools.iter().zip(&calls).map(|(pool, calls)| pool.watch_regions(calls.clone())).collect();
    thread::scope(|scope| {
        for pool in &pools {
            scope.spawn(|| exercise(pool));
        }
    });
    assert!(calls.iter().all(|calls| calls.1.load(SeqCst) > 0));
    drop(watches);
}

#[test]
fn a_watch_may_end_in_its_own_watcher() {
    let pool = gives_up().build().unwrap();
    let place: Arc<Mutex<Option<RegionWatch>>> = Arc::default();
    let own = place.clone();
    let calls = Arc::new(Does(move || drop(own.lock().unwrap().take()), AtomicUsize::new(0)));
    *place.lock().unwrap() = Some(pool.watch_regions(calls.clone()));
    drop(pool.get(4096));
    drop(pool.get(9000));
    assert_eq!(calls.1.load(SeqCst), 1);
    assert!(place.lock().unwrap().is_none());
}

#[test]
fn a_watcher_that_panics_harms_nobody() {
    static QUIET: OnceLock<()> = OnceLock::new();
    QUIET.get_or_init(|| std::panic::set_hook(Box::new(|_| {})));
    let pool = gives_up().build().unwrap();
    let (model, watch) = watched(&pool);
    let panics = pool.watch_regions(Arc::new(Does(|| panic!("of the watcher's"), AtomicUsize::new(0))));
    let (second, second_watch) = watched(&pool);
    exercise(&pool);
    model.assert_is(&pool);
    second.assert_is(&pool);
    drop((panics, watch, second_watch));
    assert!(pool.regions().is_empty());
}

/// Threads that take and give back while pins and watches come and go: whatever they get, the model knows.
#[test]
fn the_model_knows_every_buffer_at_every_time() {
    let rounds = if cfg!(miri) { 3 } else { 150 };
    for memory in [Memory::mapped(), Memory::source(Arc::new(Counting::default()))] {
        let pool = BufferPool::builder().thread_cache(64 << 10).max_idle(2 << 20).memory(memory).build().unwrap();
        let (model, watch) = watched(&pool);
        let done = AtomicBool::new(false);
        let (pool, model, done) = (&pool, &model, &done);
        let work = |thread: usize| {
            let mut bufs = Vec::new();
            let mut round = thread;
            while !done.load(SeqCst) {
                let size = [900, 30_000, 100 << 10, 2 << 20][round % if cfg!(miri) { 3 } else { 4 }];
                let buf = pool.get(Recycled(size));
                model.assert_knows(&buf);
                bufs.push(buf);
                if bufs.len() > 8 {
                    bufs.iter().for_each(|buf| model.assert_knows(buf));
                    bufs.clear();
                }
                if round % 16 == thread {
                    pool.trim(0);
                }
                round += 1;
            }
        };
        let work = &work;
        thread::scope(|scope| {
            let threads: Vec<_> = (0..3).map(|thread| scope.spawn(move || work(thread))).collect();
            for round in 0..rounds {
                let pin = pool.pin_regions();
                let pinned = pool.regions();
                let (other, watch) = watched(pool);
                thread::yield_now();
                if round % 2 == 0 {
                    drop(pin);
                } else {
                    let now = pool.regions();
                    assert!(pinned.iter().all(|region| now.contains(region)));
                    drop(pin);
                }
                other.assert_right();
                drop(watch);
                model.assert_right();
            }
            done.store(true, SeqCst);
            // Their caches are empty then.
            threads.into_iter().for_each(|thread| thread.join().unwrap());
        });
        pool.trim(0);
        model.assert_is(pool);
        assert!(pool.regions().is_empty());
        assert_eq!(model.added.load(SeqCst), model.removed.load(SeqCst));
        drop(watch);
    }
}
