//! The engine: which thread holds which slot, and nothing about what a slot holds.
//!
//! | word | meaning |
//! |---|---|
//! | slot | the type-stable header of one pooled thing |
//! | magazine | a thread's fixed stack of idle slots, for one store |
//! | cache | all magazines of one thread |
//! | depot | idle slots shared by all threads, in batches |
//! | bank | the memory of one node of the machine, which slots are told apart by where a pool asks for it |
//! | store | the depots, one for each bank, and the magazines for one kind of slot |
//! | core | the stores of one pool, and their life |
//! | seat | where a store finds a magazine |
//! | lane | where a thread finds a magazine |
//! | attention | a mode of a core: somebody waits for memory, so what comes home is offered before it lies idle |
//! | spare | an idle slot on offer |
//! | hatch | a word where a spare lies for somebody who waits |
//! | list | the memory of a batch's handles, kept for the next batch |
//! | layer | slots of a store that are needed when so many others are; what the clock chooses among |
//! | clock | what chooses the layers that give way |
//! | tick | a look at what has lain idle, four times in an interval of decay |
//! | floor | slots that a pool was built with, and keeps |
//! | low | the fewest slots that lay in a depot at once since somebody looked |
//! | rob | to empty another thread's magazine |
//! | retire | to give up a slot's memory |
//!
//! A handle is a slot taken from a store; a store is this thread's magazine in front of a depot that all threads share, or all of one node.

// The engine's subject is memory shared between threads without locks; each use argues for itself.
#![allow(unsafe_code)]

mod barrier;
pub(crate) mod batch;
pub(crate) mod boxed;
pub(crate) mod cache;
mod clock;
pub(crate) mod core;
pub(crate) mod count;
pub(crate) mod depot;
pub(crate) mod lanes;
pub(crate) mod lists;
mod magazine;
#[cfg(all(test, loom))]
pub(crate) mod models;
#[cfg(all(test, not(loom)))]
mod plain;
mod seats;
pub(crate) mod slot;
pub(crate) mod spare;
pub(crate) mod store;
mod table;
#[cfg(test)]
#[cfg_attr(loom, allow(dead_code, reason = "models do not count"))]
pub(crate) mod tally;
pub(crate) mod track;
