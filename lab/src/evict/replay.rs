//! A trace on a real pool.

use std::time::Duration;

use millpond::{Budget, BufferPool, Error, Eviction, Maintenance, Memory, PooledBuf, Recycled};

use super::trace::{Operation, Trace};

/// What the pool may keep.
#[derive(Clone, Copy)]
pub struct Room {
    pub max_idle: u64,
    /// Of them, in the thread's cache.
    pub thread_cache: u64,
}

/// How many gets find an idle buffer in a pool that evicts so.
pub fn hits(trace: &Trace, eviction: Eviction, room: Room) -> Result<u64, String> {
    let pool = pool(trace, eviction, room).map_err(|error| format!("{}: {error}", trace.name))?;
    let mut out: Vec<Vec<PooledBuf>> = trace.classes.iter().map(|_| Vec::new()).collect();
    for (index, operation) in trace.operations.iter().enumerate() {
        match *operation {
            Operation::Get(class) => {
                let size = trace.classes[usize::from(class)];
                let refused = |error: Error| format!("{}, operation {}: {error}", trace.name, index + 1);
                out[usize::from(class)].push(pool.try_get(Recycled(size)).map_err(refused)?);
            }
            Operation::Return(class) => drop(out[usize::from(class)].pop()),
        }
    }
    let stats = pool.stats();
    Ok(stats.gets - stats.fresh)
}

/// A pool in which nothing but eviction decides what stays, and that counts bytes as the trace has them. Its memory is
/// mapped, because nobody writes to it: OS pages that are never touched cost nothing, whereas a heap that large grows
/// and shrinks all the time.
fn pool(trace: &Trace, eviction: Eviction, room: Room) -> Result<BufferPool, millpond::BuildError> {
    BufferPool::builder()
        .size_classes(trace.classes.iter().copied())
        .alignment(1)
        .max_idle(usize::try_from(room.max_idle).unwrap_or(usize::MAX))
        .thread_cache(usize::try_from(room.thread_cache).unwrap_or(usize::MAX))
        .eviction(eviction)
        .decay(Duration::MAX)
        .maintenance(Maintenance::Manual)
        .budget(&Budget::new(usize::MAX))
        .memory(Memory::mapped())
        .build()
}
