//! zeropool 0.7.0. Its documentation: `alloc_uninit` where every byte is written before it is read, `alloc` where
//! zeroes are wanted; `min_buffer_size(0)` in its own comparisons.

use zeropool_0_7::{Buf, BufUninit, ZeroPool};

use crate::compare::contender::{Cannot, Contender, Kind, Plan, Size};

pub struct ZeroPool07(ZeroPool);

impl Contender for ZeroPool07 {
    const NAME: &'static str = "zeropool 0.7.0";
    const KIND: Kind = Kind::Pool;

    type Buf<'p> = BufUninit<'p>;
    type Zeroed<'p> = Buf<'p>;

    fn new(plan: &Plan) -> Result<Self, Cannot> {
        let knobs = &plan.zeropool;
        let mut pool = ZeroPool::new().min_buffer_size(knobs.smallest.unwrap_or(0));
        if let Some(depth) = knobs.thread_cache {
            pool = pool.tls_cache_size(depth);
        }
        if let Some(count) = knobs.per_shard {
            pool = pool.max_buffers_per_class(count * knobs.shards.unwrap_or(1));
        }
        if let Some((count, bytes)) = knobs.prefill {
            pool.warm(count, bytes);
        }
        Ok(Self(pool))
    }

    #[inline(always)]
    fn get(&self, size: Size) -> BufUninit<'_> {
        self.0.alloc_uninit(size.bytes)
    }

    #[inline(always)]
    fn write<'b>(buf: &'b mut BufUninit<'_>, at: usize) -> &'b mut u8 {
        buf.as_uninit_mut()[at].write(1)
    }

    #[inline(always)]
    fn zeroed(&self, size: Size) -> Buf<'_> {
        self.0.alloc(size.bytes)
    }

    fn bytes<'b>(buf: &'b Buf<'_>) -> &'b [u8] {
        buf
    }

    #[inline(always)]
    fn expose<'b>(buf: &'b mut Buf<'_>, len: usize) -> &'b mut [u8] {
        &mut buf[..len]
    }
}
