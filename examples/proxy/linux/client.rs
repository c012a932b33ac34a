//! A client of an echo: sends bytes that it can tell from all others, and compares every byte that comes back.

use std::cell::RefCell;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt;
use tokio::net::tcp::ReadHalf;
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{sleep, timeout};

/// The longest message, in bytes.
pub(crate) const LONGEST: usize = 256 << 10;

/// Bytes after which what connections send repeats itself. A prime: no part of it stands where another would.
const PERIOD: usize = 1_000_003;

/// Nobody may say nothing for so long.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// Noise, and its beginning once more.
static NOISE: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut state = 1;
    let mut noise: Vec<u8> = (0..PERIOD).map(|_| (random(&mut state) >> 56) as u8).collect();
    noise.extend_from_within(..LONGEST);
    noise
});

thread_local! {
    /// Where all connections of a thread read to.
    static SCRATCH: RefCell<Vec<u8>> = RefCell::new(vec![0; 64 << 10]);
}

/// The next number of the generator splitmix64.
pub(crate) fn random(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut bits = *state;
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

/// How fast a reader reads: so many bytes, then a pause, until a time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    pub(crate) bytes: usize,
    pub(crate) pause: Duration,
    pub(crate) until: Instant,
}

/// A connection, and how far it has come.
pub(crate) struct Client {
    stream: TcpStream,
    /// Where in the noise its bytes begin.
    start: usize,
    /// Bytes that were sent and came back.
    done: usize,
    /// Bytes that came back to all.
    came_back: Arc<AtomicU64>,
}

impl Client {
    /// Connection `number`, which has the system keep about as many bytes until they are read.
    pub(crate) async fn connect(
        to: SocketAddr,
        number: usize,
        receive_buffer: Option<u32>,
        came_back: Arc<AtomicU64>,
    ) -> io::Result<Self> {
        let socket = TcpSocket::new_v4()?;
        if let Some(bytes) = receive_buffer {
            socket.set_recv_buffer_size(bytes)?;
        }
        let stream = timeout(DEADLINE, socket.connect(to)).await??;
        stream.set_nodelay(true)?;
        // Next to no two connections are at the same place.
        Ok(Client { stream, start: number * 7919 % PERIOD, done: 0, came_back })
    }

    /// Sends a message and reads it back.
    pub(crate) async fn exchange(&mut self, len: usize, pace: Option<Pace>) -> io::Result<()> {
        let place = self.start + self.done;
        let (read, mut write) = self.stream.split();
        let sent = write.write_all(message(place, len));
        tokio::try_join!(timely(sent), receive(&read, place, len, pace, &self.came_back))?;
        self.done += len;
        Ok(())
    }

    /// Sends a last message and that there is no more, reads it back, and then the end.
    pub(crate) async fn finish(mut self, len: usize) -> io::Result<()> {
        let place = self.start + self.done;
        let (read, mut write) = self.stream.split();
        let sent = async {
            write.write_all(message(place, len)).await?;
            write.shutdown().await
        };
        tokio::try_join!(timely(sent), receive(&read, place, len, None, &self.came_back))?;
        match timely(some(&read, place + len, LONGEST)).await? {
            0 => Ok(()),
            more => Err(wrong(format!("{more} bytes more than were sent"))),
        }
    }

    /// Where in the noise its next byte is.
    #[cfg(test)]
    pub(crate) fn place(&self) -> usize {
        self.start + self.done
    }

    /// The connection itself, for those who are to behave badly.
    #[cfg(test)]
    pub(crate) fn into_stream(self) -> TcpStream {
        self.stream
    }
}

/// The bytes of a message.
pub(crate) fn message(place: usize, len: usize) -> &'static [u8] {
    &NOISE[place % PERIOD..][..len]
}

/// An error where nothing happens for too long.
async fn timely<T>(what: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    timeout(DEADLINE, what).await?
}

/// Reads a message, and finds that it is what was sent.
async fn receive(read: &ReadHalf<'_>, place: usize, len: usize, pace: Option<Pace>, all: &AtomicU64) -> io::Result<()> {
    let mut done = 0;
    while done < len {
        let pace = pace.filter(|pace| Instant::now() < pace.until);
        let most = pace.map_or(LONGEST, |pace| pace.bytes);
        match timely(some(read, place + done, most.min(len - done))).await? {
            0 => return Err(wrong(format!("the end, after {done} bytes of {len}"))),
            count => {
                done += count;
                all.fetch_add(count as u64, Relaxed);
            }
        }
        if let Some(pace) = pace {
            sleep(pace.pause).await;
        }
    }
    Ok(())
}

/// Reads up to so many bytes and compares them with what was sent. How many; none at the end.
async fn some(read: &ReadHalf<'_>, place: usize, most: usize) -> io::Result<usize> {
    loop {
        read.readable().await?;
        let result = SCRATCH.with_borrow_mut(|scratch| {
            let most = most.min(scratch.len());
            let count = read.try_read(&mut scratch[..most])?;
            match scratch[..count] == *message(place, count) {
                true => Ok(count),
                false => Err(wrong(format!("other bytes than were sent, at {place}"))),
            }
        });
        match result {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            result => return result,
        }
    }
}

fn wrong(what: String) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, what)
}
