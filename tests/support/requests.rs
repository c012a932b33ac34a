//! Requests of every kind in one line: for a buffer, for a batch of them, for a value.
#![allow(dead_code, reason = "no test uses all of it")]

use millpond::{Acquire, Pooled, PooledBatch, PooledBuf, Reuse};

use crate::waiting::Waiting;

/// A value of a KiB.
#[derive(Debug)]
pub(crate) struct Block([u8; 1024]);

impl Default for Block {
    fn default() -> Self {
        Block([0; 1024])
    }
}

impl Reuse for Block {
    fn reuse(&mut self, _: usize) -> bool {
        self.0[0] = 0;
        true
    }
}

pub(crate) enum Request {
    One(Waiting<Acquire<PooledBuf>>),
    Many(Waiting<Acquire<PooledBatch<PooledBuf>>>),
    Value(Waiting<Acquire<Pooled<Block>>>),
}

/// What came of one.
pub(crate) enum Held {
    One(PooledBuf),
    Many(PooledBatch<PooledBuf>),
    Value(Pooled<Block>),
}

impl Request {
    /// How often its waker was called.
    pub(crate) fn rung(&self) -> usize {
        match self {
            Request::One(one) => one.rung(),
            Request::Many(many) => many.rung(),
            Request::Value(value) => value.rung(),
        }
    }

    /// What it is ready with, if it has been woken, as it must not be otherwise.
    pub(crate) fn woken(&mut self) -> Option<Held> {
        match self {
            Request::One(one) => one.woken().map(|one| Held::One(one.unwrap())),
            Request::Many(many) => many.woken().map(|many| Held::Many(many.unwrap())),
            Request::Value(value) => value.woken().map(|value| Held::Value(value.unwrap())),
        }
    }
}
