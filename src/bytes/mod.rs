//! The byte face: requests, size classes, and the two handles over a slot's memory.

pub(crate) mod buf;
mod classes;
pub(crate) mod frozen;
mod many;
pub(crate) mod order;
pub(crate) mod pool;
pub(crate) mod raw;
pub(crate) mod regions;
pub(crate) mod request;

pub(crate) use classes::{MAX_CLASSES, SizeClass, SizeClasses, default_sizes, step_of};
