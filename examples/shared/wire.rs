//! What the two processes tell each other: numbers, and now and then a file.
#![allow(unsafe_code)] // Files go along by calls of the system.

use std::io::{self, ErrorKind, Read, Write};
use std::mem;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::ptr;

/// One message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Message {
    /// A region: its number, where in the file that comes along it starts, and its length.
    Region { index: u64, start: u64, len: u64 },
    /// A buffer is lent: its number, the region's, how far behind the region's start it begins, and its length.
    Lent { id: u64, region: u64, offset: u64, len: u64 },
    /// A buffer is handed back.
    Back { id: u64 },
}

const WORDS: usize = 5;
const BYTES: usize = WORDS * size_of::<u64>();

impl Message {
    fn to_bytes(self) -> [u8; BYTES] {
        let words = match self {
            Message::Region { index, start, len } => [0, index, start, len, 0],
            Message::Lent { id, region, offset, len } => [1, id, region, offset, len],
            Message::Back { id } => [2, id, 0, 0, 0],
        };
        let mut bytes = [0; BYTES];
        bytes.chunks_exact_mut(8).zip(words).for_each(|(place, word)| place.copy_from_slice(&word.to_ne_bytes()));
        bytes
    }

    fn from_bytes(bytes: [u8; BYTES]) -> io::Result<Self> {
        let mut words = [0; WORDS];
        let chunks = bytes.chunks_exact(8).map(|word| u64::from_ne_bytes(word.try_into().expect("eight bytes")));
        words.iter_mut().zip(chunks).for_each(|(place, word)| *place = word);
        match words {
            [0, index, start, len, _] => Ok(Message::Region { index, start, len }),
            [1, id, region, offset, len] => Ok(Message::Lent { id, region, offset, len }),
            [2, id, ..] => Ok(Message::Back { id }),
            [kind, ..] => Err(io::Error::new(ErrorKind::InvalidData, format!("a message of kind {kind}"))),
        }
    }
}

/// Room for one file, aligned as the system wants it.
#[repr(C, align(8))]
struct Ancillary([u8; 64]);

fn header(part: &mut libc::iovec, ancillary: Option<&mut Ancillary>) -> libc::msghdr {
    // SAFETY: numbers and null pointers.
    let mut header: libc::msghdr = unsafe { mem::zeroed() };
    header.msg_iov = part;
    header.msg_iovlen = 1;
    if let Some(ancillary) = ancillary {
        header.msg_control = ancillary.0.as_mut_ptr().cast();
        // SAFETY: plain arithmetic.
        header.msg_controllen = unsafe { libc::CMSG_SPACE(size_of::<RawFd>() as u32) } as _;
    }
    header
}

/// Sends a message, and a file with it.
pub(crate) fn send(mut socket: &UnixStream, message: Message, file: Option<BorrowedFd<'_>>) -> io::Result<()> {
    let mut bytes = message.to_bytes();
    let Some(file) = file else { return socket.write_all(&bytes) };
    let mut ancillary = Ancillary([0; 64]);
    let mut part = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: BYTES };
    let header = header(&mut part, Some(&mut ancillary));
    // SAFETY: the header leads to room for one file.
    let entry = unsafe { libc::CMSG_FIRSTHDR(&header) };
    // SAFETY: null, or in that room.
    let entry = unsafe { entry.as_mut() }.expect("room for one");
    entry.cmsg_level = libc::SOL_SOCKET;
    entry.cmsg_type = libc::SCM_RIGHTS;
    // SAFETY: plain arithmetic.
    entry.cmsg_len = unsafe { libc::CMSG_LEN(size_of::<RawFd>() as u32) } as _;
    // SAFETY: the entry is one of ours.
    let place = unsafe { libc::CMSG_DATA(entry) };
    // SAFETY: there is room for one file, whatever the alignment.
    unsafe { ptr::write_unaligned(place.cast(), file.as_raw_fd()) };
    // SAFETY: all that the header leads to is alive.
    let sent = unsafe { libc::sendmsg(socket.as_raw_fd(), &header, 0) };
    match usize::try_from(sent) {
        Ok(sent) => socket.write_all(&bytes[sent..]),
        Err(_) => Err(io::Error::last_os_error()),
    }
}

/// The next message, and a file if one came along. None: the other end is closed.
pub(crate) fn receive(mut socket: &UnixStream) -> io::Result<Option<(Message, Option<OwnedFd>)>> {
    let mut bytes = [0; BYTES];
    let mut ancillary = Ancillary([0; 64]);
    let mut part = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: BYTES };
    let mut header = header(&mut part, Some(&mut ancillary));
    // SAFETY: all that the header leads to is alive, and may be written to.
    let received = unsafe { libc::recvmsg(socket.as_raw_fd(), &mut header, 0) };
    let received = match usize::try_from(received) {
        Ok(received) => received,
        Err(_) => match io::Error::last_os_error() {
            error if error.kind() == ErrorKind::ConnectionReset => 0,
            error => return Err(error),
        },
    };
    if received == 0 {
        return Ok(None);
    }
    let file = file_of(&header);
    socket.read_exact(&mut bytes[received..])?;
    Ok(Some((Message::from_bytes(bytes)?, file)))
}

fn file_of(header: &libc::msghdr) -> Option<OwnedFd> {
    // SAFETY: filled in by the system.
    let entry = unsafe { libc::CMSG_FIRSTHDR(header) };
    // SAFETY: null, or what the system has written.
    let entry = unsafe { entry.as_ref() }?;
    if (entry.cmsg_level, entry.cmsg_type) != (libc::SOL_SOCKET, libc::SCM_RIGHTS) {
        return None;
    }
    // SAFETY: an entry of files.
    let place = unsafe { libc::CMSG_DATA(entry) };
    // SAFETY: there is one at least.
    let file: RawFd = unsafe { ptr::read_unaligned(place.cast()) };
    // SAFETY: came along with the message, and nobody else has it.
    Some(unsafe { OwnedFd::from_raw_fd(file) })
}
