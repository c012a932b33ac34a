//! 64 zeroed KiB: does a get cost what the buffer holds, or what somebody could have written?

use std::hint::black_box;
use std::time::Instant;

use super::{Cell, Pattern, Row};
use crate::compare::contender::{Cannot, Contender, Plan};
use crate::size::Bytes;

const BYTES: usize = 64 << 10;

pub fn rows() -> Vec<Row> {
    let row = |exposed: usize| {
        let name = format!("zeroed/{}/{}", Bytes(BYTES as u64), Bytes(exposed as u64));
        let operation = match exposed {
            0 => "zeroed get, read one byte, drop".to_owned(),
            BYTES => "zeroed get, write one byte with all exposed, drop".to_owned(),
            _ => format!("zeroed get, write one byte with {} exposed, drop", Bytes(exposed as u64)),
        };
        Row::new(name, operation, Zeroed { exposed })
    };
    [0, 1 << 10, BYTES].map(row).into()
}

struct Zeroed {
    exposed: usize,
}

impl Pattern for Zeroed {
    fn plan(&self) -> Plan {
        Plan { zeroed: true, ..Plan::of(&[BYTES]) }
    }

    fn cell<C: Contender>(&self, plan: &Plan) -> Result<Box<dyn Cell>, Cannot> {
        let (pool, size, exposed) = (C::new(plan)?, plan.size(), self.exposed);
        Ok(Box::new(move |iterations| {
            let size = black_box(size);
            let begin = Instant::now();
            for _ in 0..iterations {
                let mut buf = pool.zeroed(size);
                black_box(C::bytes(&buf)[0]);
                if exposed > 0 {
                    C::expose(&mut buf, exposed)[0] = 1;
                }
                black_box(&mut buf);
            }
            begin.elapsed()
        }))
    }
}
