//! The traces that stand in the source: loads that an eviction can be good or bad at.
//!
//! All buffers are larger than what gets a place in a thread's cache even where none is allowed, so that all that is idle
//! lies where eviction sees it. And their sizes differ by so little that the clairvoyant rule is all but optimal.

use super::mix::Mix;
use super::server::Server;
use super::trace::Trace;

const CLASSES: u8 = 48;
/// Operations of each trace but `shift`.
const LENGTH: u64 = 500_000;

/// A trace that can be made at any time, and is always the same.
pub struct Seed {
    pub name: &'static str,
    number: u64,
    load: fn(&mut Server),
}

pub const SEEDS: [Seed; 4] = [
    Seed { name: "zipf", number: 1, load: zipf },
    Seed { name: "shift", number: 2, load: shift },
    Seed { name: "scan", number: 3, load: scan },
    Seed { name: "day", number: 4, load: day },
];

impl Seed {
    pub fn trace(&self) -> Trace {
        let mut server = Server::new(self.number);
        (self.load)(&mut server);
        server.stop(self.name, (0..CLASSES).map(size).collect())
    }
}

/// From 264 to 640 KiB.
fn size(class: u8) -> usize {
    (264 + 8 * usize::from(class)) << 10
}

/// A steady load on all classes. What is cold lies idle for long, but the sizes that are hot stay the same: nothing is
/// to be gained by cleverness, and something to be lost.
fn zipf(server: &mut Server) {
    let mix = Mix::zipf(&server.shuffle(CLASSES));
    while server.now() < LENGTH {
        server.ask(&mix, 800);
    }
}

/// Eight classes are in use, and every 100000 operations eight others, until all have been; then again, in another
/// order. What was hot lies idle for long, or for good.
fn shift(server: &mut Server) {
    const PERIOD: u64 = 100_000;
    let classes = [server.shuffle(CLASSES), server.shuffle(CLASSES)].concat();
    for (period, hot) in (1..).zip(classes.chunks(8)) {
        let mix = Mix::zipf(hot);
        while server.now() < period * PERIOD {
            server.ask(&mix, 800);
        }
    }
}

/// A load on 16 classes that is high and low by turns. While it is high, large files are read, each into buffers of a
/// class that is not used again for long. They come back while most of the load's buffers are out and there is room for
/// them; when the load falls, its buffers come home to what room the files have left.
fn scan(server: &mut Server) {
    const WAVE: u64 = 10_000;
    let classes = server.shuffle(CLASSES);
    let (hot, files) = classes.split_at(16);
    let mix = Mix::zipf(hot);
    let mut files = files.iter().cycle();
    while server.now() < LENGTH {
        let is_high = server.now() % (2 * WAVE) < WAVE;
        server.ask(&mix, if is_high { 600 } else { 200 });
        if is_high && server.happens_once_in(30) {
            files.next().into_iter().for_each(|&file| server.serve(file, 24, 200));
        }
    }
}

/// Five days: from noon to midnight requests move over to other classes, and back.
fn day(server: &mut Server) {
    const HALF: u64 = 50_000;
    let classes = server.shuffle(CLASSES);
    let (noon, midnight) = classes.split_at(classes.len() / 2);
    let (noon, midnight) = (Mix::zipf(noon), Mix::zipf(midnight));
    while server.now() < LENGTH {
        let time = server.now() % (2 * HALF);
        let from_noon = time.min(2 * HALF - time);
        let mix = if server.random().below(HALF) < from_noon { &midnight } else { &noon };
        server.ask(mix, 800);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evict::trace::Operation;

    #[test]
    fn a_seed_gives_the_same_trace_again() {
        for seed in &SEEDS {
            assert!(seed.trace() == seed.trace(), "{}", seed.name);
        }
    }

    #[test]
    fn traces_are_long_use_every_class_and_give_all_back() {
        for seed in &SEEDS {
            let trace = seed.trace();
            assert!(trace.operations.len() as u64 >= LENGTH, "{}: {}", seed.name, trace.operations.len());
            assert_eq!(trace.gets() * 2, trace.operations.len() as u64, "{}", seed.name);
            let is_used = |class| trace.operations.contains(&Operation::Get(class));
            assert!((0..CLASSES).all(is_used), "{}", seed.name);
        }
    }

    #[test]
    fn a_trace_is_read_as_it_is_written() {
        let trace = SEEDS[0].trace();
        let mut file = Vec::new();
        trace.write(&mut file).unwrap();
        let read = Trace::parse(&trace.name, std::str::from_utf8(&file).unwrap()).unwrap();
        assert!(read == trace);
    }
}
