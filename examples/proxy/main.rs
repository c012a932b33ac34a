//! A TCP proxy whose buffers have a limit, beside the same proxy with a `BytesMut` for each direction of a connection, and
//! with a fresh `Vec` for each read.
//!
//! The pattern: *wait for readiness first, then acquire.* A connection that waits for something to read has no buffer. When
//! there is something, it acquires one, in its turn where the budget is spent, reads, writes, and hands the buffer back.
//! Nobody waits for a buffer who has one. See `linux/pipe.rs`.
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
mod linux;

#[cfg(target_os = "linux")]
fn main() -> std::process::ExitCode {
    linux::main()
}

#[cfg(not(target_os = "linux"))]
fn main() {
    println!("proxy: what this measures, it reads from files that only Linux has");
}
