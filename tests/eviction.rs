//! Which idle memory gives way when classes compete: with `ClockPro`, what is needed once leaves before what is needed
//! again; with `Lifo`, what comes last.

#[path = "support/identities.rs"]
mod identities;

use identities::assert_identities;
use millpond::{Budget, BufferPool, BufferPoolBuilder, Capacity, Eviction};

const HOT: usize = 4096;
const HOT_COUNT: usize = 40;
/// Sizes that are needed once each.
const ONCE: std::ops::Range<usize> = 2..if cfg!(miri) { 6 } else { 40 };
const LIMIT: usize = 512 << 10;
/// Bursts before sizes change.
const ROUNDS: usize = if cfg!(miri) { 5 } else { 20 };

/// Caches nothing in threads, so that all that is idle competes.
fn builder(eviction: Eviction) -> BufferPoolBuilder {
    let sizes = std::iter::once(HOT).chain(ONCE.map(|pages| pages * 4096 + 1024));
    BufferPool::builder().size_classes(sizes).alignment(1024).thread_cache(0).eviction(eviction)
}

fn births(pool: &BufferPool, size: usize) -> u64 {
    let stats = pool.stats();
    assert_identities(&stats);
    stats.classes.iter().find(|class| class.size == size as u64).map_or(0, |class| class.fresh)
}

/// Buffers of sizes that are needed once come back while the hot ones are out, as where files are read beside a server's
/// work. How many hot ones are born after the first half.
fn scan(pool: &BufferPool) -> u64 {
    let mut before = 0;
    for pages in ONCE {
        let hot: Vec<_> = (0..HOT_COUNT).map(|_| pool.get(Capacity(HOT))).collect();
        drop(pool.get_many([Capacity(pages * 4096 + 1024); 8]));
        drop(hot);
        if pages == ONCE.end / 2 {
            before = births(pool, HOT);
        }
    }
    births(pool, HOT) - before
}

#[test]
fn what_is_needed_again_outlives_what_is_needed_once() {
    let pool = builder(Eviction::ClockPro).max_idle(LIMIT).build().unwrap();
    assert_eq!(scan(&pool), 0);
    let stats = pool.stats();
    assert!((stats.idle_in_depot + stats.idle_in_caches) as usize <= LIMIT, "{stats}");
}

/// Under Miri the sizes are few, and all find room.
#[test]
#[cfg(not(miri))]
fn lifo_keeps_what_came_first() {
    let pool = builder(Eviction::Lifo).max_idle(LIMIT).build().unwrap();
    // Nothing of the hot ones finds room where memory that nobody needs lies.
    assert!(scan(&pool) > 0);
}

#[test]
fn a_budget_too_takes_what_is_needed_once() {
    let budget = Budget::new(4 * LIMIT);
    let pool = builder(Eviction::ClockPro).budget(&budget).build().unwrap();
    assert_eq!(scan(&pool), 0);
    assert_eq!(budget.used(), pool.trim(0), "all of it was idle");
}

/// Sizes change for good, again and again: what share of the gets finds something idle.
fn hits_while_sizes_change(eviction: Eviction) -> f64 {
    let pool = builder(eviction).max_idle(LIMIT).build().unwrap();
    for pages in ONCE {
        let size = pages * 4096 + 1024;
        // At most half of the room, since threads' caches keep a buffer of each class in the other half.
        (0..ROUNDS).for_each(|_| drop(pool.get_many(vec![Capacity(size); LIMIT / 2 / size])));
    }
    pool.stats().hit_rate()
}

#[test]
fn a_load_that_changes_is_followed() {
    let (lifo, clock) = (hits_while_sizes_change(Eviction::Lifo), hits_while_sizes_change(Eviction::ClockPro));
    // Miri changes sizes four times, which all fit.
    let (least, more) = if cfg!(miri) { (0.5, -0.5) } else { (0.8, 0.2) };
    assert!(clock > least, "{clock} of the gets hit");
    assert!(clock > lifo + more, "{clock} hit, and {lifo} with Lifo");
}

/// What somebody waits for in several parts is gathered behind the line's lock, under which nothing may be freed.
#[test]
fn parts_of_what_is_waited_for_do_not_drive_each_other_out() {
    const PART: usize = 64 << 10;
    let builder = BufferPool::builder().size_classes([PART, 2 * PART]).max_idle(4 * PART).thread_cache(0);
    let pool = builder.budget(&Budget::new(16 * PART)).build().unwrap();
    let small = pool.get_many([Capacity(PART); 8]);
    let large = pool.get_many([Capacity(2 * PART); 4]);
    let waiter = std::thread::spawn({
        let pool = pool.clone();
        let sizes = [[PART; 4], [2 * PART; 4]].concat();
        move || pool.acquire_many(sizes.into_iter().map(Capacity)).wait().unwrap().len()
    });
    while pool.stats().waiters == 0 {
        std::thread::yield_now();
    }
    small.into_iter().for_each(drop);
    large.into_iter().for_each(drop);
    assert_eq!(waiter.join().unwrap(), 8);
    let stats = pool.stats();
    assert_identities(&stats);
    assert!((stats.idle_in_depot + stats.idle_in_caches) as usize <= 4 * PART, "{stats}");
}
