//! Buffers of one pool that two processes work on, without a copy.
//!
//! The pool's memory is a file without a name that is mapped and shared. This process fills buffers, and lends them to
//! another one over a Unix socket: as three numbers each, which are region, offset and length. The file of a region
//! goes with the first buffer of it. The other process works on the bytes where they are, and hands the buffer back by
//! its number.
//!
//! The contract: *a buffer that was lent is the other's alone until it is handed back.* The lender keeps it, so that
//! nobody gets it meanwhile, and does not touch it. Neither can force the other: who shares memory trusts the peer to
//! keep to that. When a peer dies, what it had comes home.
//!
//! It ends by itself, and talks to nobody but the two processes that it starts. Unix only.
//!
//! `cargo run --release --example shared`

#[cfg(unix)]
mod file;
#[cfg(unix)]
mod lend;
#[cfg(unix)]
mod peer;
#[cfg(unix)]
mod wire;

#[cfg(unix)]
use lend::run;

#[cfg(not(unix))]
fn main() {
    println!("shared: there are no Unix sockets that pass files on this system");
}

#[cfg(unix)]
fn main() -> std::process::ExitCode {
    use std::io::Write;
    use std::process::{Command, ExitCode};

    let peer = |behaviour: &str| {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg(behaviour);
        Ok(command)
    };
    let result = match std::env::args().nth(1).as_deref() {
        None => run(peer, &mut std::io::stdout().lock()),
        Some(behaviour) if peer::BEHAVIOURS.contains(&behaviour) => peer::work(behaviour),
        Some(_) => {
            writeln!(std::io::stderr(), "usage: shared").ok();
            return ExitCode::from(2);
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            writeln!(std::io::stderr(), "shared: {error}").ok();
            ExitCode::FAILURE
        }
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::process::Command;

    use super::*;

    const BEHAVIOUR: &str = "MILLPOND_SHARED_PEER";

    /// What the other process runs, in tests. In this one it does nothing.
    #[test]
    fn peer() {
        if let Ok(behaviour) = std::env::var(BEHAVIOUR) {
            peer::work(&behaviour).unwrap();
        }
    }

    fn this_test(behaviour: &str) -> std::io::Result<Command> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["tests::peer", "--exact", "--nocapture"]).env(BEHAVIOUR, behaviour);
        command.stdout(std::process::Stdio::null());
        Ok(command)
    }

    #[test]
    fn everything_lent_comes_home_also_from_a_peer_that_is_killed() {
        let mut out = Vec::new();
        run(this_test, &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        for words in
            ["96 buffers lent and handed back", "killed with 8 buffers in hand", "0 buffers are out", "no region"]
        {
            assert!(text.contains(words), "{words} in {text}");
        }
    }
}
