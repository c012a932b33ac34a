//! A server that the seeded traces are recorded from: each request gets several buffers of a class, holds them for a
//! while, and gives them all back. So the need for a class rises and falls by several buffers at a time.
//!
//! Time is counted in operations. All arithmetic is on integers, so that the traces are the same on every machine.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::mix::Mix;
use super::trace::{Operation, Trace};
use crate::random::Random;

/// Buffers of a request on average.
const BURST: u64 = 4;

/// A server, and what it has done so far.
pub struct Server {
    random: Random,
    under_way: BinaryHeap<Reverse<Request>>,
    served: u64,
    operations: Vec<Operation>,
}

/// A request under way. By its number, requests that end at one time are in order.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Request {
    end: u64,
    number: u64,
    class: u8,
    buffers: u64,
}

impl Server {
    pub fn new(seed: u64) -> Self {
        Self { random: Random::seeded(seed), under_way: BinaryHeap::new(), served: 0, operations: Vec::new() }
    }

    /// Operations so far.
    pub fn now(&self) -> u64 {
        self.operations.len() as u64
    }

    pub fn random(&mut self) -> &mut Random {
        &mut self.random
    }

    pub fn happens_once_in(&mut self, times: u64) -> bool {
        self.random.below(times) == 0
    }

    /// So many classes, in an order that has nothing to do with their sizes.
    pub fn shuffle(&mut self, classes: u8) -> Vec<u8> {
        let mut classes: Vec<u8> = (0..classes).collect();
        for last in (1..classes.len()).rev() {
            classes.swap(last, self.random.below(last as u64 + 1) as usize);
        }
        classes
    }

    /// A request for a class of the mix, held for about so many operations.
    pub fn ask(&mut self, mix: &Mix, held: u64) {
        let class = mix.draw(&mut self.random);
        let buffers = self.about(BURST);
        let held = self.about(held);
        self.serve(class, buffers, held);
    }

    /// A number from 1 up whose mean is about `mean`: half of the time one draw, now and then the sum of several.
    fn about(&mut self, mean: u64) -> u64 {
        let mut number = 1 + self.random.below(mean);
        while self.happens_once_in(2) {
            number += self.random.below(mean);
        }
        number
    }

    /// A request for so many buffers of a class, held for so many operations. First, those end whose time has come.
    pub fn serve(&mut self, class: u8, buffers: u64, held: u64) {
        while self.under_way.peek().is_some_and(|Reverse(request)| request.end <= self.now()) {
            self.end_one();
        }
        self.operations.extend((0..buffers).map(|_| Operation::Get(class)));
        self.served += 1;
        self.under_way.push(Reverse(Request { end: self.now() + held, number: self.served, class, buffers }));
    }

    fn end_one(&mut self) {
        if let Some(Reverse(Request { class, buffers, .. })) = self.under_way.pop() {
            self.operations.extend((0..buffers).map(|_| Operation::Return(class)));
        }
    }

    /// The trace, when all requests have ended.
    pub fn stop(mut self, name: &str, classes: Vec<usize>) -> Trace {
        while !self.under_way.is_empty() {
            self.end_one();
        }
        Trace { name: name.to_owned(), classes, operations: self.operations }
    }
}
