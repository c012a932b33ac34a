//! The byte face: requests, size classes, the two handles over a slot's memory, and chains of them.

pub(crate) mod buf;
pub(crate) mod chain;
mod classes;
pub(crate) mod frozen;
mod many;
pub(crate) mod order;
mod outstanding;
pub(crate) mod pool;
pub(crate) mod raw;
pub(crate) mod regions;
pub(crate) mod request;

pub(crate) use classes::{MAX_CLASSES, SizeClass, SizeClasses, default_sizes, step_of};
