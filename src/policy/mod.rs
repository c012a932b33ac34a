//! What a pool is told and what it tells: options, errors, statistics.

pub(crate) mod builder;
pub(crate) mod error;
pub(crate) mod stats;
