//! The two words of a magazine, and what is packed into them.

use std::fmt;

use crate::engine::barrier::Barrier;

/// Length and hit counter. Written by the owner only.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Word(pub(super) u64);

impl Word {
    pub(super) const LEN: u64 = 0xffff;
    pub(super) const ONE_HIT: u64 = 1 << 16;

    #[inline(always)]
    pub(super) fn len(self) -> usize {
        (self.0 & Self::LEN) as usize
    }

    pub(super) fn hits(self) -> u64 {
        self.0 >> 16
    }

    /// So many slots fewer, and as many hits more.
    #[inline(always)]
    pub(super) fn popped(self, slots: usize) -> Word {
        // Hits wrap after 2^48, without touching the length.
        Word(self.0.wrapping_add((Self::ONE_HIT - 1).wrapping_mul(slots as u64)))
    }

    #[inline(always)]
    pub(super) fn pushed(self, slots: usize) -> Word {
        Word(self.0.wrapping_add(slots as u64))
    }

    pub(super) fn emptied(self) -> Word {
        Word(self.0 & !Self::LEN)
    }
}

impl fmt::Debug for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} slots, {} hits", self.len(), self.hits())
    }
}

/// State of a robbery, request bits and the agreed length.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Att(pub(super) u32);

impl Att {
    pub(super) const STATE: u32 = 0b11;
    pub(super) const OPEN: u32 = 0;
    pub(super) const ASKED: u32 = 1;
    pub(super) const TAKEN: u32 = 2;
    pub(super) const EMPTY: u32 = 3;
    /// The pool is closed: nothing may stay here.
    pub(super) const CLOSED: u32 = 1 << 2;
    /// No asymmetric barrier in this process: every operation settles behind a real fence.
    pub(super) const FENCED: u32 = 1 << 3;
    /// Somebody waits for memory: nothing may stay here until the store says otherwise.
    pub(super) const ATTENTION: u32 = 1 << 4;
    pub(super) const LEAVE: u32 = Self::CLOSED | Self::ATTENTION;
    pub(super) const REQUESTS: u32 = 0b1111_1100;
    pub(super) const LEN_SHIFT: u32 = 8;

    pub(super) fn state(self) -> u32 {
        self.0 & Self::STATE
    }

    pub(super) fn len(self) -> usize {
        (self.0 >> Self::LEN_SHIFT) as usize
    }

    pub(super) fn has(self, request: u32) -> bool {
        self.0 & request != 0
    }

    pub(super) const fn at_birth(kind: Barrier) -> u32 {
        match kind {
            Barrier::Symmetric => Att::FENCED,
            Barrier::Asymmetric => Att::OPEN,
        }
    }

    /// ASKED to OPEN: the request is withdrawn.
    pub(super) fn opened(self) -> Att {
        Att(self.0 & Self::REQUESTS)
    }

    /// ASKED to TAKEN.
    pub(super) fn taken(self, len: usize) -> Att {
        Att(self.0 & Self::REQUESTS | Self::TAKEN | (len as u32) << Self::LEN_SHIFT)
    }
}

impl fmt::Debug for Att {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = ["open", "asked", "taken", "empty"][self.state() as usize];
        write!(f, "{state}({}), requests {:#b}", self.len(), self.0 & Self::REQUESTS)
    }
}
