//! Nothing of a buffer is left in any memory of the process once a wiping pool took it back, by whichever way.
//!
//! Each case puts a random needle into a buffer, checks that a search of all writable memory finds it, lets the buffer
//! go its way, and searches again. The needle itself is kept in a transformed form only.
#![cfg(all(target_os = "linux", not(miri)))]
#![allow(unsafe_code)] // Searches memory with `memchr`.

use std::cell::RefCell;
use std::fs::File;
use std::hash::{BuildHasher, RandomState};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc;
use std::thread;

use millpond::{BufferPool, BufferPoolBuilder, Capacity, Memory, PooledBuf, Recycled, Zeroing};

const LEN: usize = 32;
/// The needle is stored as its exclusive or with this.
const VEIL: u8 = 0b1010_0101;

struct Needle {
    veiled: [u8; LEN],
}

impl Needle {
    fn random() -> Self {
        let random = RandomState::new();
        let mut veiled = [0; LEN];
        for (part, chunk) in veiled.chunks_mut(8).enumerate() {
            chunk.copy_from_slice(&random.hash_one(part).to_le_bytes());
        }
        // A first byte that memory is not full of.
        veiled[0] = 0xE3 ^ VEIL;
        Needle { veiled }
    }

    /// Writes the needle byte by byte, so that no copy is made on the way.
    fn write_to(&self, place: &mut [u8]) {
        for (byte, veiled) in place.iter_mut().zip(&self.veiled) {
            *byte = std::hint::black_box(veiled ^ VEIL);
        }
    }

    /// A buffer with the needle at these places.
    fn buf(&self, pool: &BufferPool, size: usize, places: &[usize]) -> PooledBuf {
        let mut buf = pool.get(size);
        for &place in places {
            self.write_to(&mut buf[place..]);
        }
        buf
    }

    fn is_at(&self, bytes: &[u8]) -> bool {
        bytes.len() >= LEN && bytes.iter().zip(&self.veiled).all(|(byte, veiled)| byte ^ VEIL == *veiled)
    }

    /// How often the needle is in memory that this process can write.
    fn count(&self) -> usize {
        let memory = File::open("/proc/self/mem").unwrap();
        let mut window = vec![0; WINDOW + LEN];
        let own = window.as_ptr_range();
        let mut found = 0;
        for (start, end) in writable() {
            let mut at = start;
            while at < end {
                let read = memory.read_at(&mut window[..(end - at).min(WINDOW + LEN)], at as u64).unwrap_or(0);
                // A needle that starts behind the window belongs to the next one.
                let places = self.places(&window[..read]).filter(|place| *place < WINDOW).map(|place| at + place);
                found += places.filter(|at| !(own.start.addr()..own.end.addr()).contains(at)).count();
                // Reading ends where a guard is, which is one page.
                at += if read < WINDOW { read.next_multiple_of(PAGE).max(PAGE) } else { WINDOW };
            }
        }
        window.fill(0);
        std::hint::black_box(&mut window);
        found
    }

    fn places(&self, bytes: &[u8]) -> impl Iterator<Item = usize> {
        let first = libc::c_int::from(self.veiled[0] ^ VEIL);
        let mut from = 0;
        std::iter::from_fn(move || {
            let rest = &bytes[from..];
            // SAFETY: reads the rest alone.
            let hit = unsafe { libc::memchr(rest.as_ptr().cast(), first, rest.len()) };
            let place = from + hit.addr().checked_sub(rest.as_ptr().addr())?;
            from = place + 1;
            Some(place)
        })
        .filter(|&place| self.is_at(&bytes[place..]))
    }
}

const WINDOW: usize = 1 << 20;
const PAGE: usize = 4096;

/// The address ranges of all memory that this process can write.
fn writable() -> Vec<(usize, usize)> {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let range = |line: &str| {
        let (range, rest) = line.split_once(' ')?;
        let (start, end) = range.split_once('-')?;
        let parse = |number| usize::from_str_radix(number, 16).ok();
        if rest.starts_with("rw") { Some((parse(start)?, parse(end)?)) } else { None }
    };
    maps.lines().filter_map(range).collect()
}

/// Pools that wipe, of every kind of memory.
fn builders() -> [BufferPoolBuilder; 3] {
    let wiping = |memory| BufferPool::builder().zeroing(Zeroing::OnReturn).memory(memory);
    [wiping(Memory::heap()), wiping(Memory::mapped()), BufferPool::secret()]
}

/// A way that a buffer goes; its needle is at the start, in the middle and at the end.
type Way = fn(BufferPool, PooledBuf);

const WAYS: &[(&str, Way)] = &[
    ("drop", |_pool, buf| drop(buf)),
    ("drop after truncation", |_pool, mut buf| {
        buf.truncate(3);
        buf.clear();
    }),
    ("drop after the pool", |pool, buf| {
        drop(pool);
        drop(buf);
    }),
    ("drop after close", |pool, buf| {
        pool.close();
        drop(buf);
    }),
    ("drop, then close", |pool, buf| {
        drop(buf);
        pool.close();
    }),
    ("drop on another thread, which ends", |_pool, buf| thread::spawn(move || drop(buf)).join().unwrap()),
    ("last of several clones", |_pool, buf| {
        let bytes = buf.freeze();
        let clones = [bytes.clone(), bytes.slice(10..50), bytes.clone().split_off(7)];
        drop(bytes);
        drop(clones);
    }),
    #[cfg(feature = "bytes")]
    ("conversion into `Bytes`", |_pool, buf| {
        let bytes = bytes::Bytes::from(buf.freeze());
        drop(bytes.slice(5..).clone());
        drop(bytes);
    }),
    ("growth into another class", |_pool, mut buf| {
        let grown = buf.len() + 1;
        buf.truncate(3);
        buf.reserve(4 * grown);
        buf.resize(grown, 0);
        std::mem::forget(buf);
    }),
    ("growth of the whole", |_pool, mut buf| {
        for _ in 0..3 {
            buf.resize(2 * buf.capacity(), 1);
        }
    }),
    ("unwinding", |_pool, buf| {
        let unwound = catch_unwind(AssertUnwindSafe(|| {
            let _buf = buf;
            std::panic::resume_unwind(Box::new(()));
        }));
        assert!(unwound.is_err());
    }),
    ("batch drop", |pool, buf| {
        let mut batch = pool.get_many([Capacity(buf.len()); 30]);
        for place in batch.iter_mut() {
            place.extend_from_slice(&buf);
        }
        drop(batch);
    }),
    ("compaction", |_pool, buf| {
        let len = buf.len();
        let small = buf.freeze().slice(len / 2 + LEN..len / 2 + LEN + 10).compact();
        std::mem::forget(small);
    }),
    ("thawing with an offset", |_pool, buf| {
        let len = buf.len();
        let mut frozen = buf.freeze();
        // The part that is moved to the front is the last needle.
        frozen = frozen.split_off(len - LEN);
        let mut thawed = frozen.try_into_mut().unwrap();
        thawed.truncate(1);
    }),
    ("a reader that fails", |_pool, mut buf| {
        struct Fails(Vec<u8>);
        impl std::io::Read for Fails {
            fn read(&mut self, room: &mut [u8]) -> std::io::Result<usize> {
                let len = room.len().min(self.0.len());
                room[..len].copy_from_slice(&self.0[..len]);
                self.0.fill(0);
                std::hint::black_box(&mut self.0);
                Err(std::io::ErrorKind::Other.into())
            }
        }
        let mut reader = Fails(buf[..LEN].to_vec());
        buf.truncate(100);
        assert!(buf.read_from(&mut reader).is_err());
    }),
    ("the spare capacity", |pool, buf| {
        let mut other = pool.get(Capacity(buf.len()));
        for (place, byte) in other.spare_capacity_mut().iter_mut().zip(&buf[..]) {
            place.write(*byte);
        }
    }),
    #[cfg(feature = "bytes")]
    ("`BufMut`", |pool, buf| {
        let mut other = pool.get(Capacity(buf.len()));
        bytes::BufMut::put_slice(&mut other, &buf);
        other.clear();
        bytes::BufMut::chunk_mut(&mut other)[..LEN].copy_from_slice(&buf[..LEN]);
    }),
    ("`Write`", |pool, buf| {
        let mut other = pool.get(Capacity(0));
        for part in buf.chunks(LEN) {
            other.write_all(part).unwrap();
        }
    }),
    ("a thread-local's destructor", |_pool, buf| {
        thread_local!(static KEPT: RefCell<Option<PooledBuf>> = const { RefCell::new(None) });
        thread::spawn(move || KEPT.set(Some(buf))).join().unwrap();
    }),
    ("the end of a thread that has cached it, under a pool that lives on", |pool, buf| {
        let theirs = pool.clone();
        let size = buf.len();
        thread::spawn(move || {
            drop(theirs.get(size));
            drop(buf);
            drop(theirs);
        })
        .join()
        .unwrap();
        assert!(pool.get(Recycled(size)).iter().all(|&byte| byte == 0));
    }),
];

/// One test, because a search sees the whole process.
#[test]
fn no_needle_is_left_in_any_memory() {
    std::panic::set_hook(Box::new(|info| eprintln!("{info}")));
    the_search_finds_what_is_there();
    for builder in builders() {
        for &(name, way) in WAYS {
            for size in [1000, 70_000] {
                check(name, way, &builder, size);
            }
        }
        oversize_buffers_leave_nothing(&builder);
        a_sleeping_threads_cache_holds_nothing(&builder);
    }
}

fn check(name: &str, way: Way, builder: &BufferPoolBuilder, size: usize) {
    let needle = Needle::random();
    let pool = builder.clone().build().unwrap();
    let kept = pool.clone();
    let buf = needle.buf(&pool, size, &[0, size / 2, size - LEN]);
    assert_eq!(needle.count(), 3, "{name}: the needles that were hidden");
    way(pool, buf);
    assert_eq!(needle.count(), 0, "{name}, {size} bytes, {builder:?}: needles left under a pool that lives on");
    drop(kept);
    assert_eq!(needle.count(), 0, "{name}, {size} bytes, {builder:?}: needles left after the pool");
}

fn the_search_finds_what_is_there() {
    let needle = Needle::random();
    assert_eq!(needle.count(), 0);
    let mut elsewhere = vec![0; 3 * WINDOW];
    let places = [1, WINDOW - 5, 2 * WINDOW];
    places.iter().for_each(|&place| needle.write_to(&mut elsewhere[place..]));
    assert_eq!(needle.count(), places.len());
    elsewhere.fill(0);
    std::hint::black_box(&mut elsewhere);
    assert_eq!(needle.count(), 0);
}

fn oversize_buffers_leave_nothing(builder: &BufferPoolBuilder) {
    let needle = Needle::random();
    let pool = builder.clone().size_classes([256]).build().unwrap();
    for size in [300, 100_000] {
        let buf = needle.buf(&pool, size, &[0, size - LEN]);
        assert_eq!(needle.count(), 2);
        drop(buf);
        assert_eq!(needle.count(), 0);
        let mut grown = needle.buf(&pool, size, &[0]);
        grown.resize(size * 3, 0);
        assert_eq!(needle.count(), 1);
        drop(grown.freeze());
        assert_eq!(needle.count(), 0);
    }
}

fn a_sleeping_threads_cache_holds_nothing(builder: &BufferPoolBuilder) {
    let needle = Needle::random();
    let pool = builder.clone().build().unwrap();
    let bufs = [0; 20].map(|_| needle.buf(&pool, 1000, &[0, 500]));
    let (dropped, is_dropped) = mpsc::channel();
    let (wake, sleep) = mpsc::channel::<()>();
    let sleeper = thread::spawn(move || {
        drop(bufs);
        dropped.send(()).unwrap();
        assert!(sleep.recv().is_err());
    });
    is_dropped.recv().unwrap();
    assert!(pool.stats().idle_in_caches > 0);
    assert_eq!(needle.count(), 0);
    pool.close();
    assert_eq!(needle.count(), 0);
    drop(wake);
    sleeper.join().unwrap();
}
