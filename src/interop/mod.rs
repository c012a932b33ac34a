//! What other libraries need of buffers, one file or folder for each, behind a feature that names its version.

#[cfg(feature = "compio-buf-08")]
mod compio_buf;
#[cfg(feature = "compio-driver-012")]
pub(crate) mod compio_driver;
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
#[cfg(all(feature = "monoio-02", target_os = "linux"))]
pub(crate) mod monoio;
#[cfg(all(feature = "tokio-uring-05", target_os = "linux"))]
mod tokio_uring;
