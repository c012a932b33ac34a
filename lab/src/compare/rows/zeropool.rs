//! The rows that zeropool publishes for itself, in the shape of its `benches/`: 0.3.1 for all but the page writes,
//! which are 0.7.0's headline. Its pools are set up as those benchmarks do, ours and the others as always.

use std::hint::black_box;
use std::thread;
use std::time::Instant;

use super::burst::Burst;
use super::{Cell, Pattern, Row, in_words};
use crate::compare::contender::{Cannot, Contender, Knobs, Plan, Size};

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;
const OS_PAGE: usize = 4 << 10;

pub fn rows() -> Vec<Row> {
    let mut rows = vec![
        Row::new("zeropool/ping-pong", "per pair: 1KiB and 1MiB got, then both dropped", PingPong).operations(100),
        Row::new("zeropool/hot-cold", "three of 64KiB got, looked at 1000 times each, dropped", HotCold),
        Row::new("zeropool/multi-size", "per buffer: 4KiB, 64KiB and 1MiB in turn", MultiSize).operations(300),
    ];
    rows.extend([2, 4, 8].map(|depth| {
        let knobs = Knobs { thread_cache: Some(15), smallest: Some(0), ..Knobs::default() };
        let plan = Plan { zeropool: knobs, ..Plan::of(&[64 * KIB]) };
        let operation = format!("per buffer: {depth} of 64KiB got, then dropped");
        Row::new(format!("zeropool/cache-depth/{depth}"), operation, Burst { count: depth, plan })
            .operations(depth as u64)
    }));
    let knobs =
        Knobs { thread_cache: Some(8), shards: Some(4), per_shard: Some(100), smallest: Some(4096), prefill: None };
    let pressure = Burst { count: 10, plan: Plan { zeropool: knobs, ..Plan::of(&[64 * KIB]) } };
    rows.push(Row::new("zeropool/eviction", "per buffer: 10 of 64KiB got, then dropped", pressure).operations(10));
    rows.extend([1, 4, 8, 16].map(|threads| {
        let operation = format!("per get: 1000 of 1KiB on {}, starting included", in_words(threads));
        let knobs = Knobs { thread_cache: Some(1), shards: Some(4), smallest: Some(0), ..Knobs::default() };
        let crew = Crew { threads, gets: 1000, bytes: KIB, pages: false, knobs };
        Row::new(format!("zeropool/1000-ops/{threads}"), operation, crew)
            .operations(1000 * threads as u64)
            .threads(threads, 1)
    }));
    rows.extend([2, 4, 8, 16].map(|threads| {
        let operation =
            format!("per get: 200 of 64KiB on {}, starting and a write to every OS page included", in_words(threads));
        let crew = Crew {
            threads,
            gets: 200,
            bytes: 64 * KIB,
            pages: true,
            knobs: Knobs { smallest: Some(0), ..Knobs::default() },
        };
        Row::new(format!("zeropool/page-writes/{threads}"), operation, crew)
            .operations(200 * threads as u64)
            .threads(threads, 1)
    }));
    rows
}

/// Got and dropped untouched, as the originals do.
#[inline(always)]
fn untouched<C: Contender>(pool: &C, size: Size) {
    black_box(&mut pool.get(size));
}

struct PingPong;

impl Pattern for PingPong {
    fn plan(&self) -> Plan {
        let knobs = Knobs { thread_cache: Some(10), prefill: Some((20, MIB)), ..Knobs::default() };
        Plan { zeropool: knobs, out: vec![KIB, MIB], ..Plan::of(&[KIB, MIB]) }
    }

    fn cell<C: Contender>(&self, plan: &Plan) -> Result<Box<dyn Cell>, Cannot> {
        let pool = C::new(plan)?;
        let sizes: Vec<_> = plan.sizes().collect();
        Ok(Box::new(move |iterations| {
            let begin = Instant::now();
            for _ in 0..iterations * 100 {
                let mut small = pool.get(sizes[0]);
                let mut large = pool.get(sizes[1]);
                black_box(&mut small);
                black_box(&mut large);
                drop(small);
                drop(large);
            }
            begin.elapsed()
        }))
    }
}

struct HotCold;

impl Pattern for HotCold {
    fn plan(&self) -> Plan {
        let knobs = Knobs { thread_cache: Some(10), prefill: Some((10, 64 * KIB)), ..Knobs::default() };
        Plan { zeropool: knobs, idle: 3, out: vec![64 * KIB; 3], ..Plan::of(&[64 * KIB]) }
    }

    fn cell<C: Contender>(&self, plan: &Plan) -> Result<Box<dyn Cell>, Cannot> {
        let (pool, size) = (C::new(plan)?, plan.size());
        Ok(Box::new(move |iterations| {
            let begin = Instant::now();
            for _ in 0..iterations {
                let hot = [(); 3].map(|()| pool.get(size));
                for _ in 0..1000 {
                    for buf in &hot {
                        black_box(buf);
                    }
                }
            }
            begin.elapsed()
        }))
    }
}

struct MultiSize;

impl Pattern for MultiSize {
    fn plan(&self) -> Plan {
        let knobs = Knobs { thread_cache: Some(15), ..Knobs::default() };
        Plan { zeropool: knobs, ..Plan::of(&[4 * KIB, 64 * KIB, MIB]) }
    }

    fn cell<C: Contender>(&self, plan: &Plan) -> Result<Box<dyn Cell>, Cannot> {
        let pool = C::new(plan)?;
        let sizes: Vec<_> = plan.sizes().collect();
        Ok(Box::new(move |iterations| {
            let begin = Instant::now();
            for _ in 0..iterations * 100 {
                black_box(&sizes).iter().for_each(|&size| untouched(&pool, size));
            }
            begin.elapsed()
        }))
    }
}

struct Crew {
    threads: usize,
    gets: usize,
    bytes: usize,
    /// Write to every OS page, else leave the buffer untouched.
    pages: bool,
    knobs: Knobs,
}

impl Pattern for Crew {
    fn plan(&self) -> Plan {
        let threads = self.threads;
        let out = vec![self.bytes; threads];
        Plan { threads, idle: threads, out, zeropool: self.knobs, ..Plan::of(&[self.bytes]) }
    }

    fn cell<C: Contender>(&self, plan: &Plan) -> Result<Box<dyn Cell>, Cannot> {
        let (pool, size, gets, pages) = (C::new(plan)?, plan.size(), self.gets, self.pages);
        let threads = self.threads;
        let get = move |pool: &C| {
            let mut buf = pool.get(size);
            if pages {
                (0..size.bytes).step_by(OS_PAGE).for_each(|at| *C::write(&mut buf, at) = 0xab);
            }
            black_box(&mut buf);
        };
        Ok(Box::new(move |iterations| {
            let begin = Instant::now();
            for _ in 0..iterations {
                thread::scope(|scope| {
                    for _ in 0..threads {
                        scope.spawn(|| {
                            (0..gets).for_each(|_| get(&pool));
                            C::leave_thread();
                        });
                    }
                });
            }
            begin.elapsed()
        }))
    }
}
