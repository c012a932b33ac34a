//! The hashing threads: every file's chunks in order, as many files at once as there are readers.

use std::collections::HashMap;
use std::sync::mpsc::Receiver;

use blake3::{Hash, Hasher};

/// What a reader tells the hashing thread of a file, in this order: any number of chunks, then one of the others.
pub enum Message<B> {
    Chunk {
        file: usize,
        data: B,
    },
    End {
        file: usize,
    },
    /// The rest of the file could not be read: what came of it does not count.
    Lost {
        file: usize,
    },
}

/// Hashes until all readers are gone; gives each complete file's digest and the number of bytes hashed.
pub fn work<B: AsRef<[u8]>>(messages: &Receiver<Message<B>>) -> Hashed {
    let mut open: HashMap<usize, Hasher> = HashMap::new();
    let mut hashed = Hashed::default();
    for message in messages {
        match message {
            Message::Chunk { file, data } => {
                hashed.bytes += data.as_ref().len() as u64;
                open.entry(file).or_default().update(data.as_ref());
            }
            Message::End { file } => hashed.files.push((file, open.remove(&file).unwrap_or_default().finalize())),
            Message::Lost { file } => drop(open.remove(&file)),
        }
    }
    hashed
}

/// What one thread hashed.
#[derive(Default)]
pub struct Hashed {
    pub files: Vec<(usize, Hash)>,
    pub bytes: u64,
}
