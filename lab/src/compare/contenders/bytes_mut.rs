//! `bytes` 1: `BytesMut`, allocated each time.

use crate::compare::contender::{Cannot, Contender, Kind, Plan, Size};

pub struct BytesMut;

impl Contender for BytesMut {
    const NAME: &'static str = "BytesMut";
    const KIND: Kind = Kind::Allocator;

    type Buf<'p> = bytes::BytesMut;
    type Zeroed<'p> = bytes::BytesMut;

    fn new(plan: &Plan) -> Result<Self, Cannot> {
        if plan.pools > 1 { Err(Cannot::NO_POOLS) } else { Ok(Self) }
    }

    #[inline(always)]
    fn get(&self, size: Size) -> bytes::BytesMut {
        bytes::BytesMut::with_capacity(size.bytes)
    }

    #[inline(always)]
    fn write(buf: &mut bytes::BytesMut, at: usize) -> &mut u8 {
        buf.spare_capacity_mut()[at].write(1)
    }

    #[inline(always)]
    fn zeroed(&self, size: Size) -> bytes::BytesMut {
        bytes::BytesMut::zeroed(size.bytes)
    }

    fn bytes(buf: &bytes::BytesMut) -> &[u8] {
        buf
    }

    #[inline(always)]
    fn expose(buf: &mut bytes::BytesMut, len: usize) -> &mut [u8] {
        &mut buf[..len]
    }
}
