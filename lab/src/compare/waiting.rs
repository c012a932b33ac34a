//! What a row asks of everything that lets tasks wait for a buffer.

use super::contender::{Kind, Plan};

/// A way to share a fixed number of buffers among more tasks than there are buffers.
pub trait Waiting: Send + Sync + 'static {
    const NAME: &'static str;
    const KIND: Kind;

    /// One of the buffers; dropping it gives it back.
    type Held<'p>: Send
    where
        Self: 'p;

    /// Sets up for the buffers that are out in `plan`, and no more.
    fn new(plan: &Plan) -> Self;

    fn acquire(&self) -> impl Future<Output = Self::Held<'_>> + Send;

    /// Writes the first byte, and says where it is.
    fn touch<'b>(held: &'b mut Self::Held<'_>) -> &'b mut u8;
}

/// Something done with each of them in turn.
pub trait VisitWaiting {
    fn visit<W: Waiting>(&mut self);
}
