//! One thread that uses 1, 10 or 1000 pools in turn: does a pool remember its thread when there are others?

use std::hint::black_box;
use std::time::Instant;

use super::hit::through_memory;
use super::{Cell, Pattern, Row};
use crate::compare::contender::{Cannot, Contender, Plan};

const BYTES: usize = 4 << 10;

pub fn rows() -> Vec<Row> {
    [1, 10, 1000]
        .map(|count| {
            let operation = format!("get, touch, drop of 4KiB from the next of {count} pools");
            Row::new(format!("pools/{count}"), operation, Pools { count })
        })
        .into()
}

struct Pools {
    count: usize,
}

impl Pattern for Pools {
    fn plan(&self) -> Plan {
        Plan { pools: self.count, ..Plan::of(&[BYTES]) }
    }

    fn cell<C: Contender>(&self, plan: &Plan) -> Result<Box<dyn Cell>, Cannot> {
        let pools = (0..self.count).map(|_| C::new(plan)).collect::<Result<Vec<_>, _>>()?;
        let size = plan.size();
        Ok(Box::new(move |iterations| {
            let size = black_box(size);
            let begin = Instant::now();
            for (_, pool) in (0..iterations).zip(pools.iter().cycle()) {
                through_memory(pool, size);
            }
            begin.elapsed()
        }))
    }
}
