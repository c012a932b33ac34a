//! Any bytes are options of a pool's memory and a sequence of operations, whose promises hold.
#![no_main]

#[path = "../../tests/model/options.rs"]
mod options;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| options::run(bytes));
