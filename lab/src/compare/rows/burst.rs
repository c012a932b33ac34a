//! Many buffers got one by one and then all dropped: what a thread's own cache does not hold.

use std::hint::black_box;
use std::time::Instant;

use super::{Cell, Pattern, Row};
use crate::compare::contender::{Cannot, Contender, Plan};

/// The size of zeropool's own burst row.
const BYTES: usize = 64 << 10;

pub fn rows() -> Vec<Row> {
    [10, 100, 1000]
        .map(|count| {
            let operation = format!("per buffer: {count} of 64KiB got and touched one by one, then dropped");
            Row::new(format!("burst/{count}"), operation, Burst { count, plan: Plan::of(&[BYTES]) })
                .operations(count as u64)
        })
        .into()
}

/// `count` buffers of the plan's only size.
pub struct Burst {
    pub count: usize,
    pub plan: Plan,
}

impl Pattern for Burst {
    fn plan(&self) -> Plan {
        Plan { idle: self.count, out: vec![self.plan.size().bytes; self.count], ..self.plan.clone() }
    }

    fn cell<C: Contender>(&self, plan: &Plan) -> Result<Box<dyn Cell>, Cannot> {
        let (pool, size, count) = (C::new(plan)?, plan.size(), self.count);
        Ok(Box::new(move |iterations| {
            let size = black_box(size);
            let mut held = Vec::with_capacity(count);
            let mut burst = || {
                for _ in 0..count {
                    let mut buf = pool.get(size);
                    C::write(&mut buf, 0);
                    held.push(buf);
                }
                black_box(&mut held);
                held.clear();
            };
            // Once before the clock starts: the other contenders' turns have emptied the caches and the TLB, and a turn of
            // few large bursts would measure little else.
            burst();
            let begin = Instant::now();
            (0..iterations).for_each(|_| burst());
            begin.elapsed()
        }))
    }
}
