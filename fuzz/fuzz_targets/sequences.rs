//! Any bytes are a sequence of operations, which pools must do as the model does.
#![no_main]

#[path = "../../tests/model/mod.rs"]
mod model;

use libfuzzer_sys::fuzz_target;
use model::{OP_BYTES, Op, World};

fuzz_target!(|bytes: &[u8]| {
    let mut world = World::new();
    bytes.chunks_exact(OP_BYTES).for_each(|op| world.apply(Op::from_bytes(op.try_into().unwrap())));
    world.finish();
});
