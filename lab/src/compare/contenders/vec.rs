//! `Vec` and `Box` on the system's allocator, which is this program's global one.

use std::borrow::BorrowMut;

use crate::compare::contender::{Cannot, Contender, Kind, Plan, Size};
use crate::compare::objects::{Kept, Objects};

pub struct SystemVec;

impl Contender for SystemVec {
    const NAME: &'static str = "Vec, system malloc";
    const KIND: Kind = Kind::Allocator;

    type Buf<'p> = Vec<u8>;
    type Zeroed<'p> = Vec<u8>;

    fn new(plan: &Plan) -> Result<Self, Cannot> {
        if plan.pools > 1 { Err(Cannot::NO_POOLS) } else { Ok(Self) }
    }

    #[inline(always)]
    fn get(&self, size: Size) -> Vec<u8> {
        Vec::with_capacity(size.bytes)
    }

    #[inline(always)]
    fn write(buf: &mut Vec<u8>, at: usize) -> &mut u8 {
        buf.spare_capacity_mut()[at].write(1)
    }

    #[inline(always)]
    fn zeroed(&self, size: Size) -> Vec<u8> {
        vec![0; size.bytes]
    }

    fn bytes(buf: &Vec<u8>) -> &[u8] {
        buf
    }

    #[inline(always)]
    fn expose(buf: &mut Vec<u8>, len: usize) -> &mut [u8] {
        &mut buf[..len]
    }
}

/// A value made for each use, on the system's allocator.
pub struct SystemObjects;

impl<T: Kept> Objects<T> for SystemObjects {
    const NAME: &'static str = "Box or Vec, system malloc";
    const KIND: Kind = Kind::Allocator;

    type Value = T;
    type Object<'p> = T::Alone;

    fn new(_: &Plan) -> Result<Self, Cannot> {
        Ok(Self)
    }

    #[inline(always)]
    fn get(&self) -> T::Alone {
        T::fresh().into()
    }

    #[inline(always)]
    fn value(object: &mut T::Alone) -> &mut T {
        object.borrow_mut()
    }
}
