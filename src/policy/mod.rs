//! What the pools of both faces decide alike: options, budgets, waiting, errors and statistics.

pub(crate) mod acquire;
pub(crate) mod beat;
pub(crate) mod budget;
pub(crate) mod builder;
pub(crate) mod error;
pub(crate) mod eviction;
pub(crate) mod maintenance;
#[cfg(feature = "track")]
pub(crate) mod outstanding;
pub(crate) mod pressure;
pub(crate) mod quiescent;
pub(crate) mod stats;
#[cfg_attr(not(feature = "tracing-01"), path = "told/silence.rs")]
pub(crate) mod told;
