//! opool 0.2: one pool per size, `Pool` and not `LocalPool`, whose buffers could not leave their thread. `reset` is
//! where its documentation has objects zeroed.

use opool::{Pool, PoolAllocator, RefGuard};

use crate::compare::contender::{Cannot, Contender, Kind, Plan, Size};
use crate::compare::objects::{Kept, Objects};

/// What its documentation keeps.
const KEPT: usize = 64;

pub struct Sized {
    bytes: usize,
    zeroed: bool,
}

impl PoolAllocator<Vec<u8>> for Sized {
    #[inline]
    fn allocate(&self) -> Vec<u8> {
        vec![0; self.bytes]
    }

    #[inline]
    fn reset(&self, buf: &mut Vec<u8>) {
        if self.zeroed {
            buf.fill(0);
        }
    }
}

pub struct Opool(Vec<Pool<Sized, Vec<u8>>>);

impl Contender for Opool {
    const NAME: &'static str = "opool 0.2";
    const KIND: Kind = Kind::Pool;

    type Buf<'p> = RefGuard<'p, Sized, Vec<u8>>;
    type Zeroed<'p> = RefGuard<'p, Sized, Vec<u8>>;

    fn new(plan: &Plan) -> Result<Self, Cannot> {
        let pool = |&bytes: &usize| Pool::new(plan.idle.max(KEPT), Sized { bytes, zeroed: plan.zeroed });
        Ok(Self(plan.sizes.iter().map(pool).collect()))
    }

    #[inline(always)]
    fn get(&self, size: Size) -> Self::Buf<'_> {
        self.0[size.index].get()
    }

    #[inline(always)]
    fn write<'b>(buf: &'b mut Self::Buf<'_>, at: usize) -> &'b mut u8 {
        let byte = &mut buf[at];
        *byte = 1;
        byte
    }

    #[inline(always)]
    fn zeroed(&self, size: Size) -> Self::Zeroed<'_> {
        self.get(size)
    }

    fn bytes<'b>(buf: &'b Self::Zeroed<'_>) -> &'b [u8] {
        buf
    }

    #[inline(always)]
    fn expose<'b>(buf: &'b mut Self::Zeroed<'_>, len: usize) -> &'b mut [u8] {
        &mut buf[..len]
    }
}

/// Values that are reset when they come back.
pub struct Reset;

impl<T: Kept> PoolAllocator<T> for Reset {
    #[inline]
    fn allocate(&self) -> T {
        T::fresh()
    }

    #[inline]
    fn reset(&self, value: &mut T) {
        value.reset();
    }
}

pub struct OpoolObjects<T: Kept>(Pool<Reset, T>);

impl<T: Kept> Objects<T> for OpoolObjects<T> {
    const NAME: &'static str = Opool::NAME;
    const KIND: Kind = Opool::KIND;

    type Value = T;
    type Object<'p> = RefGuard<'p, Reset, T>;

    fn new(plan: &Plan) -> Result<Self, Cannot> {
        Ok(Self(Pool::new(plan.idle.max(KEPT), Reset)))
    }

    #[inline(always)]
    fn get(&self) -> Self::Object<'_> {
        self.0.get()
    }

    #[inline(always)]
    fn value<'o>(object: &'o mut Self::Object<'_>) -> &'o mut T {
        object
    }
}
