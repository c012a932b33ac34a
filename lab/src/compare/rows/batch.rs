//! 64 buffers that all change threads: got and dropped one by one, as every contender can, sent together in a `Vec` of
//! handles; as one batch of millpond's; and by single operations of millpond's alone, each buffer sent for itself.

use std::hint::black_box;
use std::time::Duration;

use millpond::{BufferPool, PooledBuf, Recycled};

use super::handover::{self, beside_the_queue};
use super::{Cell, Pattern, Roster, Row};
use crate::compare::contender::{Cannot, Contender, Kind, Plan, Size};
use crate::compare::contenders::bounded::Bounded;
use crate::compare::contenders::millpond::{Millpond, pool};
use crate::compare::queue::Queue;

const BYTES: usize = 4 << 10;
const COUNT: usize = 64;
/// Messages in the queue: as many buffers as in that of the handover rows.
const PLACES: usize = 4;
/// Messages passed at least in a turn.
const LEAST: u64 = 1 << 8;
const BATCH: &str = "millpond, as one batch";
const SINGLES: &str = "millpond, each sent alone";

pub fn rows() -> Vec<Row> {
    [Use::Pass, Use::Touch].map(across).into()
}

fn across(work: Use) -> Row {
    let name = format!("batch-across/{}", work.name());
    let operation = format!("{COUNT} of 4KiB got{}, sent, received and dropped", work.words());
    let row = beside_the_queue(Row::new(name, operation, OneByOne(work)).threads(2, LEAST), 1, PLACES);
    let others = row.entries;
    let entries = Box::new(move |roster: &mut Roster<'_>| {
        others(roster);
        let plan = roster.plan(OneByOne(work).plan());
        roster.add(BATCH, Kind::Millpond, || Ok(Box::new(as_one_batch(pool(&plan), work))));
        let plan = roster.plan(plan);
        let singles = if roster.is_bounded() { each_alone::<Bounded> } else { each_alone::<Millpond> };
        roster.add(SINGLES, Kind::Millpond, || singles(&plan, work));
    });
    Row { entries, ..row }
}

/// What both threads do with each buffer.
#[derive(Clone, Copy)]
enum Use {
    /// Nothing: what is measured is the pool alone.
    Pass,
    /// The first byte, as in the handover rows: its way between the processors comes on top.
    Touch,
}

impl Use {
    fn name(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Touch => "touch",
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::Pass => "",
            Self::Touch => " and touched",
        }
    }
}

struct OneByOne(Use);

impl Pattern for OneByOne {
    fn plan(&self) -> Plan {
        // Those in the queue, and a message in the hands of each thread.
        let most = COUNT * (PLACES + 2);
        Plan { threads: 2, handover: true, idle: most, out: vec![BYTES; most], ..Plan::of(&[BYTES]) }
    }

    fn cell<C: Contender>(&self, plan: &Plan) -> Result<Box<dyn Cell>, Cannot> {
        let (pool, size, work) = (C::new(plan)?, plan.size(), self.0);
        Ok(Box::new(move |messages| match work {
            Use::Pass => one_by_one(&pool, size, messages, |_| {}),
            Use::Touch => one_by_one(&pool, size, messages, |buf| {
                black_box(C::write(buf, 0));
            }),
        }))
    }
}

fn one_by_one<'p, C: Contender>(
    pool: &'p C,
    size: Size,
    messages: u64,
    work: impl Fn(&mut C::Buf<'p>) + Sync,
) -> Duration {
    let queue = Queue::<Vec<C::Buf<'p>>>::new(PLACES);
    let size = black_box(size);
    let send = || {
        let mut held = Vec::with_capacity(COUNT);
        for _ in 0..COUNT {
            let mut buf = pool.get(size);
            work(&mut buf);
            held.push(buf);
        }
        queue.send(held);
    };
    let receive = || queue.receive().iter_mut().for_each(&work);
    let warm_up = || drop(black_box(pool.get(size)));
    handover::pass(1, messages, send, receive, warm_up, C::leave_thread)
}

fn as_one_batch(pool: BufferPool, work: Use) -> impl Fn(u64) -> Duration {
    move |messages| match work {
        Use::Pass => batches(&pool, messages, |_| {}),
        Use::Touch => batches(&pool, messages, touch),
    }
}

fn each_alone<C: Contender>(plan: &Plan, work: Use) -> Result<Box<dyn Cell>, Cannot> {
    let (pool, size) = (C::new(plan)?, plan.size());
    Ok(Box::new(move |messages| match work {
        Use::Pass => singles(&pool, size, messages, |_| {}),
        Use::Touch => singles(&pool, size, messages, |buf| {
            black_box(C::write(buf, 0));
        }),
    }))
}

fn singles<'p, C: Contender>(
    pool: &'p C,
    size: Size,
    messages: u64,
    work: impl Fn(&mut C::Buf<'p>) + Sync,
) -> Duration {
    let queue = Queue::new(PLACES * COUNT);
    let size = black_box(size);
    let send = || {
        for _ in 0..COUNT {
            let mut buf = pool.get(size);
            work(&mut buf);
            queue.send(buf);
        }
    };
    let receive = || (0..COUNT).for_each(|_| work(&mut queue.receive()));
    let warm_up = || drop(black_box(pool.get(size)));
    handover::pass(1, messages, send, receive, warm_up, || {})
}

fn touch(buf: &mut PooledBuf) {
    buf[0] = 1;
    black_box(&mut buf[0]);
}

fn batches(pool: &BufferPool, messages: u64, work: impl Fn(&mut PooledBuf) + Sync) -> Duration {
    let queue = Queue::new(PLACES);
    let requests = black_box([Recycled(BYTES); COUNT]);
    let send = || {
        // Refused only by a limit of the user's, which has room for all that is out at once.
        let wait = |_| pool.acquire_many(requests).wait().expect("the row fits the limit");
        let mut batch = pool.try_get_many(requests).unwrap_or_else(wait);
        batch.iter_mut().for_each(&work);
        queue.send(batch);
    };
    let receive = || queue.receive().iter_mut().for_each(&work);
    let warm_up = || drop(black_box(pool.try_get(requests[0])));
    handover::pass(1, messages, send, receive, warm_up, || {})
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;
    use crate::compare::contender::Visit;
    use crate::compare::contenders;

    const MESSAGES: u64 = 10;
    /// Each buffer once on each side.
    const TOUCHES: u64 = 2 * MESSAGES * COUNT as u64;

    struct Counted;

    impl Visit for Counted {
        fn visit<C: Contender>(&mut self) {
            let plan = OneByOne(Use::Pass).plan();
            let Ok(pool) = C::new(&plan) else { return };
            let touches = AtomicU64::new(0);
            one_by_one(&pool, plan.size(), MESSAGES, |buf| {
                *C::write(buf, BYTES - 1) = 1;
                touches.fetch_add(1, Ordering::Relaxed);
            });
            assert_eq!(touches.into_inner(), TOUCHES, "{}", C::NAME);
        }
    }

    #[test]
    fn every_buffer_reaches_the_other_side() {
        contenders::each(&mut Counted, false);
        let (pool, touches) = (BufferPool::new(), AtomicU64::new(0));
        batches(&pool, MESSAGES, |buf| {
            assert_eq!(buf.len(), BYTES);
            touches.fetch_add(1, Ordering::Relaxed);
        });
        assert_eq!(touches.swap(0, Ordering::Relaxed), TOUCHES);
        let plan = Plan::of(&[BYTES]);
        singles(&Millpond::new(&plan).unwrap(), plan.size(), MESSAGES, |buf| {
            assert_eq!(buf.len(), BYTES);
            touches.fetch_add(1, Ordering::Relaxed);
        });
        assert_eq!(touches.into_inner(), TOUCHES);
    }
}
