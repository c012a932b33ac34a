//! Threads that live for a few pairs only: what joining and leaving a pool costs.

use std::thread;
use std::time::Instant;

use super::hit::through_memory;
use super::{Cell, Pattern, Row};
use crate::compare::contender::{Cannot, Contender, Plan};

const BYTES: usize = 4 << 10;

pub fn rows() -> Vec<Row> {
    [100, 1000]
        .map(|gets| {
            let operation = format!("a thread started, {gets} pairs of 4KiB, the thread joined");
            Row::new(format!("short-thread/{gets}"), operation, Short { gets })
        })
        .into()
}

struct Short {
    gets: usize,
}

impl Pattern for Short {
    fn plan(&self) -> Plan {
        // Two threads at once: the one that lives on, and the one that does not.
        Plan { threads: 2, ..Plan::of(&[BYTES]) }
    }

    fn cell<C: Contender>(&self, plan: &Plan) -> Result<Box<dyn Cell>, Cannot> {
        let (pool, size, gets) = (C::new(plan)?, plan.size(), self.gets);
        Ok(Box::new(move |iterations| {
            let begin = Instant::now();
            for _ in 0..iterations {
                thread::scope(|scope| {
                    scope.spawn(|| {
                        (0..gets).for_each(|_| through_memory(&pool, size));
                        C::leave_thread();
                    });
                });
            }
            begin.elapsed()
        }))
    }
}
