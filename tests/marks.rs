//! The marks that make zeroing cheap never make it wrong: after every way to write to memory, every request gets what
//! it promises.

#[path = "support/zero.rs"]
mod zero;

use std::io::{Read, Write};
use std::mem::MaybeUninit;

use millpond::{BufferPool, Capacity, PooledBuf, Recycled, Zeroing};
use zero::is_zero;

const CLASS: usize = 1024;

/// A way to write to a buffer, or to let it be written to.
type Exposure = fn(&mut PooledBuf);

struct Claims(usize);

impl Read for Claims {
    /// Writes all of the room and claims to have written less.
    fn read(&mut self, room: &mut [u8]) -> std::io::Result<usize> {
        room.fill(0xEE);
        Ok(self.0)
    }
}

struct Fails;

impl Read for Fails {
    fn read(&mut self, room: &mut [u8]) -> std::io::Result<usize> {
        room.fill(0xEE);
        Err(std::io::ErrorKind::Interrupted.into())
    }
}

const EXPOSURES: &[(&str, Exposure)] = &[
    ("nothing", |_| {}),
    ("reading", |buf| assert_eq!(buf.iter().filter(|&&byte| byte == 1).count(), 0)),
    ("a write through the slice", |buf| buf.iter_mut().for_each(|byte| *byte = 0xEE)),
    ("a write through the slice, then truncation", |buf| {
        buf.resize(CLASS, 0);
        buf[CLASS - 1] = 0xEE;
        buf.truncate(1);
    }),
    ("a write through the slice, then clearing and more", |buf| {
        buf.resize(700, 0);
        buf[699] = 0xEE;
        buf.clear();
        buf.extend_from_slice(b"short");
    }),
    ("appending", |buf| buf.extend_from_slice(&[0xEE; 100])),
    ("appending to the capacity, then clearing", |buf| {
        buf.resize(CLASS, 0xEE);
        buf.clear();
    }),
    ("resizing with zeroes, over what was there", |buf| {
        buf.resize(CLASS, 0xEE);
        buf.truncate(10);
        buf.resize(500, 0);
    }),
    ("iterating", |buf| buf.extend([0xEE; 33])),
    ("formatting", |buf| write!(buf, "{:>200}", "x").unwrap()),
    ("initialised spare capacity without a length", |buf| {
        buf.spare_capacity_mut().iter_mut().for_each(|byte| _ = byte.write(0xEE));
    }),
    ("uninitialised bytes in the spare capacity", |buf| {
        buf.spare_capacity_mut().fill(MaybeUninit::uninit());
    }),
    ("uninitialised bytes behind initialised ones", |buf| {
        buf.clear();
        buf.extend_from_slice(&[0xEE; 300]);
        buf.spare_capacity_mut().fill(MaybeUninit::uninit());
        buf.truncate(100);
    }),
    ("a reader that claims less than it wrote", |buf| {
        buf.truncate(7);
        assert_eq!(buf.read_from(&mut Claims(3)).unwrap(), 3);
    }),
    ("a reader that fails", |buf| {
        buf.truncate(7);
        assert!(buf.read_from(&mut Fails).is_err());
    }),
    ("growth and the old place", |buf| {
        buf.resize(CLASS, 0xEE);
        buf.reserve(1);
    }),
    ("a writer", |buf| buf.write_all(&[0xEE; 900]).unwrap_or_else(|error| panic!("{error}"))),
];

fn pool(zeroing: Zeroing) -> BufferPool {
    BufferPool::builder().size_classes([CLASS, 4 * CLASS]).zeroing(zeroing).build().unwrap()
}

/// Every kind of request, of several lengths, on the memory just returned.
fn requests_are_as_promised(pool: &BufferPool, name: &str) {
    let lens = if cfg!(miri) { &[0, 100, CLASS][..] } else { &[0, 1, 99, 100, 101, 512, 699, 700, CLASS - 1, CLASS] };
    for &len in lens {
        let zero = pool.get(len);
        assert!(zero.len() == len && is_zero(&zero), "{len} zero bytes after {name}");
        drop(zero);
        // Reads each byte: Miri sees whether they are initialised.
        let recycled = pool.get(Recycled(len));
        assert_eq!(recycled.len(), len);
        std::hint::black_box(recycled.iter().fold(0, |sum, &byte| sum ^ byte));
        drop(recycled);
        assert_eq!(pool.get(Capacity(len)).len(), 0);
    }
}

#[test]
fn every_request_after_every_exposure() {
    for &(name, expose) in EXPOSURES {
        for zeroing in [Zeroing::OnGet, Zeroing::OnReturn] {
            let pool = pool(zeroing);
            let starts: [fn(&BufferPool) -> PooledBuf; 4] = [
                |pool| pool.get(CLASS),
                |pool| pool.get(64),
                |pool| pool.get(Capacity(CLASS)),
                |pool| {
                    let mut buf = pool.get(Recycled(CLASS));
                    buf.clear();
                    buf
                },
            ];
            for start in starts {
                let mut buf = start(&pool);
                expose(&mut buf);
                drop(buf);
                requests_are_as_promised(&pool, name);
            }
        }
    }
}

#[test]
fn every_exposure_after_every_other() {
    let pool = pool(Zeroing::OnGet);
    // Miri takes a sample.
    let stride = if cfg!(miri) { 5 } else { 1 };
    for (at, &(first_name, first)) in EXPOSURES.iter().enumerate() {
        for &(second_name, second) in EXPOSURES.iter().skip(at % stride).step_by(stride) {
            for len in [0, 200, CLASS] {
                let mut buf = pool.get(Capacity(CLASS));
                first(&mut buf);
                buf.truncate(len / 2);
                if second_name != "reading" {
                    second(&mut buf);
                }
                drop(buf.freeze().try_into_mut().unwrap());
                assert!(is_zero(&pool.get(len)), "{len} zero bytes after {first_name} and {second_name}");
            }
        }
    }
}

#[test]
fn a_thawed_slice_is_part_of_the_marks() {
    let pool = pool(Zeroing::OnGet);
    for (start, end) in [(0, 10), (1, 1000), (500, CLASS), (CLASS - 1, CLASS)] {
        let mut buf = pool.get(CLASS);
        buf.fill(0xEE);
        let mut frozen = buf.freeze().slice(start..end);
        frozen.truncate(5);
        let mut thawed = frozen.try_into_mut().unwrap();
        thawed.extend_from_slice(&[0xEE; 2]);
        drop(thawed);
        assert!(is_zero(&pool.get(CLASS)), "thawed at {start}");
    }
}

#[test]
fn a_wiping_pool_recycles_zeroes() {
    let pool = pool(Zeroing::OnReturn);
    for &(name, expose) in EXPOSURES.iter().filter(|(name, _)| *name != "growth and the old place") {
        let mut buf = pool.get(CLASS);
        expose(&mut buf);
        drop(buf);
        assert!(is_zero(&pool.get(Recycled(CLASS))), "recycled bytes after {name}");
        drop(pool.get(CLASS));
    }
}
