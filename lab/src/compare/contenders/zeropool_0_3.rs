//! zeropool 0.3.1. Its documentation: `get` does not zero, "zero manually if needed"; `min_buffer_size` is the
//! smallest buffer worth keeping (1 MiB unless told), so it is set to the row's smallest size.

use zeropool_0_3::{BufferPool, PooledBuffer};

use crate::compare::contender::{Cannot, Contender, Kind, Plan, Size};

pub struct ZeroPool03(BufferPool);

impl Contender for ZeroPool03 {
    const NAME: &'static str = "zeropool 0.3.1";
    const KIND: Kind = Kind::Pool;

    type Buf<'p> = PooledBuffer;
    type Zeroed<'p> = PooledBuffer;

    fn new(plan: &Plan) -> Result<Self, Cannot> {
        let knobs = &plan.zeropool;
        let smallest = plan.sizes.iter().copied().min().unwrap_or(0);
        let mut builder = BufferPool::builder().min_buffer_size(knobs.smallest.unwrap_or(smallest));
        if let Some(depth) = knobs.thread_cache {
            builder = builder.tls_cache_size(depth);
        }
        if let Some(shards) = knobs.shards {
            builder = builder.num_shards(shards);
        }
        if let Some(count) = knobs.per_shard {
            builder = builder.max_buffers_per_shard(count);
        }
        let pool = builder.build();
        if let Some((count, bytes)) = knobs.prefill {
            pool.preallocate(count, bytes);
        }
        Ok(Self(pool))
    }

    #[inline(always)]
    fn get(&self, size: Size) -> PooledBuffer {
        self.0.get(size.bytes)
    }

    #[inline(always)]
    fn write(buf: &mut PooledBuffer, at: usize) -> &mut u8 {
        let byte = &mut buf[at];
        *byte = 1;
        byte
    }

    #[inline(always)]
    fn zeroed(&self, size: Size) -> PooledBuffer {
        let mut buf = self.0.get(size.bytes);
        buf.fill(0);
        buf
    }

    fn bytes(buf: &PooledBuffer) -> &[u8] {
        buf
    }

    #[inline(always)]
    fn expose(buf: &mut PooledBuffer, len: usize) -> &mut [u8] {
        &mut buf[..len]
    }
}
