//! The lender: fills buffers, lends them, and takes them back.

use std::collections::{HashMap, HashSet};
use std::error::Error;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use millpond::{BufferPool, Capacity, Memory, PooledBuf, RegionPin};

use crate::file::SharedFile;
use crate::wire::{Message, receive, send};

const SIZES: [usize; 3] = [1 << 10, 64 << 10, 3 << 20];
/// Buffers that are lent at once.
const AT_ONCE: usize = 8;
const ROUNDS: usize = 12;

/// A process that buffers are lent to.
struct Borrower {
    file: Arc<SharedFile>,
    pool: BufferPool,
    socket: UnixStream,
    process: Child,
    /// What it has.
    lent: HashMap<u64, PooledBuf>,
    next: u64,
    /// Regions that it knows. They stay, as long as it lives.
    known: HashSet<u32>,
    pin: RegionPin,
}

impl Borrower {
    fn start(mut command: Command, pool: &BufferPool, file: &Arc<SharedFile>) -> io::Result<Self> {
        let (socket, theirs) = UnixStream::pair()?;
        let process = command.stdin(Stdio::from(OwnedFd::from(theirs))).spawn()?;
        Ok(Borrower {
            file: file.clone(),
            pool: pool.clone(),
            socket,
            process,
            lent: HashMap::new(),
            next: 0,
            known: HashSet::new(),
            pin: pool.pin_regions(),
        })
    }

    /// Lends a buffer; its number.
    fn lend(&mut self, mut buf: PooledBuf) -> Result<u64, Box<dyn Error>> {
        let (index, offset) = buf.region().ok_or("a buffer without a region")?;
        if !self.known.contains(&index) {
            self.tell_of(index)?;
        }
        // The other writes to all of it: lent for writing here, so that the pool knows.
        let len = buf.as_mut().len() as u64;
        let id = self.next;
        self.next += 1;
        self.lent.insert(id, buf);
        send(&self.socket, Message::Lent { id, region: index.into(), offset: offset as u64, len }, None)?;
        Ok(id)
    }

    fn tell_of(&mut self, index: u32) -> Result<(), Box<dyn Error>> {
        let regions = self.pool.regions();
        let region = regions.iter().find(|region| region.index() == index).ok_or("a region that is not listed")?;
        let start = self.file.start_of(region).ok_or("a region that is not in the file")?;
        let message = Message::Region { index: index.into(), start, len: region.len() as u64 };
        send(&self.socket, message, Some(self.file.as_fd()))?;
        self.known.insert(index);
        Ok(())
    }

    /// The next buffer that is handed back. None: the other has ended.
    fn take_back(&mut self) -> Result<Option<(u64, PooledBuf)>, Box<dyn Error>> {
        let Some((message, _)) = receive(&self.socket)? else { return Ok(None) };
        let Message::Back { id } = message else { return Err("the borrower lends nothing".into()) };
        let buf = self.lent.remove(&id).ok_or_else(|| format!("buffer {id} is handed back and was not lent"))?;
        Ok(Some((id, buf)))
    }

    /// Ends it. What it still had comes home: how many buffers.
    fn end(self) -> Result<usize, Box<dyn Error>> {
        let Borrower { socket, mut process, lent, pin, .. } = self;
        drop(socket);
        // Its memory is unmapped when it has ended, and not before: then nobody writes to the buffers any more.
        process.wait()?;
        let home = lent.len();
        drop(lent);
        pin.wait(Duration::from_secs(10))?;
        Ok(home)
    }
}

/// A buffer with a text.
fn filled(pool: &BufferPool, size: usize, number: u64) -> PooledBuf {
    let mut buf = pool.get(Capacity(size));
    let line = format!("buffer {number} of {size} bytes\n");
    buf.extend_from_slice(line.repeat(size / line.len()).as_bytes());
    buf
}

fn works(borrower: &mut Borrower) -> Result<u64, Box<dyn Error>> {
    let mut back = 0;
    for round in 0..ROUNDS {
        for place in 0..AT_ONCE {
            let buf = filled(&borrower.pool, SIZES[(round + place) % SIZES.len()], borrower.next);
            borrower.lend(buf)?;
        }
        for _ in 0..AT_ONCE {
            let (id, buf) = borrower.take_back()?.ok_or("the borrower has ended")?;
            if !buf.starts_with(format!("BUFFER {id} OF ").as_bytes()) || buf.iter().any(u8::is_ascii_lowercase) {
                return Err(format!("buffer {id} is not as it should be").into());
            }
            back += 1;
        }
    }
    Ok(back)
}

/// Lends to a process that works, then to one that is killed, and says what happened.
pub(crate) fn run(peer: impl Fn(&str) -> io::Result<Command>, out: &mut impl Write) -> Result<(), Box<dyn Error>> {
    let file = Arc::new(SharedFile::new()?);
    let pool = BufferPool::builder().memory(Memory::source(file.clone())).build()?;

    let mut borrower = Borrower::start(peer("work")?, &pool, &file)?;
    let back = works(&mut borrower)?;
    let regions = borrower.known.len();
    let home = borrower.end()?;
    writeln!(out, "{back} buffers lent and handed back, in {regions} regions; {home} came home at the end")?;

    let mut borrower = Borrower::start(peer("keep")?, &pool, &file)?;
    for number in 0..AT_ONCE as u64 {
        let buf = filled(&pool, SIZES[1], number);
        borrower.lend(buf)?;
    }
    borrower.process.kill()?;
    if borrower.take_back()?.is_some() {
        return Err("handed back by a process that keeps".into());
    }
    let home = borrower.end()?;
    writeln!(out, "a process killed with {home} buffers in hand: all came home")?;

    let zeros = pool.get(SIZES[1]);
    if zeros.iter().any(|&byte| byte != 0) {
        return Err("a buffer that should be zero is not".into());
    }
    drop(zeros);
    let pin = pool.pin_regions();
    writeln!(out, "{} buffers are out", pin.outstanding())?;
    drop(pin);
    pool.trim(0);
    match pool.regions().len() {
        0 => writeln!(out, "and no region is left")?,
        left => return Err(format!("{left} regions are left").into()),
    }
    Ok(())
}
