//! Files for results.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::Path;

use crate::failure::Failure;

/// A file for results, opened before minutes are spent on what could not be written. What was in it stays until the new
/// results are there.
pub struct Output(File);

impl Output {
    pub fn open(path: &Path) -> Result<Self, Failure> {
        let file = OpenOptions::new().write(true).create(true).truncate(false).open(path);
        file.map(Output).map_err(|error| Failure::path(path, error))
    }

    /// Puts this in the place of what was there.
    pub fn write(self, content: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>) -> io::Result<()> {
        // Terminals and pipes have no length.
        if self.0.metadata()?.is_file() {
            self.0.set_len(0)?;
        }
        let mut file = BufWriter::new(self.0);
        content(&mut file)?;
        file.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn what_was_there_stays_until_there_is_something_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("results");
        drop(Output::open(&path).unwrap());
        fs::write(&path, "the results of before").unwrap();
        drop(Output::open(&path).unwrap());
        assert_eq!(fs::read(&path).unwrap(), b"the results of before");
        Output::open(&path).unwrap().write(|file| file.write_all(b"new")).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert!(Output::open(&folder.path().join("none/results")).is_err());
    }
}
