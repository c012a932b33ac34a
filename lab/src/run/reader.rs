//! The reading threads: claim the next file, read it in chunks, hand every chunk to the file's hashing thread.

use std::fs::File;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::SyncSender;

use indicatif::ProgressBar;

use super::hasher::Message;
use super::problems::Problems;
use super::source::Source;
use super::walk::Tree;
use crate::interrupt;

/// What all readers of a round share.
pub struct Reader<'a, S: Source> {
    pub tree: &'a Tree,
    pub source: &'a S,
    pub chunk: usize,
    /// The first file that nobody has claimed.
    pub next: &'a AtomicUsize,
    pub problems: &'a Problems,
    pub bar: &'a ProgressBar,
}

/// The round is over for this thread: the user interrupted it, or a hashing thread is gone.
struct Over;

impl<S: Source> Reader<'_, S> {
    /// Reads files until none is left. `hashers` are the same channels for every reader.
    pub fn work(&self, hashers: &[SyncSender<Message<S::Filled>>]) {
        // Relaxed: the counter only shares out numbers, the files themselves were found before the threads began.
        while let Some(index) = Some(self.next.fetch_add(1, Ordering::Relaxed)).filter(|i| *i < self.tree.files.len()) {
            // All of a file's chunks go to one thread, over one channel, so they arrive in order.
            if self.file(index, &hashers[index % hashers.len()]).is_err() {
                return;
            }
        }
    }

    fn file(&self, file: usize, hasher: &SyncSender<Message<S::Filled>>) -> Result<(), Over> {
        let entry = &self.tree.files[file];
        let path = self.tree.root.join(&entry.path);
        let read = File::open(&path)
            .map_err(Stop::from)
            .and_then(|mut opened| self.chunks(file, &mut opened, entry.len, hasher));
        let last = match read {
            Ok(()) => Message::End { file },
            Err(Stop::Over) => return Err(Over),
            Err(Stop::Failed(error)) => {
                self.problems.report(self.bar, &path, error);
                Message::Lost { file }
            }
        };
        hasher.send(last).map_err(|_| Over)
    }

    /// `left` is how much the file is believed to hold. One byte more is asked for, so that the read which takes the
    /// last byte also meets the end; a file that has grown is read on in whole chunks.
    fn chunks(
        &self,
        file: usize,
        opened: &mut File,
        mut left: u64,
        hasher: &SyncSender<Message<S::Filled>>,
    ) -> Result<(), Stop> {
        loop {
            if interrupt::requested() {
                return Err(Stop::Over);
            }
            let want =
                if left == 0 { self.chunk } else { self.chunk.min(usize::try_from(left + 1).unwrap_or(usize::MAX)) };
            let data = self.source.read(opened, want)?;
            let len = data.as_ref().len();
            self.bar.inc(len as u64);
            if len > 0 {
                hasher.send(Message::Chunk { file, data }).map_err(|_| Stop::Over)?;
            }
            if len < want {
                return Ok(());
            }
            left = left.saturating_sub(len as u64);
        }
    }
}

enum Stop {
    Over,
    Failed(io::Error),
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Self::Failed(error)
    }
}
