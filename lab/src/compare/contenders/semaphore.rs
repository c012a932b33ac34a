//! Tokio's semaphore in front of a stack of boxes: what programs write that need a bounded pool to wait for.

use std::mem;
use std::sync::Mutex;

use tokio::sync::SemaphorePermit;

use crate::compare::contender::{Kind, Plan};
use crate::compare::waiting::Waiting;

pub struct Semaphore {
    permits: tokio::sync::Semaphore,
    idle: Mutex<Vec<Box<[u8]>>>,
}

/// A box on its way back before its permit.
pub struct Permitted<'p> {
    bytes: Box<[u8]>,
    pool: &'p Semaphore,
    _permit: SemaphorePermit<'p>,
}

impl Waiting for Semaphore {
    const NAME: &'static str = "semaphore and mutex";
    const KIND: Kind = Kind::Pool;

    type Held<'p> = Permitted<'p>;

    fn new(plan: &Plan) -> Self {
        let idle: Vec<_> = plan.out.iter().map(|&bytes| vec![0; bytes].into_boxed_slice()).collect();
        Self { permits: tokio::sync::Semaphore::new(idle.len()), idle: Mutex::new(idle) }
    }

    #[inline]
    async fn acquire(&self) -> Permitted<'_> {
        let permit = self.permits.acquire().await.expect("nobody closes it");
        let bytes = self.idle.lock().expect("nobody panics with it").pop().expect("a box for each permit");
        Permitted { bytes, pool: self, _permit: permit }
    }

    #[inline]
    fn touch<'b>(held: &'b mut Permitted<'_>) -> &'b mut u8 {
        held.bytes[0] = 1;
        &mut held.bytes[0]
    }
}

impl Drop for Permitted<'_> {
    #[inline]
    fn drop(&mut self) {
        self.pool.idle.lock().expect("nobody panics with it").push(mem::take(&mut self.bytes));
    }
}
