//! Programs that were written for the originals, with one line changed. `compat/originals` runs the same sources without
//! the change.

mod santh {
    use millpond_compat::santh as santh_bufpool;

    include!("programs/santh.rs");
}

mod zeropool_0_3 {
    use millpond_compat::zeropool;

    include!("programs/zeropool.rs");
}

mod kithara {
    use millpond_compat::kithara as kithara_bufpool;

    include!("programs/kithara.rs");
}
