//! object-pool 0.6: one pool per size; "objects in the pool are not automatically reset", so zeroes are written by
//! the caller.

use object_pool::{Pool, Reusable};

use crate::compare::contender::{Cannot, Contender, Kind, Plan, Size};
use crate::compare::objects::{Kept, Objects};

/// What its documentation begins with.
const KEPT: usize = 32;

pub struct ObjectPool(Vec<Pool<Vec<u8>>>);

impl Contender for ObjectPool {
    const NAME: &'static str = "object-pool 0.6";
    const KIND: Kind = Kind::Pool;

    type Buf<'p> = Reusable<'p, Vec<u8>>;
    type Zeroed<'p> = Reusable<'p, Vec<u8>>;

    fn new(plan: &Plan) -> Result<Self, Cannot> {
        // Beyond what begins in it the pool keeps all that ever comes back, so there is no more to configure.
        let begin = if plan.pools > 1 { 1 } else { KEPT };
        Ok(Self(plan.sizes.iter().map(|&bytes| Pool::new(begin, || vec![0; bytes])).collect()))
    }

    #[inline(always)]
    fn get(&self, size: Size) -> Self::Buf<'_> {
        self.0[size.index].pull(|| vec![0; size.bytes])
    }

    #[inline(always)]
    fn write<'b>(buf: &'b mut Self::Buf<'_>, at: usize) -> &'b mut u8 {
        let byte = &mut buf[at];
        *byte = 1;
        byte
    }

    #[inline(always)]
    fn zeroed(&self, size: Size) -> Self::Zeroed<'_> {
        let mut buf = self.get(size);
        buf.fill(0);
        buf
    }

    fn bytes<'b>(buf: &'b Self::Zeroed<'_>) -> &'b [u8] {
        buf
    }

    #[inline(always)]
    fn expose<'b>(buf: &'b mut Self::Zeroed<'_>, len: usize) -> &'b mut [u8] {
        &mut buf[..len]
    }
}

/// Reset by the caller after the pull, where its documentation does.
pub struct ObjectPoolObjects<T>(Pool<T>);

impl<T: Kept> Objects<T> for ObjectPoolObjects<T> {
    const NAME: &'static str = ObjectPool::NAME;
    const KIND: Kind = ObjectPool::KIND;

    type Value = T;
    type Object<'p> = Reusable<'p, T>;

    fn new(_: &Plan) -> Result<Self, Cannot> {
        Ok(Self(Pool::new(KEPT, T::fresh)))
    }

    #[inline(always)]
    fn get(&self) -> Reusable<'_, T> {
        let mut object = self.0.pull(T::fresh);
        object.reset();
        object
    }

    #[inline(always)]
    fn value<'o>(object: &'o mut Reusable<'_, T>) -> &'o mut T {
        object
    }
}
