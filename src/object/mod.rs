//! The object face: any value that can be used again.

pub(crate) mod builder;
mod global;
pub(crate) mod order;
mod outstanding;
pub(crate) mod pool;
pub(crate) mod pooled;
pub(crate) mod reuse;
pub(crate) mod slice;
