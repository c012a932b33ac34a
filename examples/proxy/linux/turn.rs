//! One turn: three processes, connections, traffic, silence, and the end of all connections.

use std::io;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::linux::Result;
use crate::linux::client::DEADLINE;
use crate::linux::control::Peer;
use crate::linux::load::Tally;
use crate::linux::mark::Mark;
use crate::linux::options::Options;
use crate::linux::roles::{CLIENTS, PROXY, UPSTREAM};
use crate::linux::server::End;
use crate::linux::way::Way;

/// How long nobody says anything, until memory is measured. More than twice what the pool needs to give it back.
const SILENCE: Duration = Duration::from_millis(1500);

/// What came of a turn.
#[derive(Clone, Debug)]
pub(crate) struct Turn {
    pub(crate) way: Way,
    pub(crate) tally: Tally,
    /// Of the proxy, for the traffic.
    pub(crate) cpu: Duration,
    /// Before anybody connected; with all connected; after the traffic; after some silence, with all still connected;
    /// when all connections had ended.
    pub(crate) started: Mark,
    pub(crate) connected: Mark,
    pub(crate) busy: Mark,
    pub(crate) silent: Mark,
    pub(crate) ended: Mark,
}

/// Starts three processes by the words of their parts, and ends them.
pub(crate) fn turn(start: &impl Fn(&[String]) -> io::Result<Command>, way: Way, options: &Options) -> Result<Turn> {
    let part = |name: &'static str, rest: &[&str]| -> Result<(Peer, Vec<String>)> {
        let words: Vec<_> = [&[name], rest].concat().into_iter().map(str::to_owned).collect();
        let mut peer = Peer::start(name, start(&words)?)?;
        let first = peer.hear(DEADLINE * 2)?;
        Ok((peer, first))
    };
    let (_upstream, port) = part(UPSTREAM, &[])?;
    let (mut proxy, port) = part(PROXY, &[way.name(), &options.budget.to_string(), &port.concat()])?;
    let mut mark = || Mark::read(&proxy.ask("mark", DEADLINE)?);

    let started = mark()?;
    let (connections, slow) = (options.connections.to_string(), options.slow.to_string());
    let (mut clients, _) = part(CLIENTS, &[&port.concat(), &connections, &slow])?;
    let connected = until(&mut mark, |mark| mark.open == options.connections as u64)?;

    let time = Duration::from_secs(options.seconds);
    clients.order(options.seconds)?;
    sleep(time);
    let cpu = mark()?.cpu - connected.cpu;
    let mut tally = Tally::read(&clients.hear(2 * DEADLINE)?)?;
    let busy = mark()?;
    sleep(SILENCE);
    let silent = mark()?;

    let finished = Tally::read(&clients.ask("finish", 2 * DEADLINE)?)?;
    tally.lost += finished.lost;
    if tally.why.is_empty() {
        tally.why = finished.why;
    }
    let ended = until(&mut mark, |mark| mark.open == 0)?;
    Ok(Turn { way, tally, cpu, started, connected, busy, silent, ended })
}

/// Asks until it is so.
fn until(mark: &mut impl FnMut() -> Result<Mark>, so: impl Fn(&Mark) -> bool) -> Result<Mark> {
    let begun = Instant::now();
    loop {
        let mark = mark()?;
        if so(&mark) {
            return Ok(mark);
        }
        if begun.elapsed() > DEADLINE {
            return Err(format!("the proxy has {} open connections, after {DEADLINE:?}", mark.open).into());
        }
        sleep(Duration::from_millis(5));
    }
}

impl Turn {
    /// What must be so, whatever the machine.
    pub(crate) fn check(&self, options: &Options) -> Result<()> {
        let Turn { tally, silent, ended, .. } = self;
        let clean = ended.ends[End::Clean as usize];
        if tally.lost > 0 || clean != options.connections as u64 {
            let Tally { lost, why, .. } = tally;
            return Err(format!("{lost} connections are lost ({why}), {clean} ended in order: {ended:?}").into());
        }
        if tally.messages == 0 {
            return Err("no message came back".into());
        }
        if ended.peak > options.budget as u64 {
            return Err(format!("{} bytes in use, of a budget of {}", ended.peak, options.budget).into());
        }
        if silent.out > 0 {
            return Err(format!("idle connections hold buffers of {} bytes", silent.out).into());
        }
        Ok(())
    }
}
