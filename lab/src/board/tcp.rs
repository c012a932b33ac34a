//! A port of this machine's own, for systems without sockets in the file system: its number is in a file.

#![cfg_attr(unix, allow(dead_code, reason = "the other kind of door is used here"))]

use std::fs;
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};

pub use std::net::TcpStream as Stream;

/// How the names end of what lies in the folder.
pub const ENDING: &str = ".port";

pub fn connect(path: &Path) -> io::Result<Stream> {
    let port = fs::read_to_string(path)?;
    let port: u16 = port.trim().parse().map_err(|_| io::Error::other(format!("{port} is no port")))?;
    Stream::connect((Ipv4Addr::LOCALHOST, port))
}

pub fn listen(folder: &Path, process: u32) -> io::Result<(TcpListener, PathBuf)> {
    let path = folder.join(format!("{process}{ENDING}"));
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    fs::write(&path, listener.local_addr()?.port().to_string())?;
    Ok((listener, path))
}

/// Temporary folders are each user's own.
pub fn user() -> String {
    String::new()
}

pub fn make_folder(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use super::*;

    #[test]
    fn who_has_the_file_finds_the_port() {
        let folder = tempfile::tempdir().unwrap();
        let (listener, path) = listen(folder.path(), 7).unwrap();
        let mut watcher = connect(&path).unwrap();
        listener.accept().unwrap().0.write_all(b"line\n").unwrap();
        let mut text = String::new();
        watcher.read_to_string(&mut text).unwrap();
        assert_eq!(text, "line\n");
        drop(listener);
        assert_eq!(connect(&path).unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
        fs::write(&path, "soon").unwrap();
        assert!(connect(&path).unwrap_err().to_string().contains("soon"));
    }
}
