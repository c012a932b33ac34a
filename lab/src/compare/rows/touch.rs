//! The first touch of memory: by where it comes from and how large its pages are, with the page faults it takes; the same
//! when it comes back from the pool; and, heap against mapped, what memory costs from its birth until the system has it
//! back.
//!
//! Touched is a byte of each 4 KiB. What the system's allocator keeps of memory that it was given back is its own affair,
//! and depends on what came before; of 64 MiB, that of glibc keeps nothing.

use std::hint::black_box;
use std::mem::MaybeUninit;
use std::time::{Duration, Instant};

use millpond::{BufferPool, Capacity, HugePages, Memory, Need, PooledBuf};

use super::{Cell, Roster, Row};
use crate::compare::contender::{Contender, Kind, Plan};
use crate::compare::contenders::millpond::{Millpond, builder};
use crate::compare::contenders::vec::SystemVec;
use crate::memory;
use crate::process;
use crate::size::Bytes;

/// The largest class that pools have by default.
const LARGE: usize = 64 << 20;
/// Classes whose births are measured.
const BORN: [usize; 5] = [1 << 10, 4 << 10, 64 << 10, 1 << 20, 4 << 20];
/// Buffers that are born together: one trim gives all of them back, as one turn of decay would.
const LITTER: usize = 16;
/// The usual OS page.
const PAGE: usize = 4 << 10;

pub fn rows() -> Vec<Row> {
    let mut rows: Vec<_> = [State::Fresh, State::Warm].map(touch).into();
    rows.extend(BORN.map(birth));
    rows
}

fn touch(state: State) -> Row {
    let name = format!("touch/{}/{}", Bytes(LARGE as u64), state.name());
    let entries = Box::new(move |roster: &mut Roster<'_>| {
        for source in Source::ALL {
            let plan = roster.plan(Plan::of(&[LARGE]));
            roster.add(source.name(), source.kind(), || {
                let pool = source.pool(&plan);
                Ok(Metered::boxed(Some(pool.clone()), touch_one(pool, state)))
            });
        }
        roster.add(SystemVec::NAME, SystemVec::KIND, || Ok(Metered::boxed(None, touch_vec)));
    });
    Row::of(name, state.words(), memory::charged(&[LARGE]), entries)
}

fn birth(bytes: usize) -> Row {
    let name = format!("touch/{}/birth", Bytes(bytes as u64));
    let operation = format!("per buffer: {LITTER} got fresh and touched, dropped, and given back by trim(0)");
    let entries = Box::new(move |roster: &mut Roster<'_>| {
        for source in [Source::Mapped, Source::Heap] {
            let plan = roster.plan(Plan { out: vec![bytes; LITTER], ..Plan::of(&[bytes]) });
            roster.add(source.name(), source.kind(), || {
                let pool = source.pool(&plan);
                Ok(Metered::boxed(Some(pool.clone()), bear(pool, bytes)))
            });
        }
        roster.add(SystemVec::NAME, SystemVec::KIND, || Ok(Metered::boxed(None, bear_vecs(bytes))));
    });
    Row::of(name, operation, memory::charged(&[bytes; LITTER]), entries).operations(LITTER as u64)
}

/// What a buffer of the pool was before.
#[derive(Clone, Copy)]
enum State {
    /// Memory that the pool had not.
    Fresh,
    /// A buffer that was used, and came back.
    Warm,
}

impl State {
    fn name(self) -> &'static str {
        match self {
            Self::Fresh => "fresh",
            Self::Warm => "warm",
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::Fresh => "get memory that the pool had not and touch all its OS pages; to give it back is not timed",
            Self::Warm => "get a buffer that came back to the pool and touch all its OS pages; vectors are new ones",
        }
    }
}

/// Where a pool takes its memory from.
#[derive(Clone, Copy)]
enum Source {
    Mapped,
    Heap,
    Prefault,
    Transparent,
    Explicit,
}

impl Source {
    const ALL: [Source; 5] = [Self::Mapped, Self::Heap, Self::Prefault, Self::Transparent, Self::Explicit];

    fn name(self) -> &'static str {
        match self {
            Self::Mapped => Millpond::NAME,
            Self::Heap => "millpond, heap",
            Self::Prefault => "millpond, prefault",
            Self::Transparent => "millpond, huge pages if any",
            Self::Explicit => "millpond, 2 MiB pages if any",
        }
    }

    /// The default is what the others stand beside.
    fn kind(self) -> Kind {
        match self {
            Self::Mapped => Kind::Millpond,
            Self::Heap | Self::Prefault | Self::Transparent | Self::Explicit => Kind::Variant,
        }
    }

    fn memory(self) -> Memory {
        match self {
            Self::Mapped => Memory::mapped(),
            Self::Heap => Memory::heap(),
            Self::Prefault => Memory::mapped().prefault(Need::Prefer),
            Self::Transparent => Memory::mapped().huge_pages(HugePages::Transparent, Need::Prefer),
            Self::Explicit => Memory::mapped().huge_pages(HugePages::Explicit2M, Need::Prefer),
        }
    }

    /// With room for what lies idle, also where the machine is small.
    fn pool(self, plan: &Plan) -> BufferPool {
        builder(plan).memory(self.memory()).max_idle(plan.out.iter().sum()).build().expect("nothing is required")
    }
}

fn touch_one(pool: BufferPool, state: State) -> impl Fn(&mut Meter) {
    move |meter| {
        drop(meter.measure(|| touched(pool.get(Capacity(LARGE)))));
        if let State::Fresh = state {
            pool.trim(0);
        }
    }
}

fn touch_vec(meter: &mut Meter) {
    drop(meter.measure(|| touched(Vec::with_capacity(LARGE))));
}

fn bear(pool: BufferPool, bytes: usize) -> impl Fn(&mut Meter) {
    move |meter| {
        meter.measure(|| {
            let litter: [PooledBuf; LITTER] = std::array::from_fn(|_| touched(pool.get(Capacity(bytes))));
            drop(black_box(litter));
            pool.trim(0);
        });
    }
}

fn bear_vecs(bytes: usize) -> impl Fn(&mut Meter) {
    move |meter| {
        meter.measure(|| {
            let litter: [Vec<u8>; LITTER] = std::array::from_fn(|_| touched(Vec::with_capacity(bytes)));
            drop(black_box(litter));
        });
    }
}

/// Memory without bytes in it.
trait Room {
    fn room(&mut self) -> &mut [MaybeUninit<u8>];
}

impl Room for PooledBuf {
    fn room(&mut self) -> &mut [MaybeUninit<u8>] {
        self.spare_capacity_mut()
    }
}

impl Room for Vec<u8> {
    fn room(&mut self) -> &mut [MaybeUninit<u8>] {
        self.spare_capacity_mut()
    }
}

#[inline]
fn touched<R: Room>(mut memory: R) -> R {
    for byte in memory.room().iter_mut().step_by(PAGE) {
        black_box(byte.write(1));
    }
    memory
}

/// Time and page faults of those parts of a turn that count.
#[derive(Default)]
pub(super) struct Meter {
    pub(super) elapsed: Duration,
    pub(super) faults: Option<u64>,
}

impl Meter {
    pub(super) fn measure<T>(&mut self, act: impl FnOnce() -> T) -> T {
        let before = process::page_faults();
        let begin = Instant::now();
        let value = act();
        self.elapsed += begin.elapsed();
        let faults = before.and_then(|before| Some(process::page_faults()? - before));
        self.faults = faults.map(|faults| self.faults.unwrap_or(0) + faults);
        value
    }
}

/// A cell that counts page faults, and says how often the system gave what was asked of memory.
struct Metered<A> {
    act: A,
    pool: Option<BufferPool>,
    faults: Option<u64>,
}

impl<A: Fn(&mut Meter) + 'static> Metered<A> {
    fn boxed(pool: Option<BufferPool>, act: A) -> Box<dyn Cell> {
        Box::new(Self { act, pool, faults: None })
    }
}

impl<A: Fn(&mut Meter)> Cell for Metered<A> {
    fn time(&mut self, iterations: u64) -> Duration {
        let mut meter = Meter::default();
        (0..iterations).for_each(|_| (self.act)(&mut meter));
        self.faults = meter.faults;
        meter.elapsed
    }

    fn faults(&self) -> Option<u64> {
        self.faults
    }

    fn note(&self) -> Option<String> {
        let asked = self.pool.as_ref()?.stats().memory;
        let words = asked.iter().map(|asked| format!("{} got {} of {} times", asked.option, asked.got, asked.asked));
        Some(words.collect::<Vec<_>>().join(", ")).filter(|note| !note.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fresh_memory_is_the_systems_and_warm_memory_the_pools() {
        for source in Source::ALL {
            let pool = source.pool(&Plan::of(&[LARGE]));
            for (state, fresh) in [(State::Fresh, 3), (State::Warm, 4)] {
                let mut cell = Metered::boxed(Some(pool.clone()), touch_one(pool.clone(), state));
                assert!(cell.time(3) > Duration::ZERO);
                assert_eq!(pool.stats().fresh, fresh, "{}", source.name());
            }
        }
    }

    #[test]
    fn a_litter_is_born_and_nothing_of_it_stays() {
        let pool = Source::Mapped.pool(&Plan { out: vec![4096; LITTER], ..Plan::of(&[4096]) });
        Metered::boxed(None, bear(pool.clone(), 4096)).time(2);
        let stats = pool.stats();
        assert_eq!((stats.gets, stats.fresh, stats.footprint), (2 * LITTER as u64, 2 * LITTER as u64, 0));
    }
}
