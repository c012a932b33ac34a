//! Whatever the options of its memory, a pool keeps its promises: random options and sequences of operations.
#![cfg(all(target_os = "linux", not(miri)))]

#[path = "model/options.rs"]
mod options;

use proptest::collection::vec;
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_options_and_any_sequence(bytes in vec(any::<u8>(), 0..300)) {
        options::run(&bytes);
    }
}
