//! What a thread does with what it holds, without waiting.

use std::mem;
use std::sync::Arc;

use millpond::{Capacity, Recycled};

use super::counts::Op;
use super::held::{Content, Held};
use super::pond::{Kind, Pond};
use super::scene::Scene;
use super::starve::{self, starved};
use crate::random::Random;

/// Handles in one thread's hands, as long as their bytes are not too many.
const MOST: usize = 60;
/// One in so many requests is starved, where that can be.
const STARVED: u64 = 300;

/// What a thread holds.
pub struct Hands {
    scene: Arc<Scene>,
    pub random: Random,
    held: Vec<Held>,
}

impl Hands {
    pub fn new(scene: Arc<Scene>, seed: u64) -> Self {
        Self { scene, random: Random::seeded(seed), held: Vec::new() }
    }

    pub fn act(&mut self) {
        match self.random.below(100) {
            0..=34 => self.get(),
            35..=42 => self.get_many(),
            43..=48 => self.value(),
            49..=51 => self.values(),
            52..=63 => self.alter(),
            64..=71 => self.send(),
            72..=79 => self.receive(),
            _ => self.give_back(),
        }
    }

    /// Takes these.
    pub fn take(&mut self, held: Vec<Held>) {
        self.held.extend(held);
    }

    fn hold(&mut self, held: Result<Held, String>) {
        match held {
            Ok(held) => self.held.push(held),
            Err(what) => self.scene.fault(what),
        }
    }

    /// Every how many allocations one fails, in the next call.
    fn hunger(&mut self) -> u32 {
        if starve::CAN && self.random.below(STARVED) == 0 { 1 + self.random.below(4) as u32 } else { 0 }
    }

    fn pond(&mut self) -> Arc<Pond> {
        let kind = match self.random.below(100) {
            0..=39 => Kind::Pages,
            40..=54 => Kind::Blocks,
            55..=69 => Kind::Heap,
            70..=79 => Kind::Secrets,
            80..=92 => Kind::Crowd,
            _ => Kind::Corner,
        };
        self.scene.pond(kind)
    }

    fn get(&mut self) {
        let (pond, hunger) = (self.pond(), self.hunger());
        let size = pond.kind.size(&mut self.random);
        let content = [Content::Zero, Content::Nothing, Content::Anything][self.random.below(3) as usize];
        let got = starved(hunger, || match content {
            Content::Zero => pond.bytes().try_get(size),
            Content::Nothing => pond.bytes().try_get(Capacity(size)),
            Content::Anything => pond.bytes().try_get(Recycled(size)),
        });
        self.scene.counts.did(Op::Get);
        if let Some(buf) = self.scene.got(got, &pond, hunger > 0) {
            let held = Held::buf(buf, &pond, content, size, self.scene.owner());
            self.hold(held);
        }
    }

    fn get_many(&mut self) {
        let (pond, hunger) = (self.pond(), self.hunger());
        let sizes: Vec<_> = (0..self.random.below(12)).map(|_| pond.kind.size(&mut self.random)).collect();
        let got = starved(hunger, || pond.bytes().try_get_many(sizes.iter().copied()));
        self.scene.counts.did(Op::GetMany);
        let Some(batch) = self.scene.got(got, &pond, hunger > 0) else { return };
        if batch.len() != sizes.len() {
            self.scene.fault(format!("a batch of {} for {} requests", batch.len(), sizes.len()));
        }
        // Some come home as they came, all at once.
        if self.random.below(4) == 0 {
            pond.ledger.served(batch.len());
            return;
        }
        for (buf, size) in batch.into_iter().zip(sizes) {
            let held = Held::buf(buf, &pond, Content::Zero, size, self.scene.owner());
            self.hold(held);
        }
    }

    fn value(&mut self) {
        self.scene.counts.did(Op::Value);
        if self.random.below(2) == 0 {
            let pond = self.scene.pond(Kind::Bricks);
            if let Some(brick) = self.scene.got(pond.bricks().try_get(), &pond, false) {
                let held = Held::brick(brick, &pond, self.scene.owner());
                self.hold(held);
            }
            return;
        }
        let (pond, hunger) = (self.scene.pond(Kind::Tokens), self.hunger());
        let got = starved(hunger, || pond.tokens().try_get());
        if let Some(token) = self.scene.got(got, &pond, hunger > 0) {
            let held = Held::token(token, &pond, self.scene.owner());
            self.hold(held);
        }
    }

    fn values(&mut self) {
        let (count, hunger) = (self.random.below(6) as usize, self.hunger());
        self.scene.counts.did(Op::Values);
        if self.random.below(2) == 0 {
            let pond = self.scene.pond(Kind::Bricks);
            let batch = self.scene.got(pond.bricks().try_get_many(count), &pond, false);
            batch.into_iter().flatten().for_each(|brick| {
                let held = Held::brick(brick, &pond, self.scene.owner());
                self.hold(held);
            });
            return;
        }
        let pond = self.scene.pond(Kind::Tokens);
        let got = starved(hunger, || pond.tokens().try_get_many(count));
        let batch = self.scene.got(got, &pond, hunger > 0);
        batch.into_iter().flatten().for_each(|token| {
            let held = Held::token(token, &pond, self.scene.owner());
            self.hold(held);
        });
    }

    /// One of those it holds.
    fn any(&mut self) -> Option<Held> {
        let which = self.random.below(self.held.len().max(1) as u64) as usize;
        (which < self.held.len()).then(|| self.held.swap_remove(which))
    }

    /// Grows, freezes, shares, thaws or detaches.
    fn alter(&mut self) {
        let Some(held) = self.any() else { return };
        self.check(&held);
        match (held.is_frozen(), self.random.below(8)) {
            (false, 0..=3) => self.grow(held),
            (false, 4) => {
                self.scene.counts.did(Op::Detach);
                self.held.extend(held.detach().err());
            }
            (false, _) => {
                self.scene.counts.did(Op::Freeze);
                self.held.push(held.freeze());
            }
            (true, 0..=3) => {
                self.scene.counts.did(Op::Share);
                self.held.extend(held.share(&mut self.random));
                self.held.push(held);
            }
            (true, _) => {
                self.scene.counts.did(Op::Thaw);
                self.held.push(held.thaw());
            }
        }
    }

    fn grow(&mut self, mut held: Held) {
        let by = self.random.below(5000) as usize;
        if let Some(result) = held.grow(by) {
            self.scene.counts.did(Op::Grow);
            if let Err(error) = result {
                self.scene.refused_to_grow(&error);
            }
        }
        self.held.push(held);
    }

    fn send(&mut self) {
        let Some(held) = self.any() else { return };
        match self.scene.send(held) {
            Some(back) => self.held.push(back),
            None => self.scene.counts.did(Op::Send),
        }
    }

    fn receive(&mut self) {
        if let Some(held) = self.scene.receive() {
            self.scene.counts.did(Op::Receive);
            self.check(&held);
            self.held.push(held);
        }
    }

    pub fn check(&self, held: &Held) {
        if let Err(what) = held.check() {
            self.scene.fault(what);
        }
    }

    /// Returns one; and now and then half of all.
    fn give_back(&mut self) {
        let count = if self.random.below(20) == 0 { self.held.len() / 2 } else { 1 };
        for _ in 0..count {
            let Some(held) = self.any() else { return };
            self.scene.counts.did(Op::Return);
            self.check(&held);
        }
    }

    /// Gives back until no more than so many bytes are left.
    pub fn stay_within(&mut self, bytes: usize) {
        let mut all: usize = self.held.iter().map(Held::bytes).sum();
        while all > bytes || self.held.len() > MOST {
            let Some(held) = self.any() else { return };
            all -= held.bytes();
            self.scene.counts.did(Op::Return);
            self.check(&held);
        }
    }

    /// Gives back all but so many, which are not those that others wait for.
    pub fn clear(&mut self, keep: usize) {
        let mut kept = 0;
        for held in mem::take(&mut self.held) {
            self.check(&held);
            if kept < keep && held.kind == Kind::Pages {
                kept += 1;
                self.held.push(held);
            }
        }
    }
}
