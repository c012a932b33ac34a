//! Values that keep their room: the pair with a touch, which is what a pool costs, and with the work of a program; and
//! the blocks of an audio graph, which one thread fills and another mixes.

use std::hint::black_box;
use std::time::{Duration, Instant};

use super::handover::{self, LEAST, beside_the_queue};
use super::hit::Place;
use super::{Cell, ObjectPattern, Row};
use crate::compare::contender::{Cannot, Plan};
use crate::compare::objects::{Kept, Objects, Value};
use crate::compare::queue::Queue;
use crate::compare::values::{BLOCK, Map, Packet, SAMPLES, Samples};

/// Blocks on their way through the audio graph.
const IN_FLIGHT: usize = 8;

pub fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    rows.extend(pairs_of::<Samples<SAMPLES>>("vec-f32", "Vec with room for 4096 f32 got, touched", Use::Touch));
    rows.extend(pairs_of::<Samples<SAMPLES>>("vec-f32-refill", "Vec got, filled with 4096 f32", Use::Fill));
    rows.extend(pairs_of::<Packet>("struct-200", "struct of 200 bytes got, touched", Use::Touch));
    rows.extend(pairs_of::<Map>("hash-map", "HashMap got, filled with 8 pairs", Use::Fill));
    let operation = "a block of 512 f32 got, filled and sent, received, mixed and dropped, 8 in flight";
    let graph = Row::objects::<Samples<BLOCK>>("object/audio-graph", operation, AudioGraph).threads(2, LEAST);
    rows.push(beside_the_queue(graph, 1, IN_FLIGHT));
    rows
}

/// The pair with its handle in memory and in registers.
fn pairs_of<T: Kept>(value: &str, operation: &str, work: Use) -> [Row; 2] {
    [Place::Memory, Place::Registers].map(|place| {
        let name = format!("object/{value}/{}", place.name());
        Row::objects::<T>(name, format!("{operation}, dropped; handle {}", place.words()), Pair { place, work })
    })
}

/// What is done with a value between get and drop.
#[derive(Clone, Copy)]
enum Use {
    Touch,
    Fill,
}

struct Pair {
    place: Place,
    work: Use,
}

impl<T: Kept> ObjectPattern<T> for Pair {
    fn plan(&self) -> Plan {
        Plan::of(&[])
    }

    fn cell<C: Objects<T>>(&self, plan: &Plan) -> Result<Box<dyn Cell>, Cannot> {
        let pool = C::new(plan)?;
        Ok(match self.work {
            Use::Touch => pairs(pool, self.place, C::Value::touch),
            Use::Fill => pairs(pool, self.place, C::Value::fill),
        })
    }
}

fn pairs<T: Kept, C: Objects<T>>(
    pool: C,
    place: Place,
    work: impl Fn(&mut C::Value) -> &mut <C::Value as Value>::Part + 'static,
) -> Box<dyn Cell> {
    match place {
        Place::Memory => timed(move || {
            let mut object = pool.get();
            work(C::value(&mut object));
            black_box(&mut object);
        }),
        Place::Registers => timed(move || {
            let mut object = pool.get();
            black_box(work(C::value(&mut object)));
        }),
    }
}

fn timed(operation: impl Fn() + 'static) -> Box<dyn Cell> {
    Box::new(move |iterations| {
        let begin = Instant::now();
        (0..iterations).for_each(|_| operation());
        begin.elapsed()
    })
}

struct AudioGraph;

impl ObjectPattern<Samples<BLOCK>> for AudioGraph {
    fn plan(&self) -> Plan {
        // Those in the queue, and one in each thread's hands.
        let most = IN_FLIGHT + 2;
        Plan { threads: 2, handover: true, idle: most, out: vec![0; most], ..Plan::of(&[]) }
    }

    fn cell<C: Objects<Samples<BLOCK>>>(&self, plan: &Plan) -> Result<Box<dyn Cell>, Cannot> {
        let pool = C::new(plan)?;
        Ok(Box::new(move |iterations| play(&pool, iterations)))
    }
}

fn play<C: Objects<Samples<BLOCK>>>(pool: &C, blocks: u64) -> Duration {
    let queue = Queue::new(IN_FLIGHT);
    let send = || {
        let mut block = pool.get();
        C::value(&mut block).fill();
        queue.send(block);
    };
    let receive = || {
        let mut block = queue.receive();
        mix(C::value(&mut block).content());
    };
    let warm_up = || drop(black_box(pool.get()));
    handover::pass(1, blocks, send, receive, warm_up, C::leave_thread)
}

/// Adds the block to a sum that nobody hears.
#[inline(always)]
fn mix(block: &[f32]) {
    let mut sum = [0.0; BLOCK];
    black_box(&mut sum);
    for (sum, sample) in sum.iter_mut().zip(block) {
        *sum += sample;
    }
    black_box(&mut sum);
}
