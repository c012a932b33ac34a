//! Netty's allocator benchmark: many buffers out, one after another replaced at random, so that what comes back is
//! not what was last given.

use std::hint::black_box;
use std::time::Instant;

use super::{Cell, Pattern, Row};
use crate::compare::contender::{Cannot, Contender, Plan};
use crate::random::Random;
use crate::size::Bytes;

const LIVE: usize = 128;
/// Places drawn beforehand; drawing is not what is measured.
const DRAWN: usize = 4096;

pub fn rows() -> Vec<Row> {
    [1 << 10, 64 << 10]
        .map(|bytes| {
            let name = format!("live-128/{}", Bytes(bytes as u64));
            Row::new(name, "one of 128 buffers dropped at random and replaced", Live { bytes })
        })
        .into()
}

struct Live {
    bytes: usize,
}

impl Pattern for Live {
    fn plan(&self) -> Plan {
        Plan { out: vec![self.bytes; LIVE], ..Plan::of(&[self.bytes]) }
    }

    fn cell<C: Contender>(&self, plan: &Plan) -> Result<Box<dyn Cell>, Cannot> {
        let (pool, size) = (C::new(plan)?, plan.size());
        let mut random = Random::seeded(1);
        let places: Vec<usize> = (0..DRAWN).map(|_| random.below(LIVE as u64) as usize).collect();
        Ok(Box::new(move |iterations| {
            let size = black_box(size);
            let fresh = || {
                let mut buf = pool.get(size);
                C::write(&mut buf, 0);
                buf
            };
            let mut live: Vec<_> = (0..LIVE).map(|_| Some(fresh())).collect();
            let begin = Instant::now();
            for at in (0..iterations).zip(places.iter().cycle()).map(|(_, &at)| at) {
                live[at] = None;
                live[at] = Some(fresh());
                black_box(&mut live[at]);
            }
            begin.elapsed()
        }))
    }
}
