//! millpond: `BufferPool` and `Pool` with their defaults.

use millpond::{BufferPool, Pool, Pooled, PooledBuf, Recycled};

use crate::compare::contender::{Cannot, Contender, Kind, Plan, Size};
use crate::compare::objects::{Kept, Objects};

pub struct Millpond(BufferPool);

impl Contender for Millpond {
    const NAME: &'static str = "millpond";
    const KIND: Kind = Kind::Millpond;

    type Buf<'p> = PooledBuf;
    type Zeroed<'p> = PooledBuf;

    fn new(_: &Plan) -> Result<Self, Cannot> {
        Ok(Self(BufferPool::new()))
    }

    #[inline(always)]
    fn get(&self, size: Size) -> PooledBuf {
        self.0.get(Recycled(size.bytes))
    }

    #[inline(always)]
    fn write(buf: &mut PooledBuf, at: usize) -> &mut u8 {
        let byte = &mut buf[at];
        *byte = 1;
        byte
    }

    #[inline(always)]
    fn zeroed(&self, size: Size) -> PooledBuf {
        self.0.get(size.bytes)
    }

    fn bytes(buf: &PooledBuf) -> &[u8] {
        buf
    }

    /// The length is what is exposed: beyond it nothing can be written, and nothing need be wiped.
    #[inline(always)]
    fn expose(buf: &mut PooledBuf, len: usize) -> &mut [u8] {
        buf.truncate(len);
        buf
    }
}

pub struct MillpondObjects<T: Kept>(Pool<T>);

impl<T: Kept> Objects<T> for MillpondObjects<T> {
    const NAME: &'static str = Millpond::NAME;
    const KIND: Kind = Millpond::KIND;

    type Value = T;
    type Object<'p> = Pooled<T>;

    fn new(_: &Plan) -> Result<Self, Cannot> {
        Ok(Self(Pool::builder().create(T::fresh).build().expect("the defaults are valid")))
    }

    #[inline(always)]
    fn get(&self) -> Pooled<T> {
        self.0.get()
    }

    #[inline(always)]
    fn value(object: &mut Pooled<T>) -> &mut T {
        object
    }
}
