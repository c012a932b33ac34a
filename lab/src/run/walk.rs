//! Which files there are: every regular file under the root, each once, under its own name.
//!
//! Symbolic links below the root are not followed, so that no file is read twice and nothing outside the tree is read
//! at all. A link is a problem only if following it could go on for ever; [`loops`] finds those. The root itself may
//! be a link, and may be a single file.

use std::ffi::OsStr;
use std::fs::{self, DirEntry};
use std::io;
use std::path::{Path, PathBuf};

use indicatif::ProgressBar;

use super::loops::{self, Link};
use super::problems::Problems;
use crate::interrupt;

/// The files to read.
pub struct Tree {
    /// What the files' paths are relative to.
    pub root: PathBuf,
    /// In the order of their paths.
    pub files: Vec<File>,
    /// Symbolic links that were passed by.
    pub links: usize,
}

/// A regular file and its length when it was found.
pub struct File {
    pub path: PathBuf,
    pub len: u64,
}

impl Tree {
    /// Looks for files under `path`. Only a root that cannot be looked at is an error.
    pub fn walk(path: &Path, problems: &Problems, bar: &ProgressBar) -> io::Result<Self> {
        let about = fs::metadata(path)?;
        if about.is_dir() {
            let mut walker =
                Walker { root: path.canonicalize()?, files: Vec::new(), links: Vec::new(), dangling: 0, problems, bar };
            walker.everything()?;
            return Ok(walker.finish());
        }
        if !about.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "neither a file nor a directory"));
        }
        let name = path.file_name().unwrap_or(OsStr::new("")).into();
        let root = path.parent().map_or_else(PathBuf::new, Path::to_owned);
        Ok(Self { root, files: vec![File { path: name, len: about.len() }], links: 0 })
    }

    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.len).sum()
    }
}

struct Walker<'a> {
    root: PathBuf,
    files: Vec<File>,
    links: Vec<Link>,
    dangling: usize,
    problems: &'a Problems,
    bar: &'a ProgressBar,
}

impl Walker<'_> {
    /// Depth first with a stack of our own: a tree may be deeper than a thread's stack.
    fn everything(&mut self) -> io::Result<()> {
        let mut directories = vec![self.root.clone()];
        while let Some(directory) = directories.pop() {
            interrupt::check()?;
            match fs::read_dir(&directory) {
                Ok(entries) => entries.for_each(|entry| self.entry(&directory, entry, &mut directories)),
                Err(error) if directory == self.root => return Err(error),
                Err(error) => self.problems.report(self.bar, &directory, error),
            }
        }
        Ok(())
    }

    fn entry(&mut self, directory: &Path, entry: io::Result<DirEntry>, directories: &mut Vec<PathBuf>) {
        let found = entry.and_then(|entry| Ok((entry.path(), entry.metadata()?)));
        match found {
            Ok((path, about)) if about.is_dir() => directories.push(path),
            Ok((path, about)) if about.is_file() => {
                let path = path.strip_prefix(&self.root).expect("entries lie under the root").to_owned();
                self.files.push(File { path, len: about.len() });
            }
            Ok((path, about)) if about.is_symlink() => self.link(directory, path),
            // Pipes, sockets and devices hold no content to read.
            Ok(_) => {}
            Err(error) => self.problems.report(self.bar, directory, error),
        }
    }

    fn link(&mut self, directory: &Path, path: PathBuf) {
        match fs::canonicalize(&path) {
            Ok(target) => self.links.push(Link { path, directory: directory.to_owned(), target }),
            // A link that leads nowhere, or where we may not look, is passed by like any other.
            Err(error) => {
                self.dangling += 1;
                if is_loop(&error) {
                    self.problems.report(self.bar, &path, "symbolic link loop");
                }
            }
        }
    }

    fn finish(mut self) -> Tree {
        let links = self.links.len() + self.dangling;
        for link in loops::endless(self.links) {
            self.problems.report(
                self.bar,
                &link.path,
                format_args!("symbolic link loop: leads back to {}", link.target.display()),
            );
        }
        self.files.sort_unstable_by(|a, b| a.path.cmp(&b.path));
        Tree { root: self.root, files: self.files, links }
    }
}

/// Links that lead to each other: the system gives up on them (ELOOP).
#[cfg(unix)]
fn is_loop(error: &io::Error) -> bool {
    error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error())
}

#[cfg(not(unix))]
fn is_loop(_: &io::Error) -> bool {
    false
}
