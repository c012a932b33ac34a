//! Where the bytes of a chunk live: the two sides of the comparison.

use std::fs::File;
use std::io::{self, Read};

use clap::ValueEnum;
use millpond::{Budget, BufferPool, BufferPoolBuilder, Error, PooledBuf, PooledBytes, Recycled};

/// What buffers come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// A `BufferPool` with its defaults, new for each round
    Millpond,
    /// The global allocator: one `Vec` per chunk
    Malloc,
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Self::Millpond => "millpond",
            Self::Malloc => "malloc",
        }
    }
}

/// Gives filled buffers; whoever drops them, on whatever thread, gives them back.
pub trait Source: Sync {
    type Filled: AsRef<[u8]> + Send;

    /// Reads until `want` bytes are there or the file ends.
    fn read(&self, file: &mut File, want: usize) -> io::Result<Self::Filled>;

    /// What the source knows about itself, for the report.
    fn statistics(&self) -> Option<String>;
}

/// A pool's buffers, frozen for the way to the hashing thread.
pub struct Millpond {
    pool: BufferPool,
    /// The pool's own, where it was given a limit.
    budget: Option<Budget>,
}

impl Millpond {
    /// At most so many bytes; None: with the pool's defaults.
    pub fn new(max_memory: Option<usize>) -> Self {
        let budget = max_memory.map(|max| Budget::process().child(max));
        let builder = BufferPool::builder().name("chunks");
        let builder = budget.iter().fold(builder, BufferPoolBuilder::budget);
        Self { pool: builder.build().expect("nothing is prefilled"), budget }
    }

    /// The pool, and the budget it is on.
    pub fn pool(&self) -> (&BufferPool, &Budget) {
        (&self.pool, self.budget.as_ref().unwrap_or_else(|| Budget::process()))
    }

    /// Stands in line where the budget is spent: hashing threads give back what they have without waiting for anybody.
    fn get(&self, want: usize) -> Result<PooledBuf, Error> {
        match self.pool.try_get(Recycled(want)) {
            Err(Error::OverBudget { .. } | Error::Queued { .. }) => self.pool.acquire(Recycled(want)).wait(),
            now => now,
        }
    }
}

impl Source for Millpond {
    type Filled = PooledBytes;

    fn read(&self, file: &mut File, want: usize) -> io::Result<PooledBytes> {
        let mut buf = self.get(want)?;
        let len = fill(file, &mut buf)?;
        buf.truncate(len);
        Ok(buf.freeze())
    }

    fn statistics(&self) -> Option<String> {
        let stats = self.pool.stats().to_string();
        Some(self.budget.iter().fold(stats, |text, budget| format!("{text}\n{budget}")))
    }
}

fn fill(file: &mut File, buf: &mut [u8]) -> io::Result<usize> {
    let mut len = 0;
    while len < buf.len() {
        match file.read(&mut buf[len..]) {
            Ok(0) => break,
            Ok(n) => len += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(len)
}

/// One `Vec` per chunk, read into without zeroing it first: the best that can be done without a pool.
pub struct Malloc;

impl Source for Malloc {
    type Filled = Vec<u8>;

    #[cfg(unix)]
    fn read(&self, file: &mut File, want: usize) -> io::Result<Vec<u8>> {
        let mut buf = Vec::with_capacity(want);
        while buf.len() < want {
            match rustix::io::read(&*file, rustix::buffer::spare_capacity(&mut buf)) {
                Ok(0) => break,
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(buf)
    }

    #[cfg(not(unix))]
    fn read(&self, file: &mut File, want: usize) -> io::Result<Vec<u8>> {
        let mut buf = vec![0; want];
        let len = fill(file, &mut buf)?;
        buf.truncate(len);
        Ok(buf)
    }

    fn statistics(&self) -> Option<String> {
        None
    }
}
