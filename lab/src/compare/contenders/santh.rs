//! santh-bufpool 0.1.0. Every buffer is wiped on its way back, so `checkout` gives zeroes; each class is told how
//! many buffers to keep.

use santh_bufpool::{BufferPool, PoolBuffer, PoolConfig};

use crate::compare::contender::{Cannot, Contender, Kind, Plan, Size};

/// Its thread cache keeps four buffers whatever is configured; the queues should hold no less.
const FEWEST: usize = 4;

pub struct Santh(BufferPool);

impl Contender for Santh {
    const NAME: &'static str = "santh-bufpool 0.1.0";
    const KIND: Kind = Kind::Pool;

    type Buf<'p> = PoolBuffer;
    type Zeroed<'p> = PoolBuffer;

    fn new(plan: &Plan) -> Result<Self, Cannot> {
        let count = |above: usize, up_to: usize| {
            let used = plan.sizes.iter().any(|&bytes| above < bytes && bytes <= up_to);
            if used { plan.idle.max(FEWEST) } else { 0 }
        };
        Ok(Self(BufferPool::new(PoolConfig {
            four_kib_count: count(0, 4 << 10),
            sixty_four_kib_count: count(4 << 10, 64 << 10),
            two_fifty_six_kib_count: count(64 << 10, 256 << 10),
            one_mib_count: count(256 << 10, 1 << 20),
            numa_node: None,
        })))
    }

    #[inline(always)]
    fn get(&self, size: Size) -> PoolBuffer {
        self.0.checkout(size.bytes).expect("sizes are far below isize::MAX")
    }

    #[inline(always)]
    fn write(buf: &mut PoolBuffer, at: usize) -> &mut u8 {
        let byte = &mut buf[at];
        *byte = 1;
        byte
    }

    #[inline(always)]
    fn zeroed(&self, size: Size) -> PoolBuffer {
        self.get(size)
    }

    fn bytes(buf: &PoolBuffer) -> &[u8] {
        buf
    }

    #[inline(always)]
    fn expose(buf: &mut PoolBuffer, len: usize) -> &mut [u8] {
        &mut buf[..len]
    }
}
