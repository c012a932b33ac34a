//! kithara-bufpool 0.0.1-alpha5: one region with a pool of bytes. Its only way to a number of bytes is
//! `get_with_len`, which zeroes them.

use kithara_bufpool::{ByteBuffer, OverallBudget, PoolConfig, PoolRegion, pool_schema};

use crate::compare::contender::{Cannot, Contender, Kind, Plan, Size};

/// Shards of its pool of bytes; what may be kept is divided between them.
const SHARDS: usize = 32;

pool_schema! {
    pub Schema {
        bytes: u8,
    }
}

pub struct Kithara(PoolRegion<Schema>);

impl Contender for Kithara {
    const NAME: &'static str = "kithara-bufpool 0.0.1-alpha5";
    const KIND: Kind = Kind::Pool;

    type Buf<'p> = ByteBuffer;
    type Zeroed<'p> = ByteBuffer;

    fn new(plan: &Plan) -> Result<Self, Cannot> {
        let config = PoolConfig::builder().max_buffers(SHARDS * plan.idle.max(1)).build();
        let region = Schema::builder(OverallBudget(64 << 30)).bytes(config).build();
        Ok(Self(region.expect("a valid configuration")))
    }

    #[inline(always)]
    fn get(&self, size: Size) -> ByteBuffer {
        self.0.get_with_len::<u8>(size.bytes).expect("within the budget")
    }

    #[inline(always)]
    fn write(buf: &mut ByteBuffer, at: usize) -> &mut u8 {
        let byte = &mut buf[at];
        *byte = 1;
        byte
    }

    #[inline(always)]
    fn zeroed(&self, size: Size) -> ByteBuffer {
        self.get(size)
    }

    fn bytes(buf: &ByteBuffer) -> &[u8] {
        buf
    }

    #[inline(always)]
    fn expose(buf: &mut ByteBuffer, len: usize) -> &mut [u8] {
        &mut buf[..len]
    }
}
