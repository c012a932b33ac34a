//! Any sequence of operations does to pools and handles what it does to a naive model.
#![allow(unsafe_code)] // The model sets lengths.

#[allow(unreachable_pub)] // The fuzz target uses it, too.
mod model;

use model::{OP_BYTES, Op, World};
use proptest::collection::vec;
use proptest::prelude::*;

const CASES: u32 = if cfg!(miri) { 4 } else { 400 };
const LENGTH: usize = if cfg!(miri) { 40 } else { 250 };

proptest! {
    #![proptest_config(ProptestConfig { cases: CASES, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn pools_do_what_the_model_does(ops in vec(any::<[u8; OP_BYTES]>().prop_map(Op::from_bytes), 1..LENGTH)) {
        let mut world = World::new();
        ops.into_iter().for_each(|op| world.apply(op));
        world.finish();
    }
}
