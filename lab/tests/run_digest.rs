//! The digest of a run is what the `blake3` crate says of the files read plainly, however they were read.

mod common;

use std::fs;
use std::path::Path;

use common::{figure, run, tree};

/// Around the sizes where chunks and reads end.
const FILES: [(&str, usize); 9] = [
    ("empty", 0),
    ("one", 1),
    ("a/below", 65_535),
    ("a/chunk", 65_536),
    ("a/above", 65_537),
    ("a/b/two chunks", 131_072),
    ("a/b/large", 3_000_001),
    ("a-b", 10),
    ("z/äöü", 4096),
];

/// The definition, in the plainest words: see `run/digest.rs`.
fn expected(root: &Path, files: &[(&str, usize)]) -> String {
    let mut names: Vec<&str> = files.iter().map(|file| file.0).collect();
    names.sort_unstable_by_key(|name| name.as_bytes());
    let mut all = blake3::Hasher::new();
    for name in names {
        all.update(&(name.len() as u64).to_le_bytes());
        all.update(name.as_bytes());
        all.update(blake3::hash(&fs::read(root.join(name)).unwrap()).as_bytes());
    }
    all.finalize().to_string()
}

#[test]
fn both_pools_agree_with_plain_reading() {
    let root = tree(&FILES);
    for pool in ["millpond", "malloc"] {
        for threads in ["1", "4"] {
            for chunk in ["1000", "64KiB", "1MiB"] {
                let output =
                    run(root.path(), &["--pool", pool, "--threads", threads, "--chunk", chunk, "--rounds", "1"]);
                assert!(output.status.success(), "{}", common::stderr(&output));
                assert_eq!(figure(&output, "digest"), expected(root.path(), &FILES), "{pool} {threads} {chunk}");
                assert_eq!(figure(&output, "files"), FILES.len().to_string());
                assert_eq!(figure(&output, "bytes"), FILES.iter().map(|file| file.1).sum::<usize>().to_string());
            }
        }
    }
}

#[test]
fn readers_wait_for_memory_and_the_digest_is_the_same() {
    let root = tree(&FILES);
    let bounded = |threads: &str, limit: usize| {
        let limit = limit.to_string();
        let output = run(root.path(), &["--threads", threads, "--rounds", "2", "--max-memory", &limit]);
        assert!(output.status.success(), "{}", common::stderr(&output));
        assert_eq!(figure(&output, "digest"), expected(root.path(), &FILES), "{threads} {limit}");
        figure(&output, "budget:")
    };
    for threads in ["1", "4"] {
        let least = bounded(threads, 64 << 10);
        assert!(least.ends_with(" of 64 KiB, peak 64 KiB"), "{least}");
        let some = bounded(threads, 192 << 10);
        let peak = some.split_once(" of 192 KiB, peak ").and_then(|(_, peak)| peak.strip_suffix(" KiB")).unwrap();
        assert!(peak.parse::<f64>().unwrap() <= 192.0, "{some}");
    }
}

#[test]
fn by_default_both_pools_take_turns() {
    let root = tree(&FILES);
    let output = run(root.path(), &[]);
    assert!(output.status.success());
    let text = common::stdout(&output);
    assert!(text.contains("| millpond ") && text.contains("| malloc ") && text.contains("x malloc"), "{text}");
    assert!(text.contains("statistics of the pool"), "{text}");
    assert!(common::stderr(&output).is_empty(), "no progress bar and no complaint in a pipe");
}

#[test]
fn a_single_file_is_a_tree_of_one() {
    let root = tree(&[("only", 100_000)]);
    let output = run(&root.path().join("only"), &["--rounds", "1"]);
    assert!(output.status.success());
    assert_eq!(figure(&output, "digest"), expected(root.path(), &[("only", 0)]));
}

#[test]
fn an_empty_tree_is_no_problem() {
    let root = tree(&[]);
    let output = run(root.path(), &["--rounds", "1"]);
    assert!(output.status.success());
    assert_eq!(figure(&output, "digest"), blake3::hash(b"").to_string());
}
