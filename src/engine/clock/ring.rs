//! The clock's face: a circle of entries, and three hands that go round it.

use std::collections::TryReserveError;

/// No entry.
pub(super) const NONE: u32 = u32::MAX;

/// What goes round. New entries come behind the hot hand, so that it reaches them last.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Hand {
    Cold,
    Hot,
    Test,
}

#[derive(Debug)]
struct Node<T> {
    value: T,
    prev: u32,
    next: u32,
}

/// A circular list in one block of memory.
#[derive(Debug)]
pub(super) struct Ring<T> {
    nodes: Vec<Node<T>>,
    /// Nodes that are in no circle, linked by `next`.
    free: u32,
    hands: [u32; 3],
    len: usize,
}

impl<T> Ring<T> {
    pub(super) const fn new() -> Self {
        Ring { nodes: Vec::new(), free: NONE, hands: [NONE; 3], len: 0 }
    }

    pub(super) fn at(&self, hand: Hand) -> Option<u32> {
        let at = self.hands[hand as usize];
        (at != NONE).then_some(at)
    }

    pub(super) fn advance(&mut self, hand: Hand) {
        if let Some(at) = self.at(hand) {
            self.hands[hand as usize] = self.nodes[at as usize].next;
        }
    }

    /// Adds an entry behind the hot hand.
    pub(super) fn add(&mut self, value: T) -> Result<u32, TryReserveError> {
        let node = Node { value, prev: NONE, next: NONE };
        let at = match self.free {
            NONE => {
                self.nodes.try_reserve(1)?;
                self.nodes.push(node);
                self.nodes.len() as u32 - 1
            }
            at => {
                self.free = self.nodes[at as usize].next;
                self.nodes[at as usize] = node;
                at
            }
        };
        self.link(at);
        self.len += 1;
        Ok(at)
    }

    /// Entries in the circle.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Takes an entry out. Hands on it go on to the next.
    pub(super) fn remove(&mut self, at: u32) {
        self.unlink(at);
        self.nodes[at as usize].next = self.free;
        self.free = at;
        self.len -= 1;
        if self.len == 0 {
            // Nothing is left, so the memory may go.
            *self = Ring::new();
        }
    }

    /// Moves an entry behind the hot hand. Hands on it go on to the next.
    pub(super) fn renew(&mut self, at: u32) {
        self.unlink(at);
        self.link(at);
    }

    fn link(&mut self, at: u32) {
        let Some(next) = self.at(Hand::Hot) else {
            (self.nodes[at as usize].prev, self.nodes[at as usize].next) = (at, at);
            self.hands = [at; 3];
            return;
        };
        let prev = self.nodes[next as usize].prev;
        (self.nodes[at as usize].prev, self.nodes[at as usize].next) = (prev, next);
        self.nodes[prev as usize].next = at;
        self.nodes[next as usize].prev = at;
    }

    fn unlink(&mut self, at: u32) {
        let Node { prev, next, .. } = self.nodes[at as usize];
        let after = if next == at { NONE } else { next };
        self.hands.iter_mut().filter(|hand| **hand == at).for_each(|hand| *hand = after);
        self.nodes[prev as usize].next = next;
        self.nodes[next as usize].prev = prev;
    }

    pub(super) fn bytes(&self) -> usize {
        self.nodes.capacity() * size_of::<Node<T>>()
    }
}

impl<T> std::ops::Index<u32> for Ring<T> {
    type Output = T;

    fn index(&self, at: u32) -> &T {
        &self.nodes[at as usize].value
    }
}

impl<T> std::ops::IndexMut<u32> for Ring<T> {
    fn index_mut(&mut self, at: u32) -> &mut T {
        &mut self.nodes[at as usize].value
    }
}
