//! One digest for a whole tree, whatever the order in which its files were hashed.
//!
//! The digest is BLAKE3 over one record per file that was read to its end, in the order of the paths' bytes: the
//! length of the path as eight little-endian bytes, the path relative to the root with `/` between its parts, and the
//! BLAKE3 digest of the file's content. A single file as root has its name as path.

use std::path::{Component, Path};

use blake3::{Hash, Hasher};

/// Combines the digests of files, given in any order.
pub fn combine<'a>(files: impl IntoIterator<Item = (&'a Path, Hash)>) -> Hash {
    let mut records: Vec<_> = files.into_iter().map(|(path, hash)| (spelled(path), hash)).collect();
    records.sort_unstable_by(|a, b| a.0.cmp(&b.0));
    let mut all = Hasher::new();
    for (path, hash) in &records {
        all.update(&(path.len() as u64).to_le_bytes());
        all.update(path);
        all.update(hash.as_bytes());
    }
    all.finalize()
}

/// The path's bytes, with `/` between its parts on every platform.
fn spelled(path: &Path) -> Vec<u8> {
    let parts = path.components().filter_map(|part| match part {
        Component::Normal(name) => Some(name.as_encoded_bytes()),
        _ => None,
    });
    parts.collect::<Vec<_>>().join(&b'/')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_of_hashing_does_not_matter() {
        let (a, b) = (Path::new("a/x"), Path::new("b"));
        let (x, y) = (blake3::hash(b"x"), blake3::hash(b"y"));
        assert_eq!(combine([(a, x), (b, y)]), combine([(b, y), (a, x)]));
    }

    #[test]
    fn names_and_contents_both_count() {
        let (a, b) = (Path::new("a"), Path::new("b"));
        let (x, y) = (blake3::hash(b"x"), blake3::hash(b"y"));
        let digests = [
            combine([]),
            combine([(a, x)]),
            combine([(b, x)]),
            combine([(a, y)]),
            combine([(a, x), (b, y)]),
            combine([(a, y), (b, x)]),
        ];
        for (i, one) in digests.iter().enumerate() {
            assert!(!digests[i + 1..].contains(one), "{i}");
        }
    }
}
