//! millpond with a limit on its memory, asked as programs with such a limit ask it: what is not to be had now is waited
//! for. Rows have it only where all that is out at once fits the limit, so every wait ends: for idle memory on its way
//! between two caches.

use millpond::{BufferPool, Pool, Pooled, PooledBuf, Recycled, Request};

use super::millpond::{Millpond, MillpondObjects, objects, pool};
use crate::compare::contender::{Cannot, Contender, Kind, Plan, Size};
use crate::compare::objects::{Kept, Objects};

pub struct Bounded(BufferPool);

impl Bounded {
    #[inline(always)]
    fn ask<R: Request>(&self, request: R) -> PooledBuf {
        match self.0.try_get(request) {
            Ok(buf) => buf,
            Err(_) => self.0.acquire(request).wait().expect("the row fits the limit"),
        }
    }
}

impl Contender for Bounded {
    const NAME: &'static str = Millpond::NAME;
    const KIND: Kind = Millpond::KIND;

    type Buf<'p> = PooledBuf;
    type Zeroed<'p> = PooledBuf;

    fn new(plan: &Plan) -> Result<Self, Cannot> {
        Ok(Self(pool(plan)))
    }

    #[inline(always)]
    fn get(&self, size: Size) -> PooledBuf {
        self.ask(Recycled(size.bytes))
    }

    #[inline(always)]
    fn write(buf: &mut PooledBuf, at: usize) -> &mut u8 {
        Millpond::write(buf, at)
    }

    #[inline(always)]
    fn zeroed(&self, size: Size) -> PooledBuf {
        self.ask(size.bytes)
    }

    fn bytes(buf: &PooledBuf) -> &[u8] {
        Millpond::bytes(buf)
    }

    #[inline(always)]
    fn expose(buf: &mut PooledBuf, len: usize) -> &mut [u8] {
        Millpond::expose(buf, len)
    }
}

/// Values are weighed: without, a limit would not know of the room in them.
pub struct BoundedObjects<T: Kept>(Pool<T>);

impl<T: Kept> Objects<T> for BoundedObjects<T> {
    const NAME: &'static str = Bounded::NAME;
    const KIND: Kind = Bounded::KIND;

    type Value = T;
    type Object<'p> = Pooled<T>;

    fn new(plan: &Plan) -> Result<Self, Cannot> {
        Ok(Self(objects(plan, Some(T::weight))))
    }

    #[inline(always)]
    fn get(&self) -> Pooled<T> {
        match self.0.try_get() {
            Ok(object) => object,
            Err(_) => self.0.acquire().wait().expect("the row fits the limit"),
        }
    }

    #[inline(always)]
    fn value(object: &mut Pooled<T>) -> &mut T {
        MillpondObjects::value(object)
    }
}
