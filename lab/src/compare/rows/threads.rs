//! The pair on many threads at once, each with its own buffer: the time that all together take, divided by all pairs.

use super::hit::through_memory;
use super::{Cell, Pattern, Row, in_words};
use crate::compare::contender::{Cannot, Contender, Plan};
use crate::compare::crew;

const BYTES: usize = 4 << 10;

pub fn rows() -> Vec<Row> {
    [1, 2, 4, 8, 16, 32, 64]
        .map(|threads| {
            let operation = format!("get, touch, drop of 4KiB on {} at once", in_words(threads));
            Row::new(format!("threads/{threads}"), operation, Threads { threads })
                .operations(threads as u64)
                .threads(threads, 1 << 12)
        })
        .into()
}

struct Threads {
    threads: usize,
}

impl Pattern for Threads {
    fn plan(&self) -> Plan {
        let threads = self.threads;
        Plan { threads, idle: threads, out: vec![BYTES; threads], ..Plan::of(&[BYTES]) }
    }

    fn cell<C: Contender>(&self, plan: &Plan) -> Result<Box<dyn Cell>, Cannot> {
        let (pool, size, threads) = (C::new(plan)?, plan.size(), self.threads);
        Ok(Box::new(move |iterations| {
            let pool = &pool;
            let work = move || (0..iterations).for_each(|_| through_memory(pool, size));
            crew::together(vec![work; threads], |_| through_memory(pool, size), C::leave_thread)
        }))
    }
}
