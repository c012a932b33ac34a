//! While a pin lives, nothing of a pool's regions goes back to the system; when the last one goes, what is empty does.
#![allow(unsafe_code)] // Idle memory is looked at, and a source is an unsafe trait.

#[path = "support/sources.rs"]
mod sources;

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};

use millpond::{BufferPool, BufferPoolBuilder, Maintenance, Memory, PooledBuf, Recycled, Zeroing};
use sources::Counting;

/// Small ones that keep their pages, large ones that give them back one by one, and mappings of their own.
const SIZES: [usize; 4] = [4096, 128 << 10, 1 << 20, 3 << 20];

fn sizes() -> impl Iterator<Item = usize> {
    SIZES.into_iter().filter(|&size| !cfg!(miri) || size <= 128 << 10)
}

/// Whatever comes home is given up at once.
fn gives_up() -> BufferPoolBuilder {
    BufferPool::builder().thread_cache(0).max_idle(0).maintenance(Maintenance::Manual).decay(Duration::MAX)
}

fn counted() -> (BufferPool, Arc<Counting>) {
    let source = Arc::new(Counting::default());
    (gives_up().memory(Memory::source(source.clone())).build().unwrap(), source)
}

fn fill(pool: &BufferPool, size: usize, byte: u8) -> PooledBuf {
    let mut buf = pool.get(Recycled(size));
    buf.fill(byte);
    buf
}

/// Without wiping or zeroing, bytes of a block that was given up and born again are those of the same pages.
#[test]
fn a_block_is_born_again_from_the_same_pages() {
    for size in sizes() {
        let pool = gives_up().build().unwrap();
        let anchor = (size < 2 << 20).then(|| pool.get(size));
        let buf = fill(&pool, size, 0xA7);
        let (place, region) = (buf.as_ptr(), buf.region());
        let pin = pool.pin_regions();
        drop(buf);
        pool.trim(0);
        let again = pool.get(Recycled(size));
        assert_eq!((again.as_ptr(), again.region()), (place, region));
        // The pool itself overwrites what lies idle in debug builds, and makes zero what Recycled must initialise.
        drop(again);
        assert!(pool.get(size).iter().all(|&byte| byte == 0), "the marks say that it is not zero");
        drop((anchor, pin));
    }
}

/// The kernel's own view: pages that were given back are not resident.
#[test]
#[cfg(all(target_os = "linux", not(miri)))]
fn pages_stay_resident_until_the_last_pin_goes() {
    for size in sizes() {
        let pool = gives_up().build().unwrap();
        let mut bufs: Vec<_> = (0..8).map(|_| fill(&pool, size, 1)).collect();
        // Of a region that is not all given up.
        let last = bufs.pop().unwrap();
        let regions = pool.regions();
        let resident = |regions: &[millpond::Region]| regions.iter().map(resident_bytes).sum::<usize>();
        let before = resident(&regions);
        let (first, second) = (pool.pin_regions(), pool.pin_regions());
        drop(bufs);
        pool.trim(0);
        assert_eq!((pool.regions(), resident(&regions)), (regions.clone(), before));
        drop(first);
        pool.trim(0);
        assert_eq!((pool.regions(), resident(&regions)), (regions.clone(), before));
        drop(second);
        let left = pool.regions();
        assert!(resident(&left) < size + (32 << 10), "{} bytes of {size}", resident(&left));
        assert!(left.iter().any(|region| region.index() == last.region().unwrap().0));
        drop(last);
        assert!(pool.regions().is_empty());
    }
}

#[cfg(all(target_os = "linux", not(miri)))]
fn resident_bytes(region: &millpond::Region) -> usize {
    let mut pages = vec![0_u8; region.len() / 4096];
    // SAFETY: there is room for a byte for each page.
    let result = unsafe { libc::mincore(region.as_ptr().cast(), region.len(), pages.as_mut_ptr()) };
    assert_eq!(result, 0);
    pages.iter().filter(|&&page| page & 1 == 1).count() * 4096
}

#[test]
fn a_pin_forbids_every_way_back_and_its_end_makes_up_for_it() {
    for size in sizes() {
        let (pool, source) = counted();
        let bufs: Vec<_> = (0..20).map(|_| fill(&pool, size, 1)).collect();
        let held = source.held();
        let pin = pool.pin_regions();
        source.is_pinned.store(true, SeqCst);
        drop(bufs);
        pool.trim(0);
        assert_eq!((source.held(), pool.stats().footprint), (held, 0));
        assert!(pool.stats().overhead as usize >= held);
        let allocations = source.allocations.load(SeqCst);
        let bufs: Vec<_> = (0..20).map(|_| pool.get(size)).collect();
        assert!(bufs.iter().all(|buf| buf.iter().all(|&byte| byte == 0)));
        assert_eq!(source.allocations.load(SeqCst), allocations, "what was kept is used first");
        drop(bufs);
        source.is_pinned.store(false, SeqCst);
        pin.release().unwrap();
        assert_eq!((source.held(), pool.regions().len()), (0, 0));
    }
}

#[test]
fn stale_pages_go_when_the_last_pin_does() {
    for size in sizes().filter(|&size| size < 2 << 20) {
        let (pool, source) = counted();
        let bufs: Vec<_> = (0..20).map(|_| fill(&pool, size, 1)).collect();
        let anchors: Vec<_> = pool.regions().iter().map(|region| region.index()).collect();
        // One of each region stays.
        let mut seen = HashSet::new();
        let (kept, given): (Vec<_>, Vec<_>) = bufs.into_iter().partition(|buf| seen.insert(buf.region().unwrap().0));
        assert_eq!(kept.len(), anchors.len());
        let pin = pool.pin_regions();
        source.is_pinned.store(true, SeqCst);
        drop(given);
        pool.trim(0);
        source.is_pinned.store(false, SeqCst);
        let before = source.discards.load(SeqCst);
        drop(pin);
        assert!(source.discards.load(SeqCst) > before, "{size}");
        assert!(kept.iter().all(|buf| buf.iter().all(|&byte| byte == 1)));
    }
}

/// A secret is gone from the pages that a pin keeps, on each way home.
#[test]
fn memory_that_stays_is_wiped() {
    let pool = gives_up().zeroing(Zeroing::OnReturn).build().unwrap();
    let pin = pool.pin_regions();
    for size in sizes() {
        let (unique, frozen) = (fill(&pool, size, 0xA5), fill(&pool, size, 0xA5).freeze());
        let mut grown = fill(&pool, size, 0xA5);
        grown.resize(2 * size, 0xA5);
        let batch = pool.get_many([Recycled(size); 3]);
        drop((unique, frozen, grown, batch));
    }
    pool.close();
    assert_eq!(pin.outstanding(), 0);
    let mut looked = 0;
    for region in pool.regions() {
        // SAFETY: pinned, and nobody has a buffer of it.
        let bytes = unsafe { std::slice::from_raw_parts(region.as_ptr(), region.len()) };
        assert!(bytes.iter().all(|&byte| byte == 0), "{region:?}");
        looked += bytes.len();
    }
    assert!(looked > sizes().sum());
}

#[test]
fn a_pin_knows_what_is_in_flight() {
    let pool = BufferPool::new();
    let bufs = pool.get_many([100, 5000, 70_000]);
    let large = pool.get(if cfg!(miri) { 200_000 } else { 100 << 20 }).freeze();
    let clone = large.clone();
    let pin = pool.pin_regions();
    assert_eq!(pin.outstanding(), 4);
    let in_flight = pin.release().unwrap_err();
    assert!(in_flight.to_string().contains("4 buffers"));
    drop((large, bufs));
    let in_flight = in_flight.into_pin().wait(Duration::from_millis(5)).unwrap_err();
    assert_eq!(in_flight.outstanding(), 1);
    let other = thread::spawn(move || {
        thread::sleep(Duration::from_millis(20));
        drop(clone);
    });
    in_flight.into_pin().wait(Duration::from_secs(60)).unwrap();
    other.join().unwrap();
}

#[test]
fn a_wait_ends_when_the_time_is_up() {
    let pool = BufferPool::new();
    let (_buf, pin) = (pool.get(100), pool.pin_regions());
    let start = Instant::now();
    assert_eq!(pin.wait(Duration::from_millis(30)).unwrap_err().outstanding(), 1);
    assert!(start.elapsed() >= Duration::from_millis(30));
}

/// No `release` and no `release_zeroes` is in progress when a pin has been made, whatever other threads do.
#[test]
fn a_pin_excludes_what_others_are_about_to_give_back() {
    let rounds = if cfg!(miri) { 5 } else { 400 };
    let (pool, source) = counted();
    let done = AtomicBool::new(false);
    let worked = AtomicUsize::new(0);
    let (pool, done, worked) = (&pool, &done, &worked);
    let work = |thread: usize| {
        let mut bufs = Vec::new();
        for round in 0.. {
            let size = [4096, 100 << 10, 2 << 20][(round + thread) % if cfg!(miri) { 2 } else { 3 }];
            bufs.push(pool.get(Recycled(size)));
            if bufs.len() > 10 {
                bufs.clear();
                pool.trim(0);
            }
            worked.fetch_add(1, SeqCst);
            if done.load(SeqCst) {
                break;
            }
        }
    };
    let work = &work;
    thread::scope(|scope| {
        let threads: Vec<_> = (0..3).map(|thread| scope.spawn(move || work(thread))).collect();
        for _ in 0..rounds {
            let pin = pool.pin_regions();
            let regions: HashSet<_> = pool.regions().into_iter().collect();
            source.is_quiet_for(&regions, || {
                let before = worked.load(SeqCst);
                while worked.load(SeqCst) < before + 5 {
                    thread::yield_now();
                }
                let now: HashSet<_> = pool.regions().into_iter().collect();
                assert!(regions.is_subset(&now), "a region went under a pin");
            });
            drop(pin);
        }
        done.store(true, SeqCst);
        // Their caches are empty then.
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    });
    pool.trim(0);
    assert_eq!((source.held(), pool.regions().len()), (0, 0));
}
