//! A worker: one thread that does at random what users of pools do, and rests in silences.

use std::mem;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::acts::Hands;
use super::counts::Op;
use super::pond::{KINDS, Kind};
use super::scene::Scene;
use super::steward;
use super::waiting::{Patience, Waiting};

/// Requests in line that a worker has at most, as futures.
const PENDING: usize = 3;
/// What a thread that ends soon does.
const SHORT_LIFE: u64 = 200;
const SHORT_LIFE_BYTES: usize = 2 << 20;
/// What a worker keeps through a silence.
const KEPT: usize = 2;
/// Steps from one nap to the next, on average.
const NAP: u64 = 150;
/// Shorter than a quarter of the decay, for pools that have nobody else to look after them.
const NAP_IN_SILENCE: Duration = Duration::from_millis(20);

pub struct Worker {
    scene: Arc<Scene>,
    hands: Hands,
    pending: Vec<Waiting>,
    /// Workers that may wait for good at once: the others see to it that they are served.
    patient: usize,
}

impl Worker {
    pub fn new(scene: Arc<Scene>, seed: u64, patient: usize) -> Self {
        let hands = Hands::new(scene.clone(), seed);
        Self { scene, hands, pending: Vec::new(), patient }
    }

    /// Until the soak is over.
    pub fn work(mut self) {
        let scene = self.scene.clone();
        let _pass = scene.gate.enter();
        while !self.scene.over.load(Relaxed) {
            if self.scene.silent.load(Relaxed) {
                self.rest();
            } else {
                self.step();
            }
            self.scene.gate.pass();
        }
        self.pending.clear();
        self.hands.clear(0);
        // Or who still waits might wait for what lies there.
        self.empty_channel();
    }

    fn step(&mut self) {
        match self.hands.random.below(1000) {
            0..=99 => self.ask(),
            100..=114 => self.wait_a_while(),
            115..=122 => self.wait_for_good(),
            123..=124 => self.churn(),
            125..=129 => steward::act(&self.scene, &mut self.hands.random),
            _ => self.hands.act(),
        }
        self.poll();
        self.hands.stay_within(self.scene.appetite.load(Relaxed));
        if self.hands.random.below(NAP) == 0 {
            thread::sleep(Duration::from_micros(self.hands.random.below(4000)));
        }
    }

    /// Mostly where there is too little for all.
    fn ask(&mut self) {
        if self.pending.len() < PENDING {
            let waiting = self.request();
            self.settle(waiting);
        }
    }

    fn request(&mut self) -> Waiting {
        let kinds = [Kind::Crowd, Kind::Corner, Kind::Tokens, Kind::Pages, Kind::Bricks, Kind::Heap];
        let fewer = self.hands.random.below(kinds.len() as u64) + 1;
        let kind = kinds[self.hands.random.below(fewer) as usize];
        Waiting::new(self.scene.pond(kind), &mut self.hands.random)
    }

    fn settle(&mut self, mut waiting: Waiting) {
        self.scene.counts.did(Op::Poll);
        match waiting.poll(&self.scene) {
            Some(held) => self.hands.take(held),
            None => self.pending.push(waiting),
        }
    }

    /// Polls what is pending, and gives up some of it.
    fn poll(&mut self) {
        for waiting in mem::take(&mut self.pending) {
            match self.hands.random.below(20) {
                0 => {
                    self.scene.counts.did(Op::Cancel);
                    drop(waiting);
                }
                1..=4 => self.settle(waiting),
                _ => self.pending.push(waiting),
            }
        }
    }

    fn wait_a_while(&mut self) {
        let waiting = self.request();
        // Mostly short, for there is more to do.
        let longest = [200, 2000, 20_000][self.hands.random.below(3) as usize];
        let time = Duration::from_micros(self.hands.random.below(longest));
        let patience = match self.hands.random.below(2) {
            0 => Patience::Timeout(time),
            _ => Patience::Deadline(Instant::now() + time),
        };
        self.scene.counts.did(Op::WaitTimeout);
        let held = waiting.wait(&patience, &self.scene);
        self.hands.take(held);
    }

    /// With empty hands: who holds something while it waits for more can wait for itself.
    fn wait_for_good(&mut self) {
        self.pending.clear();
        self.hands.clear(0);
        let (waiting, scene) = (self.request(), self.scene.clone());
        if let Some(held) = scene.gate.blocking(self.patient, || waiting.wait(&Patience::Endless, &scene)) {
            scene.counts.did(Op::Wait);
            self.hands.take(held);
        }
    }

    /// Threads that use the pools and end with full caches.
    fn churn(&mut self) {
        let seeds: Vec<_> = (0..=self.hands.random.below(3)).map(|_| self.hands.random.next()).collect();
        let threads = seeds.into_iter().map(|seed| {
            let scene = self.scene.clone();
            thread::Builder::new().name("short life".into()).spawn(move || {
                let mut hands = Hands::new(scene, seed);
                for _ in 0..SHORT_LIFE {
                    hands.act();
                    hands.stay_within(SHORT_LIFE_BYTES);
                }
                hands.clear(0);
            })
        });
        for thread in threads.collect::<Vec<_>>() {
            match thread.map(JoinHandle::join) {
                Ok(Ok(())) => self.scene.counts.did(Op::Thread),
                Ok(Err(_)) => self.scene.fault("a thread with a short life panicked"),
                Err(error) => self.scene.fault(format!("a thread could not be started: {error}")),
            }
        }
    }

    /// Gives back nearly all, and lets time pass until work goes on. What it gave back lies in its own caches meanwhile.
    fn rest(&mut self) {
        self.pending.clear();
        self.hands.clear(KEPT);
        while self.scene.silent.load(Relaxed) && !self.scene.over.load(Relaxed) {
            self.empty_channel();
            KINDS.iter().for_each(|&kind| self.scene.pond(kind).maintain());
            thread::sleep(NAP_IN_SILENCE);
            self.scene.gate.pass();
        }
    }

    fn empty_channel(&self) {
        while let Some(held) = self.scene.receive() {
            self.hands.check(&held);
        }
    }
}
