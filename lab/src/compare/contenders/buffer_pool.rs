//! buffer-pool 0.2: pools are statics, here one for each row; shards and limit are those of Cloudflare's tokio-quiche.

use buffer_pool::{Pool, Pooled, Reuse};

use crate::compare::contender::{Cannot, Kind, Plan};
use crate::compare::objects::{Kept, Objects};

const SHARDS: usize = 8;
const LIMIT: usize = 16 << 10;

/// A value that leaves its default behind when it goes back to the pool.
#[derive(Default)]
pub struct Reusable<T>(T);

impl<T: Kept> Reuse for Reusable<T> {
    #[inline]
    fn reuse(&mut self, _: usize) -> bool {
        self.0.reset();
        true
    }

    /// Counted as idle bytes, for the metrics alone.
    #[inline]
    fn capacity(&self) -> usize {
        size_of::<T>()
    }
}

pub struct BufferPool<T: Kept>(&'static Pool<SHARDS, Reusable<T>>);

impl<T: Kept> Objects<T> for BufferPool<T> {
    const NAME: &'static str = "buffer-pool 0.2";
    const KIND: Kind = Kind::Pool;

    type Value = T;
    type Object<'p> = Pooled<Reusable<T>>;

    fn new(plan: &Plan) -> Result<Self, Cannot> {
        let pool: &'static _ = Box::leak(Box::new(Pool::<SHARDS, _>::new(LIMIT, usize::MAX, "compare")));
        // New values are defaults, without room. Values take turns: as many for each shard as may be out at once.
        let fresh: Vec<_> = (0..SHARDS * plan.idle).map(|_| pool.from_owned(Reusable(T::fresh()))).collect();
        drop(fresh);
        Ok(Self(pool))
    }

    #[inline(always)]
    fn get(&self) -> Pooled<Reusable<T>> {
        self.0.get()
    }

    #[inline(always)]
    fn value(object: &mut Pooled<Reusable<T>>) -> &mut T {
        &mut object.0
    }
}
