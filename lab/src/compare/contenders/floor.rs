//! The floor: what a get and a drop cost when nothing is asked but speed.
//!
//! A stack of pointers per class in a thread-local that needs neither initialisation nor destructor. It counts
//! nothing, belongs to no pool, gives nothing back to other threads and never shrinks. What a real pool costs more is
//! the price of what it promises more.

#![allow(unsafe_code, reason = "a stack of raw pointers is the floor's whole point")]

use std::alloc::{self, Layout};
use std::cell::Cell;
use std::ptr::{self, NonNull};

use super::raw::Heap;
use crate::compare::contender::{Cannot, Kind, Plan};

const SMALLEST: usize = 256;
/// Powers of two from 256 B to 64 MiB.
const CLASSES: usize = 19;
/// Few, so that the thread-local stays small: every new thread has to clear it.
pub const DEPTH: usize = 32;

struct Stack {
    len: Cell<usize>,
    items: [Cell<*mut u8>; DEPTH],
}

thread_local! {
    static STACKS: [Stack; CLASSES] = const {
        [const { Stack { len: Cell::new(0), items: [const { Cell::new(ptr::null_mut()) }; DEPTH] } }; CLASSES]
    };
}

pub struct Floor;

#[inline(always)]
fn class_of(bytes: usize) -> usize {
    let above = bytes.max(SMALLEST) - 1;
    (usize::BITS - above.leading_zeros()) as usize - SMALLEST.trailing_zeros() as usize
}

fn layout(class: usize) -> Layout {
    Layout::from_size_align(SMALLEST << class, 64).expect("64 MiB at most")
}

#[cold]
#[inline(never)]
fn fresh(class: usize) -> NonNull<u8> {
    let layout = layout(class);
    // SAFETY: the layout's size is not zero.
    let pointer = unsafe { alloc::alloc(layout) };
    NonNull::new(pointer).unwrap_or_else(|| alloc::handle_alloc_error(layout))
}

/// # Safety
///
/// `pointer` came from [`fresh`] for this class and is not used any more.
#[cold]
#[inline(never)]
unsafe fn free(pointer: NonNull<u8>, class: usize) {
    // SAFETY: allocated with the same layout, by the caller's promise.
    unsafe { alloc::dealloc(pointer.as_ptr(), layout(class)) }
}

// SAFETY: a pointer is handed out once, by `fresh` for its class's size, until `release` takes it back; the zeroed
// bytes are written.
unsafe impl Heap for Floor {
    const NAME: &'static str = "floor";
    const KIND: Kind = Kind::Floor;

    fn can(plan: &Plan) -> Result<(), Cannot> {
        if plan.handover {
            return Err(Cannot::Because("nothing comes back from another thread"));
        }
        if plan.idle > DEPTH * plan.threads {
            return Err(Cannot::Because("keeps 32 buffers of a class"));
        }
        Ok(())
    }

    #[inline(always)]
    fn allocate(bytes: usize) -> NonNull<u8> {
        let class = class_of(bytes);
        let top = STACKS.with(|stacks| {
            let stack = &stacks[class];
            let len = stack.len.get();
            (len > 0).then(|| {
                stack.len.set(len - 1);
                stack.items[len - 1].get()
            })
        });
        match top {
            // SAFETY: only pointers that are not null are ever pushed.
            Some(pointer) => unsafe { NonNull::new_unchecked(pointer) },
            None => fresh(class),
        }
    }

    /// Wiped in full each time: the floor of every pool that keeps no account of what was written.
    #[inline(always)]
    fn allocate_zeroed(bytes: usize) -> NonNull<u8> {
        let pointer = Self::allocate(bytes);
        // SAFETY: valid for that many bytes.
        unsafe { pointer.write_bytes(0, bytes) };
        pointer
    }

    #[inline(always)]
    unsafe fn release(pointer: NonNull<u8>, bytes: usize) {
        let class = class_of(bytes);
        STACKS.with(|stacks| {
            let stack = &stacks[class];
            let len = stack.len.get();
            if len < DEPTH {
                stack.items[len].set(pointer.as_ptr());
                stack.len.set(len + 1);
            } else {
                // SAFETY: the caller gives the pointer up, and the size says its class.
                unsafe { free(pointer, class) }
            }
        });
    }

    fn leave_thread() {
        STACKS.with(|stacks| {
            for (class, stack) in stacks.iter().enumerate() {
                for item in &stack.items[..stack.len.replace(0)] {
                    let pointer = NonNull::new(item.get()).expect("only pointers that are not null are pushed");
                    // SAFETY: it was pushed on the stack of this class, and the stack is now empty.
                    unsafe { free(pointer, class) }
                }
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_powers_of_two() {
        for (bytes, class) in [(0, 0), (1, 0), (256, 0), (257, 1), (512, 1), (4096, 4), (4097, 5), (64 << 20, 18)] {
            assert_eq!(class_of(bytes), class, "{bytes}");
        }
    }
}
