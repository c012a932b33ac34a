//! One pass over the tree with one source of buffers, and what it cost.

use std::sync::atomic::AtomicUsize;
use std::sync::mpsc::sync_channel;
use std::thread;
use std::time::{Duration, Instant};

use indicatif::ProgressBar;

use super::digest;
use super::hasher::{self, Hashed};
use super::problems::Problems;
use super::reader::Reader;
use super::source::{Kind, Malloc, Millpond, Source};
use super::view::View;
use super::walk::Tree;
use crate::process;

/// Chunks that wait for one hashing thread before its readers do.
const QUEUE: usize = 16;

/// How a round is done; the same for every source.
#[derive(Clone, Copy)]
pub struct Shape {
    /// Reading threads, and as many hashing threads.
    pub threads: usize,
    pub chunk: usize,
    /// The most that a pool of millpond's may have; None: what the process may have.
    pub max_memory: Option<usize>,
}

/// What a round gave and what it cost.
pub struct Outcome {
    pub digest: blake3::Hash,
    /// Files read to their end.
    pub files: usize,
    pub bytes: u64,
    pub elapsed: Duration,
    pub faults: Option<u64>,
    pub peak: Option<u64>,
    pub statistics: Option<String>,
}

impl Outcome {
    pub fn mib_per_second(&self) -> f64 {
        self.bytes as f64 / f64::from(1 << 20) / self.elapsed.as_secs_f64()
    }
}

/// Reads and hashes the whole tree.
pub fn run(kind: Kind, tree: &Tree, shape: Shape, problems: &Problems, bar: &ProgressBar, view: &View) -> Outcome {
    match kind {
        Kind::Millpond => {
            let source = Millpond::new(shape.max_memory);
            view.with_pool(source.pool(), || measure(&source, tree, shape, problems, bar))
        }
        Kind::Malloc => measure(&Malloc, tree, shape, problems, bar),
    }
}

fn measure<S: Source>(source: &S, tree: &Tree, shape: Shape, problems: &Problems, bar: &ProgressBar) -> Outcome {
    process::forget_peak();
    let faults = process::page_faults();
    let begin = Instant::now();
    let hashed = pass(source, tree, shape, problems, bar);
    let elapsed = begin.elapsed();
    let files = hashed.iter().flat_map(|hashed| &hashed.files).map(|&(file, hash)| (&*tree.files[file].path, hash));
    Outcome {
        digest: digest::combine(files),
        files: hashed.iter().map(|hashed| hashed.files.len()).sum(),
        bytes: hashed.iter().map(|hashed| hashed.bytes).sum(),
        elapsed,
        faults: process::page_faults().zip(faults).map(|(after, before)| after - before),
        peak: process::peak_resident(),
        statistics: source.statistics(),
    }
}

fn pass<S: Source>(source: &S, tree: &Tree, shape: Shape, problems: &Problems, bar: &ProgressBar) -> Vec<Hashed> {
    let reader = Reader { tree, source, chunk: shape.chunk, next: &AtomicUsize::new(0), problems, bar };
    thread::scope(|scope| {
        let (senders, receivers): (Vec<_>, Vec<_>) = (0..shape.threads).map(|_| sync_channel(QUEUE)).unzip();
        let hashers: Vec<_> =
            receivers.into_iter().map(|messages| scope.spawn(move || hasher::work(&messages))).collect();
        for _ in 0..shape.threads {
            let (reader, senders) = (&reader, senders.clone());
            scope.spawn(move || reader.work(&senders));
        }
        // The hashing threads end when the last reader's channels close.
        drop(senders);
        hashers.into_iter().map(|hasher| hasher.join().expect("hashing does not panic")).collect()
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::run::walk;

    #[test]
    fn a_file_that_vanished_is_reported_and_the_rest_is_done() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("there"), b"content").unwrap();
        let files = ["gone", "there"].map(|name| walk::File { path: name.into(), len: 7 });
        let tree = Tree { root: folder.path().into(), files: files.into(), links: 0 };
        let shape = Shape { threads: 2, chunk: 4, max_memory: None };
        for kind in [Kind::Millpond, Kind::Malloc] {
            let problems = Problems::default();
            let outcome = run(kind, &tree, shape, &problems, &ProgressBar::hidden(), &View::default());
            assert_eq!((outcome.files, outcome.bytes, problems.count()), (1, 7, 1));
            let there = ["there"].map(|name| (name.as_ref(), blake3::hash(b"content")));
            assert_eq!(outcome.digest, digest::combine(there));
        }
    }
}
