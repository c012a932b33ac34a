//! Nothing: this crate is for its tests.
