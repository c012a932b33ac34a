//! A TCP proxy whose buffers have a limit, beside the same proxy with a `BytesMut` for each direction of a connection, and
//! with a fresh `Vec` for each read.
//!
//! The pattern: *wait for readiness first, then acquire.* A connection that waits for something to read has no buffer. When
//! there is something, it acquires one, in its turn where the budget is spent, reads, writes, and hands the buffer back.
//! Nobody waits for a buffer who has one. See `pipe.rs`.
//!
//! What cannot be written, because the reader does not read, stays in its buffer; there is no other place for it. So slow
//! readers could take all buffers, and the rest would starve. Three rules are against it:
//!
//! 1. At most half of the budget, and what was on its way at that moment, gets stuck like that. From then on nobody reads
//!    anything before there is room to write it. Slow readers wait for that room without a buffer, and their senders are
//!    slowed down by TCP. The other half comes back as soon as it was taken.
//! 2. Room is no promise. Whoever has waited for a buffer for a second asks the connection that is stuck for longest to
//!    leave: it is reset, so that what was cut short cannot look complete, and counted. In the order of the line, everybody
//!    is served.
//! 3. Whoever has asked twenty times is reset as well.
//!
//! Idle connections may stay for as long as they like: what they cost is a task and two sockets. What the *system* keeps for
//! sockets no budget of a program knows; the proxy has it keep less of what is sent (`SO_SNDBUF`).
//!
//! Clients, proxy and upstream are processes of their own on this machine. It ends by itself, after about a minute. Linux
//! only.
//!
//! `cargo run --release --example proxy`

#[cfg(target_os = "linux")]
mod client;
#[cfg(target_os = "linux")]
mod control;
#[cfg(target_os = "linux")]
mod limits;
#[cfg(target_os = "linux")]
mod load;
#[cfg(target_os = "linux")]
mod mark;
#[cfg(target_os = "linux")]
mod options;
#[cfg(target_os = "linux")]
mod pipe;
#[cfg(target_os = "linux")]
mod process;
#[cfg(target_os = "linux")]
mod report;
#[cfg(target_os = "linux")]
mod roles;
#[cfg(target_os = "linux")]
mod run;
#[cfg(target_os = "linux")]
mod server;
#[cfg(target_os = "linux")]
mod settings;
#[cfg(target_os = "linux")]
mod source;
#[cfg(target_os = "linux")]
mod stuck;
#[cfg(all(target_os = "linux", test))]
mod tests;
#[cfg(target_os = "linux")]
mod turn;
#[cfg(target_os = "linux")]
mod upstream;
#[cfg(target_os = "linux")]
mod way;

#[cfg(target_os = "linux")]
type Result<T, E = Box<dyn std::error::Error + Send + Sync>> = std::result::Result<T, E>;

#[cfg(not(target_os = "linux"))]
fn main() {
    println!("proxy: what this measures, it reads from files that only Linux has");
}

#[cfg(target_os = "linux")]
fn main() -> std::process::ExitCode {
    run::main()
}
