//! Where buffers come from: a pool with a budget, one for each direction of a connection, or a fresh vector for each read.

use std::future::Future;
use std::ops::Deref;
use std::pin::pin;

use bytes::{BufMut, BytesMut};
use millpond::{Budget, BufferPool, Capacity, PooledBuf};
use tokio::time::timeout;

use crate::linux::pipe::Fault;
use crate::linux::settings::Settings;
use crate::linux::stuck::Stuck;

/// Where buffers come from.
pub(crate) trait Source: Send + Sync + 'static {
    type Buf: BufMut + Deref<Target = [u8]> + Send + Sync + 'static;

    /// An empty buffer with room. `kept` is what this direction of the connection keeps.
    fn take(
        &self,
        kept: &mut Option<Self::Buf>,
        settings: &Settings,
        stuck: &Stuck,
    ) -> impl Future<Output = Result<Self::Buf, Fault>> + Send;

    /// The buffer is not needed before something can be read again.
    fn give_back(&self, buf: Self::Buf, kept: &mut Option<Self::Buf>);

    /// How many buffers there can be at once.
    fn most(&self, _settings: &Settings) -> usize {
        usize::MAX
    }

    /// The pool, if there is one, and its budget.
    fn pool(&self) -> Option<(&BufferPool, &Budget)> {
        None
    }
}

/// Buffers of a pool. Who finds the budget spent waits its turn.
pub(crate) struct Pooled {
    pool: BufferPool,
    budget: Budget,
}

impl Pooled {
    pub(crate) fn new(settings: &Settings) -> Result<Self, millpond::BuildError> {
        let budget = Budget::new(settings.budget);
        let pool =
            BufferPool::builder().size_classes([settings.chunk]).budget(&budget).decay(settings.decay).build()?;
        Ok(Pooled { pool, budget })
    }
}

impl Source for Pooled {
    type Buf = PooledBuf;

    async fn take(&self, _: &mut Option<PooledBuf>, settings: &Settings, stuck: &Stuck) -> Result<PooledBuf, Fault> {
        let mut turn = pin!(self.pool.acquire(Capacity(settings.chunk)));
        for _ in 0..settings.tries {
            match timeout(settings.patience, &mut turn).await {
                Ok(buf) => return buf.map_err(|_| Fault::NoMemory),
                Err(_) => stuck.ask_one_to_leave(),
            }
        }
        Err(Fault::NoMemory)
    }

    fn give_back(&self, buf: PooledBuf, _: &mut Option<PooledBuf>) {
        drop(buf);
    }

    fn most(&self, settings: &Settings) -> usize {
        settings.budget / settings.chunk
    }

    fn pool(&self) -> Option<(&BufferPool, &Budget)> {
        Some((&self.pool, &self.budget))
    }
}

/// A `BytesMut` for each direction of a connection, used again and again. So do most programs.
pub(crate) struct Kept;

impl Source for Kept {
    type Buf = BytesMut;

    async fn take(&self, kept: &mut Option<BytesMut>, settings: &Settings, _: &Stuck) -> Result<BytesMut, Fault> {
        Ok(kept.take().unwrap_or_else(|| BytesMut::with_capacity(settings.chunk)))
    }

    fn give_back(&self, mut buf: BytesMut, kept: &mut Option<BytesMut>) {
        buf.clear();
        *kept = Some(buf);
    }
}

/// A `Vec` for each read.
pub(crate) struct Fresh;

impl Source for Fresh {
    type Buf = Vec<u8>;

    async fn take(&self, _: &mut Option<Vec<u8>>, settings: &Settings, _: &Stuck) -> Result<Vec<u8>, Fault> {
        Ok(Vec::with_capacity(settings.chunk))
    }

    fn give_back(&self, buf: Vec<u8>, _: &mut Option<Vec<u8>>) {
        drop(buf);
    }
}
