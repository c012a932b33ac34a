//! The other side of a board: lines that come from a running command, until it ends.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use crate::board::place::Running;
use crate::board::snapshot::Snapshot;
use crate::board::{Stream, connect};
use crate::failure::Failure;

/// No line is so long; what is, comes from something else.
const LONGEST: u64 = 1 << 20;

/// What came from the command.
pub enum News {
    Now(Box<Snapshot>),
    /// Nothing more will come, and why.
    End(String),
}

/// Connects to a command; what comes is received on a thread that ends when the command does, or when nobody cares.
pub fn follow(running: &Running) -> Result<Receiver<News>, Failure> {
    let stream = connect(&running.path).map_err(|error| Failure::path(&running.path, error))?;
    let (sender, news) = channel();
    thread::Builder::new().name("follow".into()).spawn(move || receive(stream, &sender))?;
    Ok(news)
}

/// A command that listens at a path that the user gave.
pub fn at(path: &Path) -> Running {
    let name = path.file_stem().and_then(|name| name.to_str());
    Running { process: name.and_then(|name| name.parse().ok()).unwrap_or(0), path: path.to_owned() }
}

fn receive(stream: Stream, sender: &Sender<News>) {
    let end = lines(stream, |snapshot| sender.send(News::Now(Box::new(snapshot))).is_ok());
    // Nobody listens any more: then nobody asks, either.
    sender.send(News::End(end)).ok();
}

/// Gives on every line until there are no more, or `tell` wants none; why there are no more.
fn lines(stream: impl Read, mut tell: impl FnMut(Snapshot) -> bool) -> String {
    let mut reader = BufReader::new(stream);
    loop {
        let mut line = String::new();
        match (&mut reader).take(LONGEST).read_line(&mut line) {
            Ok(0) => return "it has ended".to_owned(),
            Ok(_) if !line.ends_with('\n') => return "it has ended in the middle of a line".to_owned(),
            Err(error) => return format!("it cannot be read: {error}"),
            Ok(_) => {}
        }
        match serde_json::from_str(&line) {
            Ok(snapshot) => {
                if !tell(snapshot) {
                    return "nobody looks".to_owned();
                }
            }
            Err(error) => return format!("it speaks otherwise, perhaps another version: {error}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str) -> (usize, String) {
        let mut count = 0;
        let end = lines(text.as_bytes(), |_| {
            count += 1;
            true
        });
        (count, end)
    }

    #[test]
    fn lines_are_told_until_they_end_or_are_no_snapshots() {
        let line = serde_json::to_string(&Snapshot::default()).unwrap();
        assert_eq!(told(""), (0, "it has ended".to_owned()));
        assert_eq!(told(&format!("{line}\n{line}\n")), (2, "it has ended".to_owned()));
        assert_eq!(told(&format!("{line}\n{}", &line[..20])), (1, "it has ended in the middle of a line".to_owned()));
        let (count, end) = told("HTTP/1.1 400 Bad Request\n");
        assert!(count == 0 && end.contains("another version"), "{end}");
        let (_, end) = told(&"x".repeat(LONGEST as usize + 1));
        assert!(end.contains("middle of a line"), "{end}");
    }
}
