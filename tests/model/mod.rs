//! Operations on pools and handles, and the naive model of what they do: a `Vec<u8>` for each handle.
//!
//! Shared by `tests/sequences.rs` and the fuzz target, which differ in where the operations come from.

use std::cell::Cell;
use std::rc::Rc;

use millpond::{BufferPool, Capacity, Error, Memory, PooledBuf, PooledBytes, Recycled, Stats, Zeroing};

/// Bytes that make one operation.
pub const OP_BYTES: usize = 4;
/// Handles of each kind at most; further ones replace the first.
const HELD: usize = 12;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum What {
    Get,
    GetCapacity,
    GetRecycled,
    GetMany,
    CopyFrom,
    Fill,
    Poke,
    Resize,
    Truncate,
    Clear,
    Extend,
    ExtendByOne,
    Reserve,
    Write,
    ReadFrom,
    SpareWritten,
    SpareUninit,
    Freeze,
    Share,
    Slice,
    SplitTo,
    SplitOff,
    Shorten,
    Thaw,
    Compact,
    DropUnique,
    DropFrozen,
    DropElsewhere,
    Close,
    DropPool,
}

impl What {
    const ALL: [What; 30] = {
        use What::*;
        [
            Get,
            GetCapacity,
            GetRecycled,
            GetMany,
            CopyFrom,
            Fill,
            Poke,
            Resize,
            Truncate,
            Clear,
            Extend,
            ExtendByOne,
            Reserve,
            Write,
            ReadFrom,
            SpareWritten,
            SpareUninit,
            Freeze,
            Share,
            Slice,
            SplitTo,
            SplitOff,
            Shorten,
            Thaw,
            Compact,
            DropUnique,
            DropFrozen,
            DropElsewhere,
            Close,
            DropPool,
        ]
    };
}

/// One operation: on which of the handles or pools, and with which number.
#[derive(Clone, Copy, Debug)]
pub struct Op {
    what: What,
    which: usize,
    amount: usize,
}

impl Op {
    /// Any bytes are an operation.
    pub fn from_bytes([what, which, low, high]: [u8; OP_BYTES]) -> Self {
        let bits = usize::from(u16::from_le_bytes([low, high]));
        // Small amounts more often than large ones.
        let amount = (bits & 0x0FFF) >> (bits >> 12 & 0b11) << (bits >> 14);
        Op { what: What::ALL[usize::from(what) % What::ALL.len()], which: usize::from(which), amount }
    }
}

/// A pool with what its handles remember of it.
struct Pool {
    pool: BufferPool,
    wipes: bool,
    closed: Rc<Cell<bool>>,
}

impl Pool {
    fn new(which: usize) -> Self {
        let wipes = which == 1;
        let builder = match which {
            0 => BufferPool::builder(),
            1 => BufferPool::builder().size_classes([64, 100, 1000, 4000]).alignment(16).zeroing(Zeroing::OnReturn),
            _ => BufferPool::builder().max_idle(50_000).memory(if cfg!(miri) {
                Memory::heap()
            } else {
                Memory::mapped()
            }),
        };
        Pool { pool: builder.build().unwrap(), wipes, closed: Rc::default() }
    }
}

/// A handle, and what its bytes must be.
struct Modelled<H> {
    handle: H,
    bytes: Vec<u8>,
    closed: Rc<Cell<bool>>,
}

/// All that a sequence of operations works on.
pub struct World {
    pools: [Pool; 3],
    bufs: Vec<Modelled<PooledBuf>>,
    frozen: Vec<Modelled<PooledBytes>>,
    stamp: u8,
}

impl World {
    pub fn new() -> Self {
        World { pools: std::array::from_fn(Pool::new), bufs: Vec::new(), frozen: Vec::new(), stamp: 0 }
    }

    /// Does one operation to the pools and to the model, and compares.
    pub fn apply(&mut self, op: Op) {
        // Another value each time, and never the zero that fresh memory holds.
        self.stamp = self.stamp % 250 + 1;
        match op.what {
            What::Get | What::GetCapacity | What::GetRecycled | What::GetMany | What::CopyFrom => self.get(op),
            What::Freeze | What::DropUnique | What::DropElsewhere => self.give_up(op),
            What::Thaw | What::Compact | What::DropFrozen => self.take_frozen(op),
            What::Share | What::Slice | What::SplitTo | What::SplitOff | What::Shorten => self.part(op),
            What::Close | What::DropPool => self.replace_pool(op),
            _ => self.change(op),
        }
    }

    fn get(&mut self, Op { what, which, amount }: Op) {
        let pool = &self.pools[which % self.pools.len()];
        let batch = match what {
            What::Get => vec![pool.pool.get(amount)],
            What::GetCapacity => vec![pool.pool.get(Capacity(amount))],
            What::GetRecycled => vec![pool.pool.get(Recycled(amount))],
            What::GetMany => pool.pool.get_many([amount; 3]).into_iter().collect(),
            _ => vec![pool.pool.copy_from(&vec![self.stamp; amount])],
        };
        for handle in batch {
            let bytes = match what {
                What::GetCapacity => Vec::new(),
                What::GetRecycled if pool.wipes => vec![0; amount],
                What::GetRecycled => handle.to_vec(),
                What::CopyFrom => vec![self.stamp; amount],
                _ => vec![0; amount],
            };
            assert!(handle.capacity() >= amount);
            let closed = pool.closed.clone();
            keep(&mut self.bufs, Modelled { handle, bytes, closed });
        }
    }

    /// Changes a unique buffer in place.
    fn change(&mut self, op: Op) {
        let stamp = self.stamp;
        let Some(buf) = pick(&mut self.bufs, op.which) else { return };
        let (handle, bytes, amount) = (&mut buf.handle, &mut buf.bytes, op.amount);
        let grown = match op.what {
            What::Fill => {
                handle.fill(stamp);
                bytes.fill(stamp);
                Ok(())
            }
            What::Poke => {
                if let Some(at) = amount.checked_rem(bytes.len()) {
                    (handle[at], bytes[at]) = (stamp, stamp);
                }
                Ok(())
            }
            What::Truncate => {
                handle.truncate(amount);
                bytes.truncate(amount);
                Ok(())
            }
            What::Clear => {
                handle.clear();
                bytes.clear();
                Ok(())
            }
            What::Resize => handle.try_reserve(amount.saturating_sub(handle.len())).map(|()| {
                handle.resize(amount, stamp);
                bytes.resize(amount, stamp);
            }),
            What::Reserve => handle.try_reserve(amount),
            What::ExtendByOne => handle.try_reserve(amount % 50).map(|()| {
                handle.extend(std::iter::repeat_n(stamp, amount % 50));
                bytes.extend(std::iter::repeat_n(stamp, amount % 50));
            }),
            What::Write => match std::io::Write::write_all(handle, &vec![stamp; amount]) {
                Ok(()) => {
                    bytes.extend(vec![stamp; amount]);
                    Ok(())
                }
                Err(error) => Err(error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()).unwrap().clone()),
            },
            What::ReadFrom => match handle.read_from(&mut &vec![stamp; amount][..]) {
                Ok(count) => {
                    bytes.extend(vec![stamp; count]);
                    Ok(())
                }
                Err(error) => Err(error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()).unwrap().clone()),
            },
            What::SpareWritten => {
                let room = handle.spare_capacity_mut();
                let count = amount.min(room.len());
                room[..count].iter_mut().for_each(|byte| _ = byte.write(stamp));
                let len = handle.len() + count;
                // SAFETY: the first `count` bytes of the spare capacity were written.
                unsafe { handle.set_len(len) };
                bytes.resize(len, stamp);
                Ok(())
            }
            What::SpareUninit => {
                handle.spare_capacity_mut().fill(std::mem::MaybeUninit::uninit());
                Ok(())
            }
            _ => handle.try_extend_from_slice(&vec![stamp; amount]).map(|()| bytes.resize(bytes.len() + amount, stamp)),
        };
        assert!(grown.is_ok() || (grown == Err(Error::Closed) && buf.closed.get()), "{op:?}: {grown:?}");
        buf.compare();
    }

    /// A unique buffer that is no longer one.
    fn give_up(&mut self, Op { what, which, .. }: Op) {
        let Some(Modelled { handle, bytes, closed }) = take(&mut self.bufs, which) else { return };
        match what {
            What::Freeze => keep(&mut self.frozen, Modelled { handle: handle.freeze(), bytes, closed }),
            What::DropElsewhere => std::thread::spawn(move || drop(handle)).join().unwrap(),
            _ => drop(handle),
        }
    }

    fn take_frozen(&mut self, Op { what, which, .. }: Op) {
        let Some(Modelled { handle, bytes, closed }) = take(&mut self.frozen, which) else { return };
        match what {
            What::Thaw => {
                let unique = handle.is_unique();
                match handle.try_into_mut() {
                    Ok(handle) => {
                        assert!(unique);
                        keep(&mut self.bufs, Modelled { handle, bytes, closed });
                    }
                    Err(handle) => {
                        assert!(!unique);
                        keep(&mut self.frozen, Modelled { handle, bytes, closed });
                    }
                }
            }
            What::Compact => keep(&mut self.frozen, Modelled { handle: handle.compact(), bytes, closed }),
            _ => drop(handle),
        }
    }

    /// Makes two handles of a frozen one, or a shorter one.
    fn part(&mut self, Op { what, which, amount }: Op) {
        let Some(whole) = pick(&mut self.frozen, which) else { return };
        let at = amount % (whole.bytes.len() + 1);
        let (handle, bytes) = match what {
            What::Share => (whole.handle.clone(), whole.bytes.clone()),
            What::Slice => {
                let end = at + (whole.bytes.len() - at) / 2;
                (whole.handle.slice(at..end), whole.bytes[at..end].to_vec())
            }
            What::SplitTo => {
                let rest = whole.bytes.split_off(at);
                (whole.handle.split_to(at), std::mem::replace(&mut whole.bytes, rest))
            }
            What::SplitOff => (whole.handle.split_off(at), whole.bytes.split_off(at)),
            _ => {
                whole.handle.truncate(at);
                whole.bytes.truncate(at);
                (PooledBytes::new(), Vec::new())
            }
        };
        whole.compare();
        let closed = whole.closed.clone();
        keep(&mut self.frozen, Modelled { handle, bytes, closed });
    }

    fn replace_pool(&mut self, Op { what, which, .. }: Op) {
        let which = which % self.pools.len();
        if what == What::Close {
            self.pools[which].pool.close();
            self.pools[which].closed.set(true);
            assert_eq!(self.pools[which].pool.try_get(1).unwrap_err(), Error::Closed);
        }
        self.pools[which] = Pool::new(which);
    }

    /// Compares all handles, then drops them: nothing may be left out.
    pub fn finish(mut self) {
        self.bufs.iter().for_each(Modelled::compare);
        self.frozen.iter().for_each(Modelled::compare);
        self.bufs.clear();
        self.frozen.clear();
        for pool in &self.pools {
            let stats = pool.pool.stats();
            assert_adds_up(&stats);
            assert_eq!(stats.outstanding, 0, "{stats}");
        }
    }
}

impl<H: AsRef<[u8]>> Modelled<H> {
    fn compare(&self) {
        assert_eq!(*self.handle.as_ref(), self.bytes[..]);
    }
}

fn keep<H: AsRef<[u8]>>(held: &mut Vec<Modelled<H>>, new: Modelled<H>) {
    new.compare();
    if held.len() == HELD {
        held.swap_remove(0).compare();
    }
    held.push(new);
}

fn pick<H>(held: &mut [Modelled<H>], which: usize) -> Option<&mut Modelled<H>> {
    let at = which.checked_rem(held.len())?;
    held.get_mut(at)
}

fn take<H>(held: &mut Vec<Modelled<H>>, which: usize) -> Option<Modelled<H>> {
    let at = which.checked_rem(held.len())?;
    Some(held.swap_remove(at))
}

fn assert_adds_up(stats: &Stats) {
    let hits = stats.cache_hits + stats.depot_hits + stats.stolen;
    assert_eq!(stats.gets, hits + stats.fresh + stats.oversize, "{stats}");
    assert_eq!(stats.footprint, stats.outstanding + stats.idle_in_caches + stats.idle_in_depot, "{stats}");
}
