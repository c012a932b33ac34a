//! What a proxy does and how long it waits for whom.

use std::time::Duration;

/// Settings of a proxy. Tests choose smaller ones.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// Bytes of a buffer.
    pub(crate) chunk: usize,
    /// Bytes of all buffers of a pool.
    pub(crate) budget: usize,
    /// The pool gives idle memory back to the system after twice this time.
    pub(crate) decay: Duration,
    /// Bytes that the system may keep for each socket until they are sent, memory that no pool knows of. Linux doubles it,
    /// and says that there is room when a third of it is free: that is to be more than a buffer.
    pub(crate) send_buffer: u32,
    /// Who waits so long for a buffer asks one who is stuck to leave. Nobody is asked who was stuck for less.
    pub(crate) patience: Duration,
    /// Who has asked so often gives up.
    pub(crate) tries: u32,
    /// How long an upstream may take to accept a connection.
    pub(crate) connect: Duration,
}

impl Settings {
    pub(crate) fn new(budget: usize) -> Self {
        Settings {
            chunk: 16 << 10,
            budget,
            decay: Duration::from_millis(500),
            send_buffer: 64 << 10,
            patience: Duration::from_secs(1),
            tries: 20,
            connect: Duration::from_secs(10),
        }
    }
}
