//! bytesbuf 0.12: `GlobalPool`. Its documentation asks for one pool per thread where no thread-aware runtime moves
//! it, so rows with several threads keep it in a thread-local.

use std::convert::Infallible;

use bytesbuf::mem::GlobalPool;

use crate::compare::contender::{Cannot, Contender, Kind, Plan, Size};

/// Its largest block; more is given as a sequence of blocks.
const LARGEST: usize = 64 << 10;

thread_local! {
    static LOCAL: GlobalPool = GlobalPool::new();
}

pub struct BytesBuf {
    pool: GlobalPool,
    per_thread: bool,
}

impl Contender for BytesBuf {
    const NAME: &'static str = "bytesbuf 0.12";
    const KIND: Kind = Kind::Pool;

    type Buf<'p> = bytesbuf::BytesBuf;
    type Zeroed<'p> = Infallible;

    fn new(plan: &Plan) -> Result<Self, Cannot> {
        if plan.largest() > LARGEST {
            return Err(Cannot::Because("no more than 64 KiB in one piece"));
        }
        if plan.zeroed {
            return Err(Cannot::Because("filled once, never written again"));
        }
        Ok(Self { pool: GlobalPool::new(), per_thread: plan.threads > 1 })
    }

    #[inline(always)]
    fn get(&self, size: Size) -> bytesbuf::BytesBuf {
        if self.per_thread { LOCAL.with(|pool| pool.reserve(size.bytes)) } else { self.pool.reserve(size.bytes) }
    }

    #[inline(always)]
    fn write(buf: &mut bytesbuf::BytesBuf, at: usize) -> &mut u8 {
        buf.first_unfilled_slice()[at].write(1)
    }

    fn zeroed(&self, _: Size) -> Infallible {
        unreachable!("`new` refuses rows that ask for zeroes")
    }

    fn bytes(buf: &Infallible) -> &[u8] {
        match *buf {}
    }

    fn expose(buf: &mut Infallible, _: usize) -> &mut [u8] {
        match *buf {}
    }
}
