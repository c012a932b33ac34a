//! What other libraries need of buffers and pools, one file or folder for each, behind a feature, which below 1.0 names the
//! version.

#[cfg(feature = "compio-buf-08")]
mod compio_buf;
#[cfg(feature = "compio-driver-012")]
pub(crate) mod compio_driver;
#[cfg(feature = "futures-io-03")]
pub(crate) mod futures_io;
#[cfg(feature = "http-body")]
mod http_body;
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
#[cfg(feature = "metrics-024")]
pub(crate) mod metrics;
#[cfg(all(feature = "monoio-02", target_os = "linux"))]
pub(crate) mod monoio;
#[cfg(any(feature = "metrics-024", feature = "prometheus-client-025"))]
mod numbers;
#[cfg(feature = "prometheus-client-025")]
pub(crate) mod prometheus_client;
#[cfg(feature = "serde")]
pub(crate) mod serde;
#[cfg(feature = "stable_deref_trait")]
mod stable_deref;
#[cfg(all(feature = "tokio-uring-05", target_os = "linux"))]
mod tokio_uring;
#[cfg(any(feature = "metrics-024", feature = "prometheus-client-025"))]
pub(crate) mod watched;
#[cfg(feature = "zeroize")]
mod zeroize;
