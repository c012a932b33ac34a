//! Any bytes are options of a pool's memory and operations on that pool, which keep its promises whatever the options are.

use millpond::{
    BufferPool, BuildError, Capacity, Error, HugePages, Maintenance, Memory, Need, Node, PooledBuf, Zeroing,
};

/// Live buffers at most, and bytes of the largest.
const LIVE: usize = 24;
const LARGEST: usize = 5 << 20;

/// Reads numbers from bytes, zeroes at their end.
struct Bytes<'a>(&'a [u8]);

impl Bytes<'_> {
    fn next(&mut self) -> u8 {
        let Some((&first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        first
    }

    fn need(&mut self) -> Option<Need> {
        match self.next() % 3 {
            0 => None,
            1 => Some(Need::Prefer),
            _ => Some(Need::Require),
        }
    }

    /// Small ones mostly, and often at the ends of OS pages and classes.
    fn size(&mut self) -> usize {
        let (exponent, rest) = (u32::from(self.next() % 23), usize::from(self.next()));
        ((1 << exponent) + rest).saturating_sub(128).min(LARGEST)
    }
}

fn memory(bytes: &mut Bytes<'_>) -> Memory {
    let mut memory = if bytes.next() % 8 == 0 { Memory::heap() } else { Memory::mapped() };
    let asks: [fn(Memory, Need) -> Memory; 5] =
        [Memory::locked, Memory::prefault, Memory::exclude_from_dumps, Memory::wipe_on_fork, Memory::guard_pages];
    for ask in asks {
        if let Some(need) = bytes.need() {
            memory = ask(memory, need);
        }
    }
    if let Some(need) = bytes.need() {
        let pages = if bytes.next() % 2 == 0 { HugePages::Transparent } else { HugePages::Explicit2M };
        memory = memory.huge_pages(pages, need);
    }
    if let Some(need) = bytes.need() {
        let number = u32::from(bytes.next() % 4);
        memory = memory.numa([Node::Bind(number), Node::Preferred(number), Node::Local][number as usize % 3], need);
    }
    memory
}

/// A buffer and the byte that it is full of.
struct Held {
    buf: PooledBuf,
    mark: u8,
}

impl Held {
    fn new(mut buf: PooledBuf, mark: u8) -> Self {
        buf.fill(mark);
        Held { buf, mark }
    }

    fn check(&self) {
        assert!(all_are(&self.buf, self.mark), "a buffer of {} bytes has changed", self.buf.len());
    }
}

fn all_are(bytes: &[u8], byte: u8) -> bool {
    bytes.first().is_none_or(|&first| first == byte && bytes[1..] == bytes[..bytes.len() - 1])
}

/// What becomes of a request that found no memory: nothing, if it says why.
fn served<T>(result: Result<T, Error>) -> Option<T> {
    match result {
        Ok(value) => Some(value),
        Err(Error::Refused { requested, .. }) => {
            assert!(requested > 0);
            None
        }
        Err(error) => panic!("{error}"),
    }
}

pub(crate) fn run(bytes: &[u8]) {
    let mut bytes = Bytes(bytes);
    let memory = memory(&mut bytes);
    let alignment = 1 << (bytes.next() % 22);
    let zeroing = if bytes.next() % 2 == 0 { Zeroing::OnReturn } else { Zeroing::OnGet };
    let builder = BufferPool::builder().size_classes([64, 1 << 10, 5000, 64 << 10, 300_000, 1 << 20, 2 << 20]);
    // Without a thread of its own, which could be ending when a fuzzer looks for leaks.
    let builder = builder.memory(memory).alignment(alignment).zeroing(zeroing).maintenance(Maintenance::Manual);
    let pool = match builder.build() {
        Ok(pool) => pool,
        Err(BuildError::Refused { requested, .. }) => return assert!(requested > 0),
        Err(error) => panic!("{error}"),
    };
    let mut held: Vec<Held> = Vec::new();
    while !bytes.0.is_empty() {
        let (what, mark) = (bytes.next(), bytes.next());
        match what % 8 {
            0..=2 if held.len() < LIVE => {
                let Some(buf) = served(pool.try_get(bytes.size())) else { continue };
                assert!(all_are(&buf, 0));
                assert_eq!(buf.as_ptr().addr() % alignment, 0);
                held.push(Held::new(buf, mark));
            }
            3 if held.len() + 3 < LIVE => {
                let size = bytes.size();
                let many = served(pool.try_get_many([Capacity(size), Capacity(size / 2), Capacity(size)]));
                held.extend(many.into_iter().flatten().map(|buf| Held::new(buf, mark)));
            }
            4 if !held.is_empty() => {
                let place = usize::from(mark) % held.len();
                let grown = &mut held[place];
                let more = vec![grown.mark; bytes.size() / 4];
                served(grown.buf.try_extend_from_slice(&more));
                grown.check();
                assert!(grown.buf.is_empty() || grown.buf.as_ptr().addr() % alignment == 0);
            }
            5 | 6 if !held.is_empty() => {
                let gone = held.swap_remove(usize::from(mark) % held.len());
                gone.check();
            }
            7 => {
                pool.trim(usize::from(mark) << 12);
            }
            _ => {}
        }
    }
    held.iter().for_each(Held::check);
    let stats = pool.stats();
    assert!(stats.memory.iter().all(|asked| asked.got <= asked.asked), "{stats}");
    drop(held);
    pool.trim(0);
    assert_eq!(pool.stats().footprint, 0);
}
