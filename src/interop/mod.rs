//! The traits of other libraries, one file for each, behind a feature that names its version.

#[cfg(feature = "compio-buf-08")]
mod compio_buf;
#[cfg(feature = "compio-driver-012")]
pub(crate) mod compio_driver;
#[cfg(all(feature = "monoio-02", target_os = "linux"))]
pub(crate) mod monoio;
#[cfg(all(feature = "tokio-uring-05", target_os = "linux"))]
mod tokio_uring;
