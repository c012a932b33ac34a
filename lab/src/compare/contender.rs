//! What a row asks of everything it compares.
//!
//! Rows are generic over [`Contender`], so every measured loop is compiled for one contender: no call through a
//! pointer, and as much inlined as the contender's crate allows.

#![cfg_attr(not(feature = "rivals"), allow(dead_code, reason = "much of a plan matters to rivals only"))]

use std::fmt;
use std::time::Duration;

use millpond::Budget;
use serde::{Deserialize, Serialize};

use crate::size::Bytes;

/// Which side of the comparison a contender is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// The crate this comparison is for.
    Millpond,
    /// The same crate with other options than those of [`Millpond`](Self::Millpond): not in the summary.
    Variant,
    /// The least that any pool could cost.
    Floor,
    /// A pool of another crate.
    Pool,
    /// No pool: memory is taken and given back each time.
    Allocator,
    /// No buffers at all: the queue through which a row passes them.
    Queue,
}

/// One of the sizes of a row. Pools of one kind of thing keep a pool for each and choose by `index`, as a program
/// that knows its sizes would; the others look at `bytes`.
#[derive(Clone, Copy)]
pub struct Size {
    pub bytes: usize,
    pub index: usize,
}

/// What a row is going to do, so that a contender can set itself up as its documentation says for that use.
#[derive(Clone)]
pub struct Plan {
    /// Every size that the row asks for.
    pub sizes: Vec<usize>,
    /// The most buffers of one size that are back in the pool at once.
    pub idle: usize,
    /// The size of each buffer that is out when most are: what a limit on memory must have room for. Of values, which
    /// have no size here, one entry each.
    pub out: Vec<usize>,
    /// Threads that use the pool at once.
    pub threads: usize,
    /// Buffers are dropped by other threads than those that got them.
    pub handover: bool,
    /// Such pools side by side.
    pub pools: usize,
    /// Buffers must be all zero.
    pub zeroed: bool,
    /// How zeropool's own benchmark for this row sets it up.
    pub zeropool: Knobs,
    /// What millpond's pools may have together, where the user has set a limit.
    pub budget: Option<Budget>,
    /// How long memory lies idle in millpond's pools, where that is not the default.
    pub decay: Option<Duration>,
}

impl Plan {
    /// One thread, one pool, one buffer at a time, content unspecified.
    pub fn of(sizes: &[usize]) -> Self {
        Self {
            sizes: sizes.to_vec(),
            idle: 1,
            out: vec![sizes.iter().copied().max().unwrap_or(0)],
            threads: 1,
            handover: false,
            pools: 1,
            zeroed: false,
            zeropool: Knobs::default(),
            budget: None,
            decay: None,
        }
    }

    /// The sizes with their places.
    pub fn sizes(&self) -> impl Iterator<Item = Size> + '_ {
        self.sizes.iter().enumerate().map(|(index, &bytes)| Size { bytes, index })
    }

    /// The first size, for rows that have only one.
    pub fn size(&self) -> Size {
        Size { bytes: self.sizes[0], index: 0 }
    }

    pub fn largest(&self) -> usize {
        self.sizes.iter().copied().max().unwrap_or(0)
    }
}

/// Settings of zeropool's builder; `None` leaves its default.
#[derive(Clone, Copy, Default)]
pub struct Knobs {
    pub thread_cache: Option<usize>,
    pub shards: Option<usize>,
    pub per_shard: Option<usize>,
    pub smallest: Option<usize>,
    /// Buffers made beforehand: how many, of what size.
    pub prefill: Option<(usize, usize)>,
}

/// Why a contender has no figure in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cannot {
    /// It is not made for that.
    Because(&'static str),
    /// The user's limit on memory is less than the buffers of the row, in bytes.
    Fit { needed: usize, limit: usize },
}

impl Cannot {
    pub const NO_POOLS: Self = Self::Because("has no pools");
}

impl fmt::Display for Cannot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Because(why) => f.write_str(why),
            Self::Fit { needed, limit } => {
                write!(f, "needs {}, and --max-memory is {}", Bytes(needed as u64), Bytes(limit as u64))
            }
        }
    }
}

/// A way to have buffers, used as its documentation recommends, by the cheapest documented path that gives the same
/// thing.
pub trait Contender: Sized + Sync + 'static {
    const NAME: &'static str;
    const KIND: Kind;

    /// Room for the bytes asked for, content unspecified; dropping it gives it back. May be dropped by another
    /// thread.
    type Buf<'p>: Send
    where
        Self: 'p;
    /// The bytes asked for, all zero.
    type Zeroed<'p>
    where
        Self: 'p;

    /// Sets up for `plan`.
    fn new(plan: &Plan) -> Result<Self, Cannot>;

    fn get(&self, size: Size) -> Self::Buf<'_>;

    /// Writes one byte, and says where it is.
    fn write<'b>(buf: &'b mut Self::Buf<'_>, at: usize) -> &'b mut u8;

    fn zeroed(&self, size: Size) -> Self::Zeroed<'_>;

    /// The bytes, for reading only.
    fn bytes<'b>(buf: &'b Self::Zeroed<'_>) -> &'b [u8];

    /// The first `len` bytes for writing, and, where the contender tells them apart, no others.
    fn expose<'b>(buf: &'b mut Self::Zeroed<'_>, len: usize) -> &'b mut [u8];

    /// Called by threads of the row before they end. Only what has no destructor of its own needs it.
    fn leave_thread() {}
}

/// Something done with each contender in turn.
pub trait Visit {
    fn visit<C: Contender>(&mut self);
}
