//! millpond

mod memory;
