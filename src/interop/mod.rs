//! What other libraries need of buffers, one file or folder for each.

// Where the library has bindings for.
#[cfg(all(
    feature = "io-uring-07",
    target_os = "linux",
    any(
        target_arch = "x86_64",
        target_arch = "aarch64",
        target_arch = "riscv64",
        target_arch = "loongarch64",
        target_arch = "powerpc64"
    )
))]
pub mod io_uring_07;
