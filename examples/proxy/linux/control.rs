//! Orders and answers, lines of words over a Unix socket, between the process that measures and those that it starts.
//!
//! A process that was started ends when its socket is closed: so none outlives the one that started it, however that ends.

use std::fmt::Display;
use std::io::{self, BufRead, BufReader, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use crate::linux::Result;

/// How long a process may take to end when it is told to.
const END: Duration = Duration::from_secs(5);

/// A process that was started, and the line to it.
pub(crate) struct Peer {
    name: &'static str,
    socket: BufReader<UnixStream>,
    process: Child,
}

impl Peer {
    pub(crate) fn start(name: &'static str, mut command: Command) -> Result<Self> {
        let (socket, theirs) = UnixStream::pair()?;
        let process = command.stdin(Stdio::from(OwnedFd::from(theirs))).spawn()?;
        Ok(Peer { name, socket: BufReader::new(socket), process })
    }

    /// What it says next, as words.
    pub(crate) fn hear(&mut self, deadline: Duration) -> Result<Vec<String>> {
        self.socket.get_ref().set_read_timeout(Some(deadline))?;
        let mut line = String::new();
        match self.socket.read_line(&mut line) {
            Ok(0) => Err(format!("the {} has ended", self.name).into()),
            Ok(_) => Ok(line.split_whitespace().map(str::to_owned).collect()),
            Err(error) => Err(format!("the {} says nothing for {deadline:?}: {error}", self.name).into()),
        }
    }

    /// An order, and what comes of it.
    pub(crate) fn ask(&mut self, order: impl Display, deadline: Duration) -> Result<Vec<String>> {
        self.order(order)?;
        self.hear(deadline)
    }

    pub(crate) fn order(&mut self, order: impl Display) -> Result<()> {
        writeln!(self.socket.get_ref(), "{order}").map_err(|error| format!("the {}: {error}", self.name).into())
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // An error says that it has ended.
        drop(self.socket.get_ref().shutdown(Shutdown::Both));
        let begun = Instant::now();
        while let Ok(None) = self.process.try_wait() {
            if begun.elapsed() > END {
                // The same.
                drop(self.process.kill());
            }
            thread::sleep(Duration::from_millis(1));
        }
    }
}

/// The line to the process that started this one.
pub(crate) struct Orders {
    lines: mpsc::Receiver<String>,
    answers: UnixStream,
}

impl Orders {
    /// Takes what was given as standard input. From then on, this process ends when the other does.
    pub(crate) fn take() -> Result<Self> {
        let answers = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
        answers.peer_addr().map_err(|_| "only the example itself starts its parts")?;
        let socket = BufReader::new(answers.try_clone()?);
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || {
            for line in socket.lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
            std::process::exit(0);
        });
        Ok(Orders { lines, answers })
    }

    /// The next order.
    pub(crate) fn next(&self) -> Result<String> {
        Ok(self.lines.recv()?)
    }

    pub(crate) fn answer(&self, words: impl Display) -> Result<()> {
        Ok(writeln!(&self.answers, "{words}")?)
    }
}
