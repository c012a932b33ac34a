//! The other process: works on what it was lent, where it is.
#![allow(unsafe_code)] // Memory that another process has lent.

use std::collections::HashMap;
use std::error::Error;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::ptr::NonNull;

use crate::file;
use crate::wire::{Message, receive, send};

/// What a peer may be told to do: to work, or to keep what it is lent until it is killed.
pub(crate) const BEHAVIOURS: [&str; 2] = ["work", "keep"];

/// Works on buffers until the socket, which is the standard input, ends.
pub(crate) fn work(behaviour: &str) -> Result<(), Box<dyn Error>> {
    let socket = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    let mut regions = HashMap::new();
    while let Some((message, file)) = receive(&socket)? {
        match message {
            Message::Region { index, start, len } => {
                let file = file.ok_or("a region without its file")?;
                let len = usize::try_from(len)?;
                regions.insert(index, (file::map(file.as_fd(), start, len)?, len));
            }
            Message::Lent { id, region, offset, len } => {
                let &(start, there) = regions.get(&region).ok_or("of a region that is not known")?;
                let bytes = inside(start, there, usize::try_from(offset)?, usize::try_from(len)?)?;
                // SAFETY: inside the region, initialised, and ours alone until it is handed back below: the contract.
                let bytes = unsafe { &mut *bytes };
                bytes.make_ascii_uppercase();
                if behaviour == "work" {
                    send(&socket, Message::Back { id }, None)?;
                }
            }
            Message::Back { .. } => return Err("nothing was lent to the lender".into()),
        }
    }
    Ok(())
}

/// A part of a region, if it is one.
fn inside(start: NonNull<u8>, there: usize, offset: usize, len: usize) -> Result<*mut [u8], Box<dyn Error>> {
    let end = offset.checked_add(len).filter(|&end| end <= there);
    end.ok_or_else(|| format!("{len} bytes at {offset} of a region of {there}"))?;
    // SAFETY: inside the mapping.
    let first = unsafe { start.add(offset) };
    Ok(std::ptr::slice_from_raw_parts_mut(first.as_ptr(), len))
}
