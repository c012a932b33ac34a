//! Three ways to have memory for a tensor.

use std::fs::File;
use std::hint::black_box;
use std::io::{self, ErrorKind, Read, Seek, SeekFrom};
use std::ops::Deref;
use std::time::Duration;

use memmap2::{Mmap, MmapOptions};
use millpond::{Budget, BufferPool, PooledBuf, Recycled};

use crate::Result;
use crate::model::Place;

/// The usual OS page. Where pages are larger, some are touched more than once.
const PAGE: usize = 4096;

pub(crate) trait Way {
    const NAME: &'static str;
    type Memory: Deref<Target = [u8]>;

    /// Takes memory for a tensor, and touches each OS page of it.
    fn take(&self, file: &File, place: Place) -> Result<Self::Memory>;

    /// Reads the tensor into its memory.
    fn fill(&self, memory: &mut Self::Memory, file: &File, place: Place) -> Result<()>;
}

/// A vector for each tensor, not zeroed.
pub(crate) struct Fresh;

impl Way for Fresh {
    const NAME: &'static str = "vector";
    type Memory = Vec<u8>;

    fn take(&self, _: &File, place: Place) -> Result<Vec<u8>> {
        let mut memory = Vec::with_capacity(place.len);
        for byte in memory.spare_capacity_mut().iter_mut().step_by(PAGE) {
            black_box(byte.write(1));
        }
        Ok(memory)
    }

    fn fill(&self, memory: &mut Vec<u8>, mut file: &File, place: Place) -> Result<()> {
        file.seek(SeekFrom::Start(place.offset))?;
        // Into the room of the vector, as it is.
        let count = file.take(place.len as u64).read_to_end(memory)?;
        if count < place.len { Err(io::Error::from(ErrorKind::UnexpectedEof).into()) } else { Ok(()) }
    }
}

/// A buffer of a pool for each tensor.
pub(crate) struct Pooled(BufferPool);

impl Pooled {
    /// A pool for these tensors. With the defaults, the largest would not be pooled, and most would not lie idle for the
    /// next load.
    pub(crate) fn new(places: &[Place]) -> Result<Self> {
        let mut sizes: Vec<_> = places.iter().map(|place| place.len).collect();
        let all = sizes.iter().sum();
        sizes.sort_unstable();
        sizes.dedup();
        let pool = BufferPool::builder()
            // One class for each size, since a model has few: nothing is lost to rounding, and the embeddings are pooled
            // too. The default classes end at 64 MiB.
            .size_classes(sizes)
            // All tensors may lie idle at once, as they do after a load with `--keep`. The default is 256 MiB at most.
            .max_idle(all)
            // By default idle memory goes back after ten seconds, and loads may be further apart.
            .decay(Duration::MAX)
            // The pool may have as much as one load needs, and no more. The default is a quarter of the process's memory.
            .budget(&Budget::new(all))
            .name("tensors")
            .build()?;
        Ok(Self(pool))
    }

    pub(crate) fn pool(&self) -> &BufferPool {
        &self.0
    }
}

impl Way for Pooled {
    const NAME: &'static str = "pool";
    type Memory = PooledBuf;

    fn take(&self, _: &File, place: Place) -> Result<PooledBuf> {
        // Old bytes, which the tensor's own will replace.
        let mut memory = self.0.try_get(Recycled(place.len))?;
        for byte in memory.iter_mut().step_by(PAGE) {
            *black_box(byte) = 1;
        }
        Ok(memory)
    }

    fn fill(&self, memory: &mut PooledBuf, mut file: &File, place: Place) -> Result<()> {
        file.seek(SeekFrom::Start(place.offset))?;
        Ok(file.read_exact(memory)?)
    }
}

/// A mapping of the file for each tensor: nothing is read, and nothing can be written.
pub(crate) struct Mapped;

impl Way for Mapped {
    const NAME: &'static str = "mmap";
    type Memory = Mmap;

    #[allow(unsafe_code)] // To map a file is to trust that nobody changes it.
    fn take(&self, file: &File, place: Place) -> Result<Mmap> {
        // SAFETY: the file is this process's own, and is not written to any more.
        let memory = unsafe { MmapOptions::new().offset(place.offset).len(place.len).map(file) }?;
        memory.iter().step_by(PAGE).for_each(|byte| _ = black_box(*byte));
        Ok(memory)
    }

    fn fill(&self, _: &mut Mmap, _: &File, _: Place) -> Result<()> {
        Ok(())
    }
}
