//! millpond: `BufferPool` and `Pool` with their defaults, but for what the user set.

#[cfg(feature = "rivals")]
use millpond::Capacity;
use millpond::{Budget, BufferPool, BufferPoolBuilder, Pool, Pooled, PooledBuf, Recycled};

use crate::compare::contender::{Cannot, Contender, Kind, Plan, Size};
use crate::compare::objects::{Kept, Objects};
#[cfg(feature = "rivals")]
use crate::compare::waiting::Waiting;

pub struct Millpond(BufferPool);

/// A pool of bytes for `plan`.
pub fn pool(plan: &Plan) -> BufferPool {
    builder(plan).build().expect("the defaults are valid")
}

/// What makes it.
pub fn builder(plan: &Plan) -> BufferPoolBuilder {
    let builder = BufferPool::builder().budget(plan.budget.as_ref().unwrap_or(Budget::process()));
    plan.decay.iter().fold(builder, |builder, &decay| builder.decay(decay))
}

impl Contender for Millpond {
    const NAME: &'static str = "millpond";
    const KIND: Kind = Kind::Millpond;

    type Buf<'p> = PooledBuf;
    type Zeroed<'p> = PooledBuf;

    fn new(plan: &Plan) -> Result<Self, Cannot> {
        Ok(Self(pool(plan)))
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

/// A pool of values for `plan`; `weigh` says what is charged for one, where that is not its mere size.
pub fn objects<T: Kept>(plan: &Plan, weigh: Option<fn(&T) -> usize>) -> Pool<T> {
    let builder = Pool::builder().create(T::fresh).budget(plan.budget.as_ref().unwrap_or(Budget::process()));
    let builder = plan.decay.iter().fold(builder, |builder, &decay| builder.decay(decay));
    let builder = weigh.into_iter().fold(builder, |builder, weigh| builder.weigh(weigh));
    builder.build().expect("the defaults are valid")
}

impl<T: Kept> Objects<T> for MillpondObjects<T> {
    const NAME: &'static str = Millpond::NAME;
    const KIND: Kind = Millpond::KIND;

    type Value = T;
    type Object<'p> = Pooled<T>;

    fn new(plan: &Plan) -> Result<Self, Cannot> {
        Ok(Self(objects(plan, None)))
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

/// A pool whose budget is so many buffers.
#[cfg(feature = "rivals")]
pub struct Budgeted {
    pool: BufferPool,
    bytes: usize,
}

#[cfg(feature = "rivals")]
impl Waiting for Budgeted {
    const NAME: &'static str = Millpond::NAME;
    const KIND: Kind = Millpond::KIND;

    type Held<'p> = PooledBuf;

    fn new(plan: &Plan) -> Self {
        let bytes = plan.size().bytes;
        let pool = builder(plan).size_classes([bytes]).max_memory(plan.out.len() * bytes).build();
        Self { pool: pool.expect("one class"), bytes }
    }

    #[inline]
    async fn acquire(&self) -> PooledBuf {
        self.pool.acquire(Capacity(self.bytes)).await.expect("a buffer fits the budget")
    }

    #[inline]
    fn touch(held: &mut PooledBuf) -> &mut u8 {
        held.extend_from_slice(&[1]);
        &mut held[0]
    }
}
