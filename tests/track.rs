//! A pool that tracks knows who has what is out: every verb notes its caller, every way home forgets it.
#![cfg(feature = "track")]
#![allow(unsafe_code)] // A raw buffer is put together again.

#[cfg(not(any(miri, feature = "tracing-01")))]
#[path = "support/child.rs"]
mod child;
#[path = "support/random.rs"]
mod random;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};

use millpond::{BufferPool, CallSite, Capacity, ChainWriter, Outstanding, Pool, PooledBuf, Recycled};
use random::Random;

fn pool() -> BufferPool {
    BufferPool::builder().track(true).build().unwrap()
}

fn values() -> Pool<String> {
    Pool::<String>::builder().track(true).build().unwrap()
}

/// The only place.
#[track_caller]
fn only(outstanding: &Outstanding) -> &CallSite {
    assert_eq!((outstanding.sites.len(), outstanding.untracked), (1, 0), "{outstanding}");
    &outstanding.sites[0]
}

/// Fails unless so many are out, all of them `held`, that were taken in the line before the call.
#[track_caller]
fn assert_taken_above<T>(outstanding: impl Fn() -> Outstanding, count: usize, held: T) {
    let here = Location::caller();
    let taken = || {
        let outstanding = outstanding();
        let is_above =
            |site: &&CallSite| site.location.line() == here.line() - 1 && site.location.file() == here.file();
        outstanding.sites.iter().filter(is_above).map(|site| site.count).sum::<usize>()
    };
    assert_eq!(taken(), count, "{}", outstanding());
    drop(held);
    assert_eq!(taken(), 0);
}

#[test]
fn every_verb_of_a_byte_pool_notes_its_caller() {
    let pool = pool();
    let outstanding = || pool.outstanding();
    // Once with fresh memory, and once with what lies idle.
    for _ in 0..2 {
        let buf = pool.get(100);
        assert_taken_above(outstanding, 1, buf);
        let buf = pool.get(Capacity(if cfg!(miri) { 100 << 10 } else { 100 << 20 }));
        assert_taken_above(outstanding, 1, buf);
        let buf = pool.try_get(Recycled(5000)).unwrap();
        assert_taken_above(outstanding, 1, buf);
        let buf = pool.copy_from(b"copied");
        assert_taken_above(outstanding, 1, buf);
        let batch = pool.get_many([4096; 40]);
        assert_taken_above(outstanding, 40, batch);
        let batch = pool.try_get_many([100, 5000, if cfg!(miri) { 70 << 10 } else { 70 << 20 }, 100]).unwrap();
        assert_taken_above(outstanding, 4, batch);
        let buf = pool.acquire(100).wait().unwrap();
        assert_taken_above(outstanding, 1, buf);
        let batch = pool.acquire_many([4096, 65536]).wait().unwrap();
        assert_taken_above(outstanding, 2, batch);
        let mut writer = ChainWriter::new(&pool, 1024);
        std::io::Write::write_all(&mut writer, &[1; 4000]).unwrap();
        let lines = pool.outstanding().sites.iter().map(|site| site.location.line()).collect::<Vec<_>>();
        assert_eq!((lines, only(&pool.outstanding()).count), (vec![line!() - 3], 4));
        drop(writer);
        pool.assert_quiescent();
    }
}

#[test]
fn every_verb_of_an_object_pool_notes_its_caller() {
    let values = values();
    let outstanding = || values.outstanding();
    for _ in 0..2 {
        let value = values.get();
        assert_taken_above(outstanding, 1, value);
        let value = values.try_get();
        assert_taken_above(outstanding, 1, value);
        let value = values.get_with(|text| text.push('x'));
        assert_taken_above(outstanding, 1, value);
        let batch = values.get_many(70);
        assert_taken_above(outstanding, 70, batch);
        let batch = values.try_get_many(3);
        assert_taken_above(outstanding, 3, batch);
        let value = values.acquire().wait();
        assert_taken_above(outstanding, 1, value);
        let batch = values.acquire_many(5).wait();
        assert_taken_above(outstanding, 5, batch);
        let value = values.adopt("mine".into());
        assert_taken_above(outstanding, 1, value);
        let value = values.try_adopt("mine".into());
        assert_taken_above(outstanding, 1, value);
        values.assert_quiescent();
    }
    let detached = values.adopt("never comes home".into()).detach();
    assert_eq!((detached.len(), values.outstanding().count()), (16, 0));
}

/// Who waited has what was handed over to it.
#[test]
fn what_was_waited_for_is_taken_where_it_was_asked_for() {
    let pool = BufferPool::builder().track(true).size_classes([4096]).max_memory(2 * 4096).build().unwrap();
    let values = Pool::<String>::builder().track(true).max_objects(2).build().unwrap();
    let (bufs, texts) = (pool.get_many([1, 1]), values.get_many(2));
    let (own, others) = (pool.clone(), values.clone());
    let other = thread::spawn(move || {
        let buf = own.acquire(1).wait().unwrap();
        assert_taken_above(|| own.outstanding(), 1, buf);
        let batch = own.acquire_many([1, 1]).wait().unwrap();
        assert_taken_above(|| own.outstanding(), 2, batch);
        let text = others.acquire().wait().unwrap();
        assert_taken_above(|| others.outstanding(), 1, text);
        let batch = others.acquire_many(2).wait().unwrap();
        assert_taken_above(|| others.outstanding(), 2, batch);
    });
    let has_waiters = |waiters: &dyn Fn() -> u64| {
        while waiters() == 0 && !other.is_finished() {
            thread::yield_now();
        }
    };
    has_waiters(&|| pool.stats().waiters);
    drop(bufs);
    has_waiters(&|| values.stats().waiters);
    drop(texts);
    other.join().unwrap();
}

#[test]
fn a_buffer_is_the_same_in_every_form() {
    let pool = pool();
    let (mut buf, line) = (pool.get(100), line!());
    let assert_is = |bytes: usize| {
        let outstanding = pool.outstanding();
        let site = only(&outstanding);
        assert_eq!((site.location.line(), site.count, site.bytes), (line, 1, bytes));
    };
    assert_is(256);
    buf.extend_from_slice(&[7; 5000]);
    assert_is(6144);
    let frozen = buf.freeze();
    let part = frozen.slice(..300);
    drop(frozen);
    assert_is(6144);
    let part = part.compact();
    assert_is(384);
    let raw = part.try_into_mut().unwrap().into_raw();
    assert_is(384);
    // SAFETY: taken apart above, and put together once.
    let buf = unsafe { PooledBuf::from_raw(raw) };
    pool.close();
    assert_is(384);
    thread::spawn(move || drop(buf)).join().unwrap();
    assert_eq!(pool.outstanding().count(), 0);
}

#[test]
fn ages_and_threads_are_those_of_the_oldest() {
    let pool = pool();
    let take = || pool.get(4096);
    let first = take();
    let mine = only(&pool.outstanding()).thread;
    thread::sleep(Duration::from_millis(2500));
    let start = Instant::now();
    let second = thread::scope(|scope| scope.spawn(take).join().unwrap());
    let outstanding = pool.outstanding();
    let site = only(&outstanding);
    assert_eq!((site.count, site.bytes, site.thread), (2, 8192, mine));
    assert!(site.oldest >= Duration::from_secs(1), "{:?}", site.oldest);
    drop(first);
    let outstanding = pool.outstanding();
    let site = only(&outstanding);
    assert_ne!(site.thread, mine);
    // The clock is behind by a second at most, and by what a busy machine keeps the thread from setting it.
    assert!(site.oldest < start.elapsed() + Duration::from_millis(2000), "{:?}", site.oldest);
    drop(second);
}

#[test]
fn the_table_has_a_line_for_each_place_the_largest_first() {
    let pool = pool();
    let small: Vec<_> = (0..5).map(|_| pool.get(100)).collect();
    let large = pool.get(1 << 20);
    let outstanding = pool.outstanding();
    assert_eq!((outstanding.count(), outstanding.bytes()), (6, (1 << 20) + 5 * 256));
    let text = outstanding.to_string();
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines.len(), 3, "{text}");
    assert!(lines[1].contains("1048576") && lines[1].ends_with(&format!("{}:{}:22", file!(), line!() - 6)), "{text}");
    assert!(lines[2].trim_start().starts_with("5 ") && lines[2].contains("1280"), "{text}");
    drop((small, large));
}

#[test]
fn who_is_not_quiescent_is_told_of_the_places() {
    let pool = pool();
    pool.assert_quiescent();
    let buf = pool.get(4096);
    let line = line!() - 1;
    let panic = catch_unwind(AssertUnwindSafe(|| pool.assert_quiescent())).unwrap_err();
    let text = panic.downcast::<String>().unwrap();
    assert!(text.starts_with("1 out:") && text.contains(&format!("{}:{line}", file!())), "{text}");
    drop(buf);
    pool.assert_quiescent();
}

#[test]
fn a_pool_that_does_not_track_counts() {
    let pool = BufferPool::new();
    let bufs = pool.get_many([100; 3]);
    let outstanding = pool.outstanding();
    assert_eq!((outstanding.sites.len(), outstanding.untracked, outstanding.count()), (0, 3, 3));
    assert!(outstanding.to_string().contains("not tracked"), "{outstanding}");
    drop(bufs);
}

/// What a child says that drops its pools while buffers are out. (With `tracing-01`, subscribers are told instead.)
#[test]
#[cfg(not(any(miri, feature = "tracing-01")))]
fn the_end_of_a_named_pool_is_told() {
    if child::is_child() {
        let named = BufferPool::builder().name("leaky").track(true).build().unwrap();
        let (kept, clone) = (named.get(4096), named.clone());
        drop(named);
        eprintln!("a handle is left");
        drop(clone);
        let objects = Pool::<String>::builder().name("strings").track(true).build().unwrap();
        let text = objects.get();
        drop(objects);
        let quiet = [
            BufferPool::builder().name("tidy").track(true).build().unwrap(),
            BufferPool::builder().name("blind").build().unwrap(),
            pool(),
        ];
        drop(quiet[0].get(100));
        let held = (quiet[1].get(100), quiet[2].get(100));
        drop(quiet);
        return drop((kept, text, held));
    }
    let output = child::output("the_end_of_a_named_pool_is_told");
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{text}");
    let told: Vec<_> = text.lines().filter(|line| line.contains("millpond: the pool")).collect();
    assert_eq!(told.len(), 2, "{text}");
    assert!(told[0].contains("\"leaky\"") && told[1].contains("\"strings\""), "{text}");
    assert_eq!(text.matches("tests/track.rs:").count(), 2, "{text}");
    assert!(text.find("a handle is left") < text.find("leaky"), "{text}");
}

/// Lists made while others work are of places that there are, and the last one is exact.
#[test]
fn lists_are_right_amid_the_work() {
    const THREADS: usize = 3;
    let (pool, over) = (pool(), AtomicBool::new(false));
    let rounds = if cfg!(miri) { 20 } else { 20_000 };
    let take: [fn(&BufferPool, usize) -> PooledBuf; 3] =
        [|pool, size| pool.get(size), |pool, size| pool.try_get(size).unwrap(), |pool, size| pool.get(Capacity(size))];
    let work = |seed: usize| {
        let (mut random, mut held) = (Random::new(seed as u64 + 1), Vec::new());
        for _ in 0..rounds {
            let which = random.below(take.len());
            held.push((which, take[which](&pool, [100, 5000, 70_000][random.below(3)])));
            if random.below(3) == 0 {
                held.clear();
            }
            if random.below(500) == 0 {
                pool.trim(0);
            }
        }
        held
    };
    let held = thread::scope(|scope| {
        let lister = scope.spawn(|| {
            while !over.load(SeqCst) {
                let outstanding = pool.outstanding();
                assert!(outstanding.sites.len() <= take.len(), "{outstanding}");
                assert!(outstanding.sites.iter().all(|site| site.location.file() == file!()), "{outstanding}");
            }
        });
        let work = &work;
        let workers: Vec<_> = (0..THREADS).map(|seed| scope.spawn(move || work(seed))).collect();
        let held: Vec<_> = workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect();
        over.store(true, SeqCst);
        lister.join().unwrap();
        held
    });
    let mut counts = BTreeMap::new();
    held.iter().for_each(|(which, _)| *counts.entry(*which).or_insert(0) += 1);
    let outstanding = pool.outstanding();
    let mut listed: Vec<usize> = outstanding.sites.iter().map(|site| site.count).collect();
    let mut counted: Vec<usize> = counts.into_values().collect();
    listed.sort_unstable();
    counted.sort_unstable();
    assert_eq!((listed, outstanding.untracked), (counted, 0), "{outstanding}");
    assert_eq!(outstanding.bytes(), held.iter().map(|(_, buf)| buf.capacity()).sum::<usize>());
    drop(held);
    pool.assert_quiescent();
}

/// A pool that nobody looks after is told the time by whoever goes to its depot.
#[test]
fn a_pool_without_the_thread_knows_the_time() {
    let start = Instant::now();
    let pool = BufferPool::builder().track(true).maintenance(millpond::Maintenance::Manual).build().unwrap();
    thread::sleep(Duration::from_millis(400));
    let buf = pool.get(1000);
    thread::sleep(Duration::from_millis(400));
    let age = only(&pool.outstanding()).oldest;
    assert!(age >= Duration::from_millis(300) && age <= start.elapsed(), "{age:?}");
    drop(buf);
}
