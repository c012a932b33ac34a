//! Many clients at once: most send a message, read it back and send the next; some read slowly what they sent fast.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tokio::time::sleep_until;

use crate::linux::Result;
use crate::linux::client::{Client, LONGEST, Pace, random};

/// Clients that connect at once: fewer than any system keeps for a program until it accepts them.
const AT_ONCE: usize = 100;
/// The first message, by which a client knows that it is connected to the upstream, and the last, in bytes.
const FIRST: usize = 64;
const LAST: usize = 1 << 10;
/// Bytes that slow readers have the system keep for them.
const SLOW_WINDOW: u32 = 8 << 10;
/// What slow readers read at once, in bytes, and how often.
const SLOW_BYTES: usize = 8 << 10;
const SLOW_PAUSE: Duration = Duration::from_millis(100);

/// What came of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Tally {
    /// Bytes that came back to anybody in time.
    pub(crate) bytes: u64,
    /// Messages of those that read at once, in time, and the longest time that one took.
    pub(crate) messages: u64,
    pub(crate) longest: Duration,
    /// Connections that are lost, and why the first of them is.
    pub(crate) lost: u64,
    pub(crate) why: String,
}

impl Tally {
    fn lose(&mut self, error: &io::Error) {
        if self.lost == 0 {
            self.why = error.to_string();
        }
        self.lost += 1;
    }

    pub(crate) fn read(words: &[String]) -> Result<Tally> {
        match words {
            [bytes, messages, longest, lost, why @ ..] => Ok(Tally {
                bytes: bytes.parse()?,
                messages: messages.parse()?,
                longest: Duration::from_micros(longest.parse()?),
                lost: lost.parse()?,
                why: why.join(" "),
            }),
            _ => Err("the clients say too little".into()),
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Tally { bytes, messages, lost, why, .. } = self;
        write!(f, "{bytes} {messages} {} {lost} {why}", self.longest.as_micros())
    }
}

/// All clients.
pub(crate) struct Load {
    clients: Vec<(usize, Client)>,
    /// So many of them, the first, read slowly.
    slow: usize,
    /// Bytes that came back.
    came_back: Arc<AtomicU64>,
}

impl Load {
    pub(crate) async fn connect(to: SocketAddr, connections: usize, slow: usize) -> io::Result<Self> {
        let mut clients = Vec::with_capacity(connections);
        let mut coming = JoinSet::new();
        let came_back = Arc::default();
        for number in 0..connections {
            if coming.len() == AT_ONCE {
                clients.extend(coming.join_next().await.transpose()?.transpose()?);
            }
            let window = (number < slow).then_some(SLOW_WINDOW);
            let came_back = Arc::clone(&came_back);
            coming.spawn(async move {
                let mut client = Client::connect(to, number, window, came_back).await?;
                client.exchange(FIRST, None).await?;
                Ok::<_, io::Error>((number, client))
            });
        }
        while let Some(client) = coming.join_next().await {
            clients.push(client??);
        }
        Ok(Load { clients, slow, came_back })
    }

    /// Traffic for some time, and then until what was sent has come back.
    pub(crate) async fn run(&mut self, time: Duration) -> Tally {
        let (until, before, slow) = (Instant::now() + time, self.came_back.load(Relaxed), self.slow);
        let mut running: JoinSet<_> = (self.clients.drain(..))
            .map(|(number, mut client)| async move {
                let result = match number < slow {
                    true => talk_slowly(&mut client, until).await,
                    false => talk(&mut client, number, until).await,
                };
                (number, client, result)
            })
            .collect();
        sleep_until(until.into()).await;
        let mut all = Tally { bytes: self.came_back.load(Relaxed) - before, ..Tally::default() };
        while let Some(ended) = running.join_next().await {
            match ended {
                Ok((number, client, Ok((messages, longest)))) => {
                    all.messages += messages;
                    all.longest = all.longest.max(longest);
                    self.clients.push((number, client));
                }
                Ok((_, _, Err(error))) => all.lose(&error),
                Err(panicked) => all.lose(&panicked.into()),
            }
        }
        all
    }

    /// Ends all connections in order. Tells how many cannot.
    pub(crate) async fn finish(self) -> Tally {
        let mut ending: JoinSet<_> = self.clients.into_iter().map(|(_, client)| client.finish(LAST)).collect();
        let mut all = Tally::default();
        while let Some(ended) = ending.join_next().await {
            match ended {
                Ok(Ok(())) => {}
                Ok(Err(error)) => all.lose(&error),
                Err(panicked) => all.lose(&panicked.into()),
            }
        }
        all
    }
}

/// Messages of 1 to 32 KiB, small ones as often as large ones. How many, and the longest time.
async fn talk(client: &mut Client, number: usize, until: Instant) -> io::Result<(u64, Duration)> {
    let (mut messages, mut longest, mut state) = (0, Duration::ZERO, number as u64);
    loop {
        let begun = Instant::now();
        client.exchange(1024 << (random(&mut state) % 6), None).await?;
        longest = longest.max(begun.elapsed());
        if Instant::now() >= until {
            return Ok((messages, longest));
        }
        messages += 1;
    }
}

/// Long messages, which come back faster than they are read. None of them counts as one.
async fn talk_slowly(client: &mut Client, until: Instant) -> io::Result<(u64, Duration)> {
    let pace = Pace { bytes: SLOW_BYTES, pause: SLOW_PAUSE, until };
    while Instant::now() < until {
        client.exchange(LONGEST, Some(pace)).await?;
    }
    Ok((0, Duration::ZERO))
}
