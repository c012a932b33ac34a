//! The floor of objects: a thread-local stack of boxed values that promises no more than [the floor of
//! buffers](super::floor). Values are reset when they come back.

#![allow(unsafe_code, reason = "a stack of raw pointers is the floor's whole point")]

use std::cell::Cell;
use std::marker::PhantomData;
use std::ptr::{self, NonNull};
use std::thread::LocalKey;

use super::floor::{DEPTH, Floor};
use super::raw::Heap;
use crate::compare::contender::{Cannot, Kind, Plan};
use crate::compare::objects::{Kept, Objects};
use crate::compare::values::{BLOCK, Map, Packet, SAMPLES, Samples};

/// Pointers to values that nobody uses.
pub struct Stack<T> {
    len: Cell<usize>,
    items: [Cell<*mut T>; DEPTH],
}

impl<T> Stack<T> {
    const fn new() -> Self {
        Self { len: Cell::new(0), items: [const { Cell::new(ptr::null_mut()) }; DEPTH] }
    }

    #[inline(always)]
    fn pop(&self) -> Option<NonNull<T>> {
        let len = self.len.get().checked_sub(1)?;
        self.len.set(len);
        NonNull::new(self.items[len].get())
    }

    /// False: there is no place for it.
    #[inline(always)]
    fn push(&self, value: NonNull<T>) -> bool {
        let len = self.len.get();
        let Some(item) = self.items.get(len) else { return false };
        item.set(value.as_ptr());
        self.len.set(len + 1);
        true
    }
}

/// A value with a stack in every thread: statics are not generic.
pub trait Stacked: Sized + 'static {
    const STACK: &'static LocalKey<Stack<Self>>;
}

thread_local! {
    static SAMPLES_STACK: Stack<Samples<SAMPLES>> = const { Stack::new() };
    static BLOCKS: Stack<Samples<BLOCK>> = const { Stack::new() };
    static PACKETS: Stack<Packet> = const { Stack::new() };
    static MAPS: Stack<Map> = const { Stack::new() };
}

impl Stacked for Samples<SAMPLES> {
    const STACK: &'static LocalKey<Stack<Self>> = &SAMPLES_STACK;
}

impl Stacked for Samples<BLOCK> {
    const STACK: &'static LocalKey<Stack<Self>> = &BLOCKS;
}

impl Stacked for Packet {
    const STACK: &'static LocalKey<Stack<Self>> = &PACKETS;
}

impl Stacked for Map {
    const STACK: &'static LocalKey<Stack<Self>> = &MAPS;
}

pub struct FloorObjects<T>(PhantomData<fn() -> T>);

/// A value of its own, whose memory goes to the stack of whichever thread drops it.
pub struct Stackable<T: Kept>(NonNull<T>);

// SAFETY: the value is the handle's alone, as in a `Box`.
unsafe impl<T: Kept> Send for Stackable<T> {}

impl<T: Kept> Stackable<T> {
    #[inline(always)]
    fn value(&mut self) -> &mut T {
        // SAFETY: from `Box::leak`, of a value that is the handle's alone.
        unsafe { self.0.as_mut() }
    }
}

impl<T: Kept> Drop for Stackable<T> {
    #[inline(always)]
    fn drop(&mut self) {
        self.value().reset();
        if !T::STACK.with(|stack| stack.push(self.0)) {
            free(self.0);
        }
    }
}

#[cold]
#[inline(never)]
fn fresh<T: Kept>() -> NonNull<T> {
    NonNull::from(Box::leak(Box::new(T::fresh())))
}

#[cold]
#[inline(never)]
fn free<T>(value: NonNull<T>) {
    // SAFETY: from `Box::leak`; neither a handle nor a stack has it any more.
    drop(unsafe { Box::from_raw(value.as_ptr()) });
}

impl<T: Kept> Objects<T> for FloorObjects<T> {
    const NAME: &'static str = Floor::NAME;
    const KIND: Kind = Floor::KIND;

    type Value = T;
    type Object<'p> = Stackable<T>;

    fn new(plan: &Plan) -> Result<Self, Cannot> {
        Floor::can(plan).map(|()| Self(PhantomData))
    }

    #[inline(always)]
    fn get(&self) -> Stackable<T> {
        Stackable(T::STACK.with(Stack::pop).unwrap_or_else(fresh))
    }

    #[inline(always)]
    fn value(object: &mut Stackable<T>) -> &mut T {
        object.value()
    }

    fn leave_thread() {
        while let Some(value) = T::STACK.with(Stack::pop) {
            free(value);
        }
    }
}
