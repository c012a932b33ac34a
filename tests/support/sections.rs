//! Real-time sections: gets and drops of both faces, alone and from thread to thread, within the prefilled count. They
//! allocate nothing themselves, call no system and never panic, so that what is seen meanwhile is the pools' doing.

#[path = "ring.rs"]
mod ring;

use std::hint::spin_loop;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::thread;

use millpond::{BufferPool, Capacity, Pool, Pooled, PooledArc, PooledBuf, PooledBytes, PooledSlice, Recycled, Zeroing};
use ring::Ring;

/// Pairs of a thread that gets and one that drops.
const PAIRS: usize = 2;
pub(crate) const THREADS: usize = 1 + 2 * PAIRS;
/// From the heap, and mapped.
const SIZES: [usize; 2] = [1000, 70_000];
const FRAMES: usize = 512;
/// Two size classes in each of two byte pools, and an object pool.
pub(crate) const KINDS: usize = 2 * SIZES.len() + 1;
/// On their way in a pair.
const IN_RING: usize = 40 * KINDS;
/// Of one kind in a pair: in the ring, and one in hand of either thread. These are successive messages.
const OUT: usize = IN_RING / KINDS + 1;
const MAGAZINE: usize = 64;
/// Of each kind: what is out at once, and what lies idle in magazines that the thread which asks cannot reach: all but
/// its own.
pub(crate) const PREFILL: usize = PAIRS * OUT + (THREADS - 1) * MAGAZINE;
/// Messages of a pair, so many that most of each kind come from a magazine of the other thread, by way of the depot.
const MESSAGES: usize = 2 * KINDS * PREFILL;
/// How many are out at once while one thread works alone: up to all, and one more or less than magazines hold.
const ALONE: [usize; 5] = [1, MAGAZINE - 1, MAGAZINE + 1, 2 * MAGAZINE + 1, PREFILL];

/// What is got in all sections.
pub(crate) const ALL: usize = KINDS * (ALONE[0] + ALONE[1] + ALONE[2] + ALONE[3] + ALONE[4]) + PAIRS * MESSAGES;

/// What passes from thread to thread.
#[allow(dead_code, reason = "held and dropped")]
pub(crate) enum Handle {
    Buf(PooledBuf),
    Bytes(PooledBytes),
    Value(Pooled<Vec<f32>>),
    Shared(PooledArc<Vec<f32>>),
    Slice(PooledSlice<f32>),
}

pub(crate) struct Sections {
    bytes: [BufferPool; 2],
    blocks: Pool<Vec<f32>>,
    rings: [Ring<Option<Handle>, IN_RING>; PAIRS],
    /// The pairs may begin.
    go: AtomicBool,
    got: AtomicUsize,
}

impl Sections {
    pub(crate) fn new() -> Self {
        let bytes = [Zeroing::OnGet, Zeroing::OnReturn].map(|zeroing| {
            let builder = SIZES.iter().fold(BufferPool::builder(), |builder, &size| builder.prefill(size, PREFILL));
            builder.zeroing(zeroing).build().unwrap()
        });
        let blocks = Pool::builder().create(|| Vec::with_capacity(FRAMES)).prefill(PREFILL).build().unwrap();
        let rings = [(); PAIRS].map(|()| Ring::new());
        Sections { bytes, blocks, rings, go: AtomicBool::new(false), got: AtomicUsize::new(0) }
    }

    /// Runs all sections. Each thread calls `section` once, with what it is to do in real time.
    pub(crate) fn run(&self, section: impl Fn(&mut dyn FnMut()) + Sync) {
        let mut held = Vec::with_capacity(KINDS * PREFILL);
        let section = &section;
        self.attach_thread();
        thread::scope(|scope| {
            for ring in &self.rings {
                scope.spawn(|| self.attached(|| section(&mut || self.produce(ring))));
                scope.spawn(|| self.attached(|| section(&mut || self.consume(ring))));
            }
            section(&mut || self.alone(&mut held));
        });
    }

    fn attached(&self, work: impl FnOnce()) {
        self.attach_thread();
        work();
    }

    pub(crate) fn attach_thread(&self) {
        self.bytes.iter().for_each(BufferPool::attach_thread);
        self.blocks.attach_thread();
    }

    /// Gets and drops as many as there are, and then lets the pairs begin.
    #[cfg_attr(millpond_rtsan, sanitize(realtime = "nonblocking"))]
    fn alone(&self, held: &mut Vec<Handle>) {
        for most in ALONE {
            held.extend((0..most * KINDS).filter_map(|number| self.get(number)));
            self.got.fetch_add(held.len(), SeqCst);
            held.clear();
        }
        self.go.store(true, SeqCst);
    }

    #[cfg_attr(millpond_rtsan, sanitize(realtime = "nonblocking"))]
    fn produce(&self, ring: &Ring<Option<Handle>, IN_RING>) {
        while !self.go.load(SeqCst) {
            spin_loop();
        }
        (0..MESSAGES).for_each(|number| ring.put(number, self.get(number)));
    }

    #[cfg_attr(millpond_rtsan, sanitize(realtime = "nonblocking"))]
    fn consume(&self, ring: &Ring<Option<Handle>, IN_RING>) {
        let got = (0..MESSAGES).filter_map(|number| ring.take(number)).count();
        self.got.fetch_add(got, SeqCst);
    }

    /// Kinds and ways to get one take turns.
    pub(crate) fn get(&self, number: usize) -> Option<Handle> {
        let way = number / KINDS % 3;
        match number % KINDS {
            0 => self.get_block(way),
            kind => get_bytes(&self.bytes[kind % 2], SIZES[kind / 2 % 2], way),
        }
    }

    fn get_block(&self, way: usize) -> Option<Handle> {
        let mut block = self.blocks.try_get().ok()?;
        block.resize(FRAMES, 0.5);
        Some(match way {
            0 => Handle::Value(block),
            1 => Handle::Slice(block.into_slice(FRAMES / 3)),
            _ => {
                let shared = block.freeze();
                drop(shared.clone());
                Handle::Shared(shared)
            }
        })
    }

    /// How many were got in all sections until now.
    pub(crate) fn got(&self) -> usize {
        self.got.load(SeqCst)
    }

    /// Buffers and values made beyond the prefilled ones.
    pub(crate) fn fresh(&self) -> u64 {
        self.bytes.iter().map(BufferPool::stats).chain([self.blocks.stats()]).map(|stats| stats.fresh).sum()
    }
}

fn get_bytes(pool: &BufferPool, size: usize, way: usize) -> Option<Handle> {
    let got = match way {
        0 => pool.try_get(size),
        1 => pool.try_get(Capacity(size)),
        _ => pool.try_get(Recycled(size)),
    };
    let mut buf = got.ok()?;
    buf.resize(size / 2, 7);
    if way == 0 {
        return Some(Handle::Buf(buf));
    }
    let bytes = buf.freeze();
    Some(Handle::Bytes(bytes.slice(1..)))
}
