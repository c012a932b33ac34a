//! Every buffer says in which region it is and where; every region is listed once, under the lowest number that was
//! free.

use std::collections::{BTreeMap, BTreeSet};

use millpond::{BufferPool, Memory, Need, PooledBuf, PooledBytes, Recycled};

/// The sizes of pools: below an OS page, above it, with colours, of their own mapping, above all classes.
const SIZES: [usize; 6] = [100, 5000, 64 << 10, 512 << 10, 3 << 20, (64 << 20) + 1];

fn sizes() -> impl Iterator<Item = usize> {
    SIZES.into_iter().filter(|&size| !cfg!(miri) || size <= 64 << 10)
}

/// Fails unless the pool lists the region in which these bytes lie, where it says.
#[track_caller]
fn assert_listed(pool: &BufferPool, bytes: &[u8], capacity: usize, region: Option<(u32, usize)>) {
    let (index, offset) = region.expect("mapped memory has regions");
    let regions = pool.regions();
    let region = regions.iter().find(|region| region.index() == index).expect("listed");
    assert_eq!(region.as_ptr().addr() + offset, bytes.as_ptr().addr());
    assert!(offset + capacity <= region.len());
}

#[test]
fn a_buffer_knows_its_region() {
    let pool = BufferPool::new();
    let mut kept = Vec::new();
    for size in sizes() {
        for _ in 0..5 {
            let buf = pool.get(Recycled(size));
            assert_listed(&pool, &buf, buf.capacity(), buf.region());
            kept.push(buf);
        }
    }
    let mut ends: Vec<_> = pool.regions().iter().map(|r| (r.as_ptr().addr(), r.as_ptr().addr() + r.len())).collect();
    ends.sort_unstable();
    assert!(ends.windows(2).all(|pair| pair[0].1 <= pair[1].0), "regions overlap");
    for buf in &kept {
        assert_listed(&pool, buf, buf.capacity(), buf.region());
    }
}

#[test]
fn a_slice_knows_where_it_starts() {
    let pool = BufferPool::new();
    let buf = pool.copy_from(b"header body");
    let (index, offset) = buf.region().unwrap();
    let bytes = buf.freeze();
    assert_eq!(bytes.region(), Some((index, offset)));
    let body = bytes.slice(7..);
    assert_eq!(body.region(), Some((index, offset + 7)));
    assert_listed(&pool, &body, 4, body.region());
    assert_eq!(bytes.slice(4..4).region(), None);
    assert_eq!(PooledBytes::from_static(b"text").region(), None);
    drop(bytes);
    let buf = body.try_into_mut().unwrap();
    assert_eq!(buf.region(), Some((index, offset)), "moved to the front");
}

#[test]
fn a_buffer_that_grows_knows_its_new_region() {
    let pool = BufferPool::new();
    let mut buf = pool.copy_from(b"short");
    let before = buf.region();
    buf.resize(100_000, 7);
    assert_ne!(buf.region(), before);
    assert_listed(&pool, &buf, buf.capacity(), buf.region());
}

#[test]
fn a_new_region_has_the_lowest_number_that_is_free() {
    let pool = BufferPool::builder().thread_cache(0).max_idle(0).build().unwrap();
    let index = |buf: &PooledBuf| buf.region().unwrap().0;
    let mut bufs: Vec<_> = [300, 600, 1200, 2400].map(|size| pool.get(size)).into();
    assert_eq!(bufs.iter().map(index).collect::<Vec<_>>(), [0, 1, 2, 3]);
    drop(bufs.remove(1));
    drop(bufs.remove(1));
    let [low, high] = [5000, 9000].map(|size| pool.get(size));
    assert_eq!((index(&low), index(&high)), (1, 2));
    assert_eq!(bufs.iter().map(index).collect::<Vec<_>>(), [0, 3], "numbers stay");
    let listed: Vec<_> = pool.regions().iter().map(|region| region.index()).collect();
    assert_eq!(listed, [0, 1, 2, 3]);
    drop((bufs, low, high));
    assert!(pool.regions().is_empty());
}

#[test]
fn memory_without_regions_says_so() {
    let guarded = Memory::mapped().guard_pages(Need::Prefer);
    for memory in [Memory::heap(), guarded] {
        let pool = BufferPool::builder().memory(memory).build().unwrap();
        for size in sizes() {
            let buf = pool.get(Recycled(size));
            assert_eq!(buf.region(), None);
            assert_eq!(buf.freeze().region(), None);
        }
        assert!(pool.regions().is_empty());
        let pin = pool.pin_regions();
        pool.trim(0);
        pin.release().unwrap();
    }
}

#[test]
fn a_pool_that_is_gone_has_regions_as_long_as_buffers() {
    let pool = BufferPool::new();
    let buf = pool.get(5000);
    let region = buf.region();
    let pin = pool.pin_regions();
    pool.close();
    assert_eq!(pool.regions().len(), 1);
    drop(pool);
    assert_eq!(buf.region(), region);
    assert_eq!(pin.release().unwrap_err().outstanding(), 1);
    drop(buf);
}

#[test]
fn the_list_counts_as_overhead() {
    let pool = BufferPool::builder().thread_cache(0).build().unwrap();
    let before = pool.stats().overhead;
    let buf = pool.get(3 << 20);
    assert!(pool.stats().overhead > before);
    drop(buf);
}

/// Threads that take and give back, and a list that is right at each moment.
#[test]
fn threads_find_their_buffers_listed() {
    let rounds = if cfg!(miri) { 5 } else { 300 };
    let pool = BufferPool::builder().thread_cache(0).max_idle(1 << 20).build().unwrap();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let pool = &pool;
            scope.spawn(move || {
                let mut bufs = BTreeMap::new();
                for round in 0..rounds {
                    let size = [900, 20_000, 70_000, 2 << 20][(round + thread) % if cfg!(miri) { 3 } else { 4 }];
                    let buf = pool.get(Recycled(size));
                    assert_listed(pool, &buf, buf.capacity(), buf.region());
                    bufs.insert(round % 7, buf);
                    if round % 50 == 0 {
                        bufs.clear();
                        pool.trim(0);
                    }
                    let places: BTreeSet<_> = bufs.values().map(|buf| buf.region().unwrap()).collect();
                    assert_eq!(places.len(), bufs.len(), "two are in one place");
                }
            });
        }
    });
    pool.trim(0);
    assert!(pool.regions().is_empty());
}
