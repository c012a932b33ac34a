//! Get, touch one byte, drop: the pair that everything else is made of.

use std::hint::black_box;
use std::time::Instant;

use super::{Cell, Pattern, Row};
use crate::compare::contender::{Cannot, Contender, Plan, Size};
use crate::size::Bytes;

const SIZES: [usize; 6] = [256, 1 << 10, 4 << 10, 64 << 10, 1 << 20, 16 << 20];

pub fn rows() -> Vec<Row> {
    let hit = |bytes: usize, place: Place| {
        let name = format!("hit/{}/{}", Bytes(bytes as u64), place.name());
        Row::new(name, format!("get, touch, drop; handle {}", place.words()), Hit { bytes, place })
    };
    let mut rows: Vec<_> =
        SIZES.into_iter().flat_map(|bytes| [Place::Memory, Place::Registers].map(|place| hit(bytes, place))).collect();
    rows.extend([1 << 10, 64 << 10].map(|bytes| {
        let name = format!("two-live/{}", Bytes(bytes as u64));
        Row::new(name, "get, touch and drop while one other is out", TwoLive { bytes }).operations(2)
    }));
    rows
}

/// Where the handle is between get and drop.
#[derive(Clone, Copy)]
pub enum Place {
    /// Forced through memory, as when it is stored, passed on or held across a call.
    Memory,
    /// Where the compiler likes it; only the touched byte is looked at.
    Registers,
}

impl Place {
    pub fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Registers => "registers",
        }
    }

    pub fn words(self) -> &'static str {
        match self {
            Self::Memory => "forced through memory",
            Self::Registers => "in registers",
        }
    }
}

struct Hit {
    bytes: usize,
    place: Place,
}

impl Pattern for Hit {
    fn plan(&self) -> Plan {
        Plan::of(&[self.bytes])
    }

    fn cell<C: Contender>(&self, plan: &Plan) -> Result<Box<dyn Cell>, Cannot> {
        let (pool, size) = (C::new(plan)?, plan.size());
        Ok(match self.place {
            Place::Memory => Box::new(move |iterations| {
                let size = black_box(size);
                let begin = Instant::now();
                (0..iterations).for_each(|_| through_memory(&pool, size));
                begin.elapsed()
            }),
            Place::Registers => Box::new(move |iterations| {
                let size = black_box(size);
                let begin = Instant::now();
                (0..iterations).for_each(|_| in_registers(&pool, size));
                begin.elapsed()
            }),
        })
    }
}

/// The pair with its handle in memory; also what threads do in other rows.
#[inline(always)]
pub fn through_memory<C: Contender>(pool: &C, size: Size) {
    let mut buf = pool.get(size);
    C::write(&mut buf, 0);
    black_box(&mut buf);
}

#[inline(always)]
fn in_registers<C: Contender>(pool: &C, size: Size) {
    let mut buf = pool.get(size);
    black_box(C::write(&mut buf, 0));
}

struct TwoLive {
    bytes: usize,
}

impl Pattern for TwoLive {
    fn plan(&self) -> Plan {
        Plan { idle: 2, out: vec![self.bytes; 2], ..Plan::of(&[self.bytes]) }
    }

    fn cell<C: Contender>(&self, plan: &Plan) -> Result<Box<dyn Cell>, Cannot> {
        let (pool, size) = (C::new(plan)?, plan.size());
        Ok(Box::new(move |iterations| {
            let size = black_box(size);
            let begin = Instant::now();
            for _ in 0..iterations {
                let mut first = pool.get(size);
                C::write(&mut first, 0);
                through_memory(&pool, size);
                black_box(&mut first);
            }
            begin.elapsed()
        }))
    }
}
