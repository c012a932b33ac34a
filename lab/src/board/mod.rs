//! What a running command lets others see of it: `top` looks at it from another process.
//!
//! The command listens in a folder of the user's, under its process number. Whoever comes is told a line of JSON a few times
//! a second, until the command ends. Nothing is read from those who look, and nobody is waited for: who reads too slowly
//! misses lines. While nobody looks, nothing is put together.

#[cfg_attr(unix, path = "unix.rs")]
#[cfg_attr(not(unix), path = "tcp.rs")]
mod door;
pub mod place;
pub mod snapshot;
// Compiled where it is not used, so that its test runs there, too.
#[cfg(all(test, unix))]
mod tcp;

use std::fs;
use std::io::{self, ErrorKind, Write};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

pub use self::door::{Stream, connect};
use self::snapshot::Snapshot;
use crate::failure::complain;

/// Who comes when so many look already is sent away.
const MOST: usize = 16;
/// After an error, such as that there are no more files to be had.
const PAUSE: Duration = Duration::from_millis(200);

/// Tells whoever looks how a command is doing, until it is dropped.
pub struct Board {
    watchers: Arc<Watchers>,
    /// Where it listens, if it does.
    path: Option<PathBuf>,
}

#[derive(Default)]
struct Watchers {
    /// How many there are, to be asked without the lock.
    count: AtomicUsize,
    all: Mutex<Vec<Watcher<Stream>>>,
}

impl Board {
    /// A board of this process. Where nobody can come, that is said, and the command goes on.
    pub fn open() -> Self {
        let watchers = Arc::<Watchers>::default();
        let path = match listen(&watchers) {
            Ok(path) => Some(path),
            Err(error) => {
                complain(format_args!("`top` cannot look at this: {error}"));
                None
            }
        };
        Self { watchers, path }
    }

    /// Tells those who look, if anybody does. Takes as long as `make` and a few writes that never wait.
    pub fn post(&self, make: impl FnOnce() -> Snapshot) {
        // Relaxed: who has come just now is told the next time.
        if self.watchers.count.load(Relaxed) == 0 {
            return;
        }
        let mut line = serde_json::to_vec(&make()).expect("numbers and names");
        line.push(b'\n');
        let mut all = self.watchers.all();
        all.retain_mut(|watcher| watcher.tell(&line).is_ok());
        self.watchers.count.store(all.len(), Relaxed);
    }
}

impl Drop for Board {
    fn drop(&mut self) {
        // Before the connections end, so that whoever sees that finds nobody here.
        let removed = self.path.take().map_or(Ok(()), fs::remove_file);
        if let Err(error) =
            removed.or_else(|error| if error.kind() == ErrorKind::NotFound { Ok(()) } else { Err(error) })
        {
            complain(error);
        }
        self.watchers.all().clear();
    }
}

impl Watchers {
    fn all(&self) -> MutexGuard<'_, Vec<Watcher<Stream>>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, stream: io::Result<Stream>) {
        let ready = stream.and_then(|stream| stream.set_nonblocking(true).map(|()| stream));
        let Ok(stream) = ready else { return thread::sleep(PAUSE) };
        let mut all = self.all();
        if all.len() < MOST {
            all.push(Watcher { stream, unsent: Vec::new() });
            self.count.store(all.len(), Relaxed);
        }
    }
}

/// Starts the thread that lets watchers in; where they find it.
fn listen(watchers: &Arc<Watchers>) -> io::Result<PathBuf> {
    let folder = place::folder()?;
    place::tidy(&folder);
    let (listener, path) = door::listen(&folder, std::process::id())?;
    let watchers = watchers.clone();
    // It ends with the process.
    let serve = move || listener.incoming().for_each(|stream| watchers.add(stream));
    let started = thread::Builder::new().name("watchers".into()).spawn(serve);
    if let Err(error) = started {
        fs::remove_file(&path)?;
        return Err(error);
    }
    Ok(path)
}

/// Somebody who looks, and what is left of the line that did not get through at once.
struct Watcher<S> {
    stream: S,
    unsent: Vec<u8>,
}

impl<S: Write> Watcher<S> {
    /// Sends a line, or as much of it as goes; nothing of it while an earlier one is not through.
    fn tell(&mut self, line: &[u8]) -> io::Result<()> {
        let sent = send(&mut self.stream, &self.unsent)?;
        self.unsent.drain(..sent);
        if self.unsent.is_empty() {
            let sent = send(&mut self.stream, line)?;
            self.unsent.extend_from_slice(&line[sent..]);
        }
        Ok(())
    }
}

/// How much of it went without waiting.
fn send(stream: &mut impl Write, bytes: &[u8]) -> io::Result<usize> {
    let mut sent = 0;
    while sent < bytes.len() {
        match stream.write(&bytes[sent..]) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(more) => sent += more,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) => return Err(error),
        }
    }
    Ok(sent)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes so many bytes at once, until somebody reads.
    #[derive(Default)]
    struct Narrow {
        room: usize,
        taken: Vec<u8>,
    }

    impl Write for Narrow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let count = bytes.len().min(self.room).min(3);
            self.room -= count;
            self.taken.extend(&bytes[..count]);
            if count == 0 { Err(ErrorKind::WouldBlock.into()) } else { Ok(count) }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn who_reads_slowly_misses_lines_and_gets_whole_ones() {
        let mut watcher = Watcher { stream: Narrow::default(), unsent: Vec::new() };
        for (room, line) in [(7, "first\n"), (0, "second\n"), (2, "third\n"), (100, "fourth\n"), (100, "fifth\n")] {
            watcher.stream.room += room;
            watcher.tell(line.as_bytes()).unwrap();
        }
        assert_eq!(String::from_utf8(watcher.stream.taken).unwrap(), "first\nsecond\nfourth\nfifth\n");
    }

    #[test]
    fn who_is_gone_is_forgotten() {
        struct Gone;
        impl Write for Gone {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        assert!(Watcher { stream: Gone, unsent: Vec::new() }.tell(b"line\n").is_err());
    }
}
