//! `io_uring` with buffers of a pool: a file read past the page cache on registered memory and on memory that is looked
//! up for each read, and datagrams received into provided buffers, into a buffer for each operation, and by `recv`.
//!
//! Sending is not timed: datagrams are sent in bursts that the socket has room for, and then received.
#![allow(unsafe_code, reason = "operations are pushed")]

use std::fs::{File, OpenOptions};
use std::hint::black_box;
use std::io::{self, Write};
use std::net::UdpSocket;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use io_uring::opcode::RecvMulti;
use io_uring::types::Fd;
use io_uring::{IoUring, squeue};
use millpond::io_uring_07::{FixedBuffers, ProvidedBuffers};
use millpond::{BufferPool, PooledBuf, Recycled};
use nix::fcntl::OFlag;
use tempfile::NamedTempFile;

use super::{Cell, Roster, Row};
use crate::compare::contender::{Cannot, Kind, Plan};
use crate::compare::contenders::millpond::builder;
use crate::memory;

/// Of the file that is read at once.
const CHUNK: usize = 256 << 10;
/// Reads in flight.
const DEPTH: usize = 16;
/// Of the file, unless the user says.
const CHUNKS: u64 = 4096;
/// A datagram, and the buffer for it.
const DATAGRAM: usize = 1400;
const ROOM: usize = 2048;
/// Datagrams that a socket keeps by default, with some to spare.
const BURST: usize = 64;
/// In a turn, unless the user says.
const DATAGRAMS: u64 = 1_000_000;
const GROUP: u16 = 1;

pub fn rows(buffers: Option<u64>) -> Vec<Row> {
    vec![read(buffers.unwrap_or(CHUNKS)), receive(buffers.unwrap_or(DATAGRAMS))]
}

fn read(chunks: u64) -> Row {
    let operation = format!("256KiB read with O_DIRECT, {DEPTH} in flight, {chunks} in a turn");
    let file = Arc::new(OnceLock::new());
    let out = [CHUNK; DEPTH];
    let entries = Box::new(move |roster: &mut Roster<'_>| {
        for (name, kind, regions) in [("millpond, fixed", Kind::Millpond, 64), ("millpond, ordinary", Kind::Variant, 0)]
        {
            let plan = roster.plan(Plan { out: out.to_vec(), ..Plan::of(&[CHUNK]) });
            let file = file.clone();
            roster.add(name, kind, || Ok(Box::new(Reader::new(&plan, &file, chunks, regions)?)));
        }
    });
    let row = Row::of("uring/read", operation, memory::charged(&out), entries).operations(chunks);
    Row { iterations: Some(1), ..row }
}

fn receive(datagrams: u64) -> Row {
    let bursts = datagrams.div_ceil(BURST as u64);
    let operation = format!("a datagram of {DATAGRAM} bytes received and dropped, {} in a turn", bursts * BURST as u64);
    let out = [ROOM; 4 * BURST];
    let entries = Box::new(move |roster: &mut Roster<'_>| {
        let plan = || Plan { out: out.to_vec(), ..Plan::of(&[ROOM]) };
        let plans = [(); 3].map(|()| roster.plan(plan()));
        let [provided, each, system] = plans.map(|plan| builder(&plan).build().expect("nothing is required"));
        roster.add("millpond, provided", Kind::Millpond, || Receiver::boxed(Provided::new(&provided)?));
        roster.add("millpond, one for each", Kind::Variant, || Receiver::boxed(OneForEach::new(&each)?));
        roster.add("millpond, recv", Kind::Variant, || Receiver::boxed(system));
    });
    let row = Row::of("uring/receive", operation, memory::charged(&out), entries).operations(BURST as u64);
    Row { iterations: Some(bursts), ..row }
}

/// A ring that works when it is asked for completions, and not whenever the thread enters the kernel: else a multishot
/// operation would receive while the burst is sent, which is not timed.
fn ring() -> Result<IoUring, Cannot> {
    let ring = IoUring::builder().setup_single_issuer().setup_defer_taskrun().build(2 * BURST as u32);
    ring.map_err(|_| Cannot::Because("has no io_uring here, of Linux 6.1 at least"))
}

fn push(ring: &mut IoUring, entry: &squeue::Entry) {
    // SAFETY: a cell keeps file, socket and buffers, gives completions to whoever built the entry, and ends with its
    // ring.
    unsafe { ring.submission().push(entry) }.expect("the queue has room for a burst");
}

/// Reads a file from its begin to its end.
struct Reader {
    ring: IoUring,
    fixed: FixedBuffers,
    file: File,
    chunks: u64,
    idle: Vec<PooledBuf>,
    /// Kept as long as anybody reads it.
    _path: Arc<NamedTempFile>,
}

impl Reader {
    fn new(
        plan: &Plan,
        file: &OnceLock<Option<Arc<NamedTempFile>>>,
        chunks: u64,
        regions: u32,
    ) -> Result<Self, Cannot> {
        let path = file.get_or_init(|| written(chunks).ok().map(Arc::new)).clone();
        let path = path.ok_or(Cannot::Because("has no room for its file"))?;
        let file = OpenOptions::new().read(true).custom_flags(OFlag::O_DIRECT.bits()).open(path.path());
        let file = file.map_err(|_| Cannot::Because("has no O_DIRECT where temporary files are"))?;
        let pool = builder(plan).alignment(4096).size_classes([CHUNK]).build().expect("nothing is required");
        let idle = pool.get_many([Recycled(CHUNK); DEPTH]).into_iter().collect();
        let ring = ring()?;
        let fixed = FixedBuffers::register(&ring.submitter(), &pool, regions);
        Ok(Self { ring, fixed, file, chunks, idle, _path: path })
    }

    fn read_all(&mut self) {
        let (mut next, mut done) = (0, 0);
        while done < self.chunks {
            while next < self.chunks {
                let Some(buf) = self.idle.pop() else { break };
                let entry = self.fixed.read(Fd(self.file.as_raw_fd()), buf, next * CHUNK as u64);
                push(&mut self.ring, &entry);
                next += 1;
            }
            self.ring.submit_and_wait(1).expect("a ring takes operations");
            for entry in self.ring.completion() {
                let (buf, read) = self.fixed.complete(&entry).expect("no other operations");
                assert_eq!(read.expect("a file that was written"), CHUNK);
                self.idle.push(black_box(buf));
                done += 1;
            }
        }
    }
}

impl Cell for Reader {
    fn time(&mut self, iterations: u64) -> Duration {
        let begin = Instant::now();
        (0..iterations).for_each(|_| self.read_all());
        begin.elapsed()
    }

    fn note(&self) -> Option<String> {
        Some(self.fixed.report().to_string()).filter(|_| self.fixed.report().capacity > 0)
    }
}

/// A file of so many chunks, none of them empty.
fn written(chunks: u64) -> io::Result<NamedTempFile> {
    let mut file = NamedTempFile::new()?;
    let chunk: Vec<u8> = (0..CHUNK).map(|at| (at * 7) as u8).collect();
    (0..chunks).try_for_each(|_| file.write_all(&chunk))?;
    file.as_file().sync_all()?;
    Ok(file)
}

/// A way to receive a burst, and drop it.
trait Receive {
    fn receive(&mut self, socket: &UdpSocket, datagrams: usize);
}

struct Receiver<R> {
    way: R,
    socket: UdpSocket,
    sender: UdpSocket,
}

impl<R: Receive + 'static> Receiver<R> {
    fn boxed(way: R) -> Result<Box<dyn Cell>, Cannot> {
        let sockets = || -> io::Result<_> {
            let [socket, sender] = [UdpSocket::bind("127.0.0.1:0")?, UdpSocket::bind("127.0.0.1:0")?];
            sender.connect(socket.local_addr()?)?;
            Ok((socket, sender))
        };
        let (socket, sender) = sockets().map_err(|_| Cannot::Because("has no loopback"))?;
        Ok(Box::new(Self { way, socket, sender }))
    }
}

impl<R: Receive> Cell for Receiver<R> {
    fn time(&mut self, iterations: u64) -> Duration {
        let mut elapsed = Duration::ZERO;
        for _ in 0..iterations {
            for _ in 0..BURST {
                self.sender.send(&[7; DATAGRAM]).expect("loopback");
            }
            let begin = Instant::now();
            self.way.receive(&self.socket, BURST);
            elapsed += begin.elapsed();
        }
        elapsed
    }
}

/// One operation for all, and a group of buffers.
struct Provided {
    ring: IoUring,
    group: ProvidedBuffers,
    is_armed: bool,
}

impl Provided {
    fn new(pool: &BufferPool) -> Result<Self, Cannot> {
        let ring = ring()?;
        let group = ProvidedBuffers::builder(GROUP, 4 * BURST as u16).register(&ring.submitter(), pool, Recycled(ROOM));
        let group = group.map_err(|_| Cannot::Because("has no provided buffers here"))?;
        Ok(Self { ring, group, is_armed: false })
    }
}

impl Receive for Provided {
    fn receive(&mut self, socket: &UdpSocket, datagrams: usize) {
        let mut received = 0;
        while received < datagrams {
            if !self.is_armed {
                push(&mut self.ring, &RecvMulti::new(Fd(socket.as_raw_fd()), GROUP).build());
            }
            self.ring.submit_and_wait(1).expect("a ring takes operations");
            for entry in self.ring.completion() {
                self.is_armed = ProvidedBuffers::is_armed(&entry);
                match self.group.take(&entry) {
                    Ok(datagram) => {
                        received += usize::from(datagram.is_some_and(|datagram| black_box(datagram)[9] == 7))
                    }
                    Err(error) => assert!(ProvidedBuffers::is_empty_group(&error), "{error}"),
                }
            }
            self.group.refill();
        }
    }
}

/// An operation for each datagram, with a buffer of its own, all pushed at once.
struct OneForEach {
    ring: IoUring,
    pool: BufferPool,
    buffers: FixedBuffers,
}

impl OneForEach {
    fn new(pool: &BufferPool) -> Result<Self, Cannot> {
        let ring = ring()?;
        let buffers = FixedBuffers::register(&ring.submitter(), pool, 0);
        Ok(Self { ring, pool: pool.clone(), buffers })
    }
}

impl Receive for OneForEach {
    fn receive(&mut self, socket: &UdpSocket, datagrams: usize) {
        for buf in self.pool.get_many(std::iter::repeat_n(Recycled(ROOM), datagrams)) {
            let entry = self.buffers.read(Fd(socket.as_raw_fd()), buf, 0);
            push(&mut self.ring, &entry);
        }
        self.ring.submit_and_wait(datagrams).expect("a ring takes operations");
        for entry in self.ring.completion() {
            let (datagram, _) = self.buffers.complete(&entry).expect("no other operations");
            assert_eq!(black_box(datagram)[9], 7);
        }
    }
}

/// A system call for each.
impl Receive for BufferPool {
    fn receive(&mut self, socket: &UdpSocket, datagrams: usize) {
        for _ in 0..datagrams {
            let mut buf = self.get(Recycled(ROOM));
            let len = socket.recv(&mut buf).expect("as many as were sent");
            buf.truncate(len);
            assert_eq!(black_box(buf)[9], 7);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::rows::Terms;

    #[test]
    fn every_way_reads_and_receives_all_there_is() {
        for row in rows(Some(100)) {
            for entry in row.entries(Terms::default()) {
                match entry.cell {
                    Ok(mut cell) => assert!(cell.time(row.iterations.unwrap()) > Duration::ZERO),
                    Err(cannot) => eprintln!("SKIPPED, {} {cannot}", entry.contender),
                }
            }
        }
    }
}
