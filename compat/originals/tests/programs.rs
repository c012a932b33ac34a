//! The programs, with the pools that they were written for.

mod santh {
    include!("../../tests/programs/santh.rs");
}

mod zeropool_0_3 {
    include!("../../tests/programs/zeropool.rs");
}
