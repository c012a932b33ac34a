//! A socket in the file system, where only its user can come to it.

use std::fs::{self, DirBuilder};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

pub use std::os::unix::net::UnixStream as Stream;

/// How the names end of what lies in the folder.
pub const ENDING: &str = ".sock";

pub fn connect(path: &Path) -> io::Result<Stream> {
    Stream::connect(path)
}

pub fn listen(folder: &Path, process: u32) -> io::Result<(UnixListener, PathBuf)> {
    let path = folder.join(format!("{process}{ENDING}"));
    // Of an earlier process of this number, which is gone.
    if let Err(error) = fs::remove_file(&path)
        && error.kind() != ErrorKind::NotFound
    {
        return Err(error);
    }
    let listener = UnixListener::bind(&path).map_err(|error| named(&path, &error))?;
    Ok((listener, path))
}

/// What sets folders of users apart that lie side by side.
pub fn user() -> String {
    format!("-{}", rustix::process::getuid().as_raw())
}

/// Makes a folder that is the user's alone; an error where something else is in its place.
pub fn make_folder(folder: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(folder) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(named(folder, &error)),
        _ => {}
    }
    // Not of what a link leads to: others can make links in folders for all.
    let found = fs::symlink_metadata(folder).map_err(|error| named(folder, &error))?;
    if found.is_dir() && found.uid() == rustix::process::getuid().as_raw() && found.mode() & 0o077 == 0 {
        return Ok(());
    }
    Err(io::Error::other(format!("{} is not a folder of this user's alone", folder.display())))
}

fn named(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}
