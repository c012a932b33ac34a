//! A large message on its way to a socket: in one buffer or in many small ones, with the page faults it takes.
//!
//! It is made anew each time, every byte of it written, and on loopback read by a thread that says when it has all of it.

use std::io::{self, IoSlice, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use millpond::{BufferPool, Capacity, PooledBuf, PooledChain};

use super::touch::Meter;
use super::{Cell, Roster, Row};
use crate::compare::contender::{Cannot, Contender, Kind, Plan};
use crate::compare::contenders::millpond::{Millpond, builder};
use crate::compare::contenders::vec::SystemVec;
use crate::memory;
use crate::size::Bytes;

const MESSAGE: usize = 16 << 20;
/// What the reader takes at once, and the buffers of a chain.
const PIECE: usize = 64 << 10;
const PIECES: usize = MESSAGE / PIECE;
const CONTENT: u8 = 7;

pub fn rows() -> Vec<Row> {
    let name = format!("chain/{}", Bytes(MESSAGE as u64));
    let operation = "a message is made, written to a socket on loopback, and read on another thread".to_owned();
    vec![Row::of(name, operation, memory::charged(&[PIECE; PIECES]), Box::new(enter)).threads(2, 1)]
}

fn enter(roster: &mut Roster<'_>) {
    let pool = |plan: Plan| builder(&plan).max_idle(MESSAGE).build().expect("valid options");
    let pieces = roster.plan(Plan { out: vec![PIECE; PIECES], ..Plan::of(&[PIECE]) });
    let whole = roster.plan(Plan::of(&[MESSAGE]));
    roster.add(Millpond::NAME, Kind::Millpond, || Sending::boxed(Some("in 64KiB pieces"), send_pieces(pool(pieces))));
    roster.add("millpond, one buffer", Kind::Variant, || Sending::boxed(None, send_one(pool(whole))));
    roster.add(SystemVec::NAME, SystemVec::KIND, || Sending::boxed(None, send_vec));
}

fn send_pieces(pool: BufferPool) -> impl Fn(&mut TcpStream) -> io::Result<()> {
    move |socket| {
        let pieces = (0..PIECES).map(|_| filled(pool.get(Capacity(PIECE)), PIECE));
        PooledChain::from_iter(pieces).write_all_to(socket)
    }
}

fn send_one(pool: BufferPool) -> impl Fn(&mut TcpStream) -> io::Result<()> {
    move |socket| write_whole(socket, &filled(pool.get(Capacity(MESSAGE)), MESSAGE))
}

fn send_vec(socket: &mut TcpStream) -> io::Result<()> {
    let mut message = Vec::with_capacity(MESSAGE);
    message.resize(MESSAGE, CONTENT);
    write_whole(socket, &message)
}

fn filled(mut buf: PooledBuf, len: usize) -> PooledBuf {
    buf.resize(len, CONTENT);
    buf
}

/// By the same system call as a chain.
fn write_whole(socket: &mut TcpStream, mut rest: &[u8]) -> io::Result<()> {
    while !rest.is_empty() {
        let written = socket.write_vectored(&[IoSlice::new(rest)])?;
        rest = &rest[written..];
    }
    Ok(())
}

/// A socket whose other end is read, and how messages are sent there.
struct Sending<A> {
    send: A,
    socket: TcpStream,
    words: Option<&'static str>,
    faults: Option<u64>,
    /// The shortest time of a message, in a turn.
    best: Duration,
}

impl<A: Fn(&mut TcpStream) -> io::Result<()> + 'static> Sending<A> {
    fn boxed(words: Option<&'static str>, send: A) -> Result<Box<dyn Cell>, Cannot> {
        let socket = connect().expect("loopback has room for a connection");
        Ok(Box::new(Self { send, socket, words, faults: None, best: Duration::MAX }))
    }

    fn message(&mut self) {
        (self.send)(&mut self.socket).expect("the reader reads to the end");
        self.socket.read_exact(&mut [0]).expect("the reader answers");
    }
}

/// A connection to a thread that reads messages until there are no more, and answers each with a byte.
fn connect() -> io::Result<TcpStream> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let near = TcpStream::connect(listener.local_addr()?)?;
    let (mut far, _) = listener.accept()?;
    thread::spawn(move || {
        let (mut place, mut left) = (vec![0; PIECE], MESSAGE);
        while let Ok(count @ 1..) = far.read(&mut place[..left.min(PIECE)]) {
            left -= count;
            if left == 0 {
                left = MESSAGE;
                // Whoever is gone needs no answer; the next read ends this.
                far.write_all(&[0]).ok();
            }
        }
    });
    Ok(near)
}

impl<A: Fn(&mut TcpStream) -> io::Result<()> + 'static> Cell for Sending<A> {
    fn time(&mut self, iterations: u64) -> Duration {
        let mut meter = Meter::default();
        (0..iterations).for_each(|_| meter.measure(|| self.message()));
        self.faults = meter.faults;
        self.best = self.best.min(meter.elapsed / iterations.max(1) as u32);
        meter.elapsed
    }

    fn faults(&self) -> Option<u64> {
        self.faults
    }

    fn note(&self) -> Option<String> {
        let rate = MESSAGE as f64 / self.best.as_secs_f64();
        let rate = format!("{}/s at best", Bytes(rate as u64));
        Some(self.words.map_or(rate.clone(), |words| format!("{words}, {rate}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_arrive_and_nothing_of_them_stays_out() {
        let pool = BufferPool::new();
        let mut cells = [Sending::boxed(None, send_pieces(pool.clone())), Sending::boxed(None, send_one(pool.clone()))];
        for cell in cells.iter_mut().flatten() {
            assert!(cell.time(2) > Duration::ZERO);
            assert!(cell.note().is_some_and(|note| note.ends_with("/s at best")));
        }
        let stats = pool.stats();
        assert_eq!((stats.gets, stats.outstanding), (2 * PIECES as u64 + 2, 0));
        assert!(Sending::boxed(None, send_vec).is_ok_and(|mut cell| cell.time(1) > Duration::ZERO));
    }
}
