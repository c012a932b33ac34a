//! Producer and consumer: some threads get buffers, write to them and send them through a spinning bounded queue,
//! others on other processors receive and drop them. The queue alone, passing numbers, is measured in every such row,
//! so that a contender's cost is what comes on top. Resident memory before and after says whether buffers find their
//! way back.

use std::hint::black_box;
use std::time::Duration;

use super::{Cell, Pattern, Roster, Row, in_words};
use crate::compare::contender::{Cannot, Contender, Kind, Plan, Size};
use crate::compare::crew;
use crate::compare::queue::Queue;
use crate::process;

const BYTES: usize = 4 << 10;
/// Buffers that each pair passes at least in a turn.
pub const LEAST: u64 = 1 << 12;
/// Places in the queue.
const CAPACITY: usize = 256;
const QUEUE: &str = "queue alone";

pub fn rows(buffers: Option<u64>) -> Vec<Row> {
    [1, 4].into_iter().flat_map(|pairs| [queue(pairs, buffers), handover(pairs, buffers)]).collect()
}

/// The queue as a row of its own.
fn queue(pairs: usize, buffers: Option<u64>) -> Row {
    Row {
        name: format!("queue/{pairs}:{pairs}"),
        operation: format!("a number sent and received, {} on each side", in_words(pairs)),
        operations: pairs as u64,
        iterations: iterations(pairs, buffers),
        threads: 2 * pairs,
        least: LEAST,
        needs: 0,
        entries: Box::new(move |roster| queue_alone(roster, pairs, CAPACITY)),
    }
}

fn handover(pairs: usize, buffers: Option<u64>) -> Row {
    let operation = format!("4KiB got and sent, received and dropped, {} on each side", in_words(pairs));
    let row = Row::new(format!("handover/{pairs}:{pairs}"), operation, Handover { pairs })
        .operations(pairs as u64)
        .threads(2 * pairs, LEAST);
    Row { iterations: iterations(pairs, buffers), ..beside_the_queue(row, pairs, CAPACITY) }
}

/// The row with such a queue alone as one more entry.
pub fn beside_the_queue(row: Row, pairs: usize, capacity: usize) -> Row {
    let contenders = row.entries;
    let entries = Box::new(move |roster: &mut Roster<'_>| {
        queue_alone(roster, pairs, capacity);
        contenders(roster);
    });
    Row { entries, ..row }
}

/// Each of the pairs passes as many as there are iterations.
fn iterations(pairs: usize, buffers: Option<u64>) -> Option<u64> {
    Some(buffers?.div_ceil(pairs as u64).max(1))
}

fn queue_alone(roster: &mut Roster<'_>, pairs: usize, capacity: usize) {
    let cell = move |iterations| {
        let queue = Queue::new(capacity);
        let send = || queue.send(black_box(1_usize));
        let receive = || {
            black_box(queue.receive());
        };
        pass(pairs, iterations, send, receive, || {}, || {})
    };
    roster.add(QUEUE, Kind::Queue, || Ok(Box::new(cell)));
}

struct Handover {
    pairs: usize,
}

impl Pattern for Handover {
    fn plan(&self) -> Plan {
        let threads = 2 * self.pairs;
        // Those in the queue, and one in the hands of each thread.
        let out = vec![BYTES; CAPACITY + threads];
        Plan { threads, handover: true, idle: CAPACITY, out, ..Plan::of(&[BYTES]) }
    }

    fn cell<C: Contender>(&self, plan: &Plan) -> Result<Box<dyn Cell>, Cannot> {
        Ok(Box::new(Passing { pool: C::new(plan)?, size: plan.size(), pairs: self.pairs, resident: None }))
    }
}

/// A pool between threads.
struct Passing<C> {
    pool: C,
    size: Size,
    pairs: usize,
    /// None until the pool is warm.
    resident: Option<Resident>,
}

/// Memory of the process when the pool was warm, and what its own turns have added since: others take their turns
/// between.
struct Resident {
    warm: u64,
    added: i64,
    buffers: u64,
}

impl<C: Contender> Cell for Passing<C> {
    fn time(&mut self, iterations: u64) -> Duration {
        let before = process::resident();
        let elapsed = self.pass(iterations);
        self.count(before, iterations * self.pairs as u64);
        elapsed
    }

    fn note(&self) -> Option<String> {
        let Resident { warm, added, buffers } = *self.resident.as_ref()?;
        let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        let (warm, now) = (mib(warm), mib(warm.saturating_add_signed(added)));
        Some(format!("resident {warm:.1} -> {now:.1} MiB over {buffers} buffers"))
    }
}

impl<C: Contender> Passing<C> {
    fn pass(&self, iterations: u64) -> Duration {
        let (pool, size) = (&self.pool, self.size);
        let queue = Queue::new(CAPACITY);
        let send = || {
            let mut buf = pool.get(size);
            C::write(&mut buf, 0);
            queue.send(buf);
        };
        let receive = || {
            let mut buf = queue.receive();
            black_box(C::write(&mut buf, 0));
        };
        let warm_up = || drop(black_box(pool.get(size)));
        pass(self.pairs, iterations, send, receive, warm_up, C::leave_thread)
    }

    fn count(&mut self, before: Option<u64>, buffers: u64) {
        let Some((before, after)) = before.zip(process::resident()) else { return };
        match &mut self.resident {
            None => self.resident = Some(Resident { warm: after, added: 0, buffers: 0 }),
            Some(resident) => {
                resident.added += after as i64 - before as i64;
                resident.buffers += buffers;
            }
        }
    }
}

/// `pairs` senders and as many receivers, each `iterations` times. Senders and receivers stay on different
/// processors: left to the scheduler a sender and its receiver may share one, and then nothing is passed between
/// caches.
pub fn pass(
    pairs: usize,
    iterations: u64,
    send: impl Fn() + Sync,
    receive: impl Fn() + Sync,
    warm_up: impl Fn() + Sync,
    leave: impl Fn() + Sync,
) -> Duration {
    #[derive(Clone, Copy)]
    enum Side {
        Send,
        Receive,
    }
    let (send, receive) = (&send, &receive);
    let work = |side| {
        move || match side {
            Side::Send => (0..iterations).for_each(|_| send()),
            Side::Receive => (0..iterations).for_each(|_| receive()),
        }
    };
    let crew = [Side::Send, Side::Receive].into_iter().flat_map(|side| vec![side; pairs]).map(work).collect();
    let settle = |member| {
        process::stay_on(2 * (member % pairs) + member / pairs);
        warm_up();
    };
    crew::together(crew, settle, leave)
}
