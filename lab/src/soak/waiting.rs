//! Requests that wait: as futures that a worker polls now and then or gives up, and as calls that block.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use millpond::{Acquire, Capacity, Error, Pooled, PooledBatch, PooledBuf, Recycled};

use super::held::{Content, Held};
use super::ledger::{Demand, How, InLine};
use super::pond::{Kind, Pond};
use super::scene::Scene;
use super::values::{Brick, Token};
use crate::random::Random;

/// Most that one batch asks for.
const BATCH: u64 = 4;
/// One in so many asks for more than a small budget ever has.
const TOO_MANY: u64 = 200;
const HUGE_BATCH: u64 = 100;

/// What is asked of a pool.
enum Asked {
    Buf(Acquire<PooledBuf>, Content, usize),
    Bufs(Acquire<PooledBatch<PooledBuf>>, Vec<usize>),
    Brick(Acquire<Pooled<Brick>>),
    Token(Acquire<Pooled<Token>>),
    Tokens(Acquire<PooledBatch<Pooled<Token>>>),
}

/// What came of it.
enum Got {
    Buf(PooledBuf, Content, usize),
    Bufs(PooledBatch<PooledBuf>, Vec<usize>),
    Brick(Pooled<Brick>),
    Token(Pooled<Token>),
    Tokens(PooledBatch<Pooled<Token>>),
}

/// A request that has not been served.
pub struct Waiting {
    /// Before its place in the ledger, and before the pool that it waits for.
    asked: Asked,
    demand: Demand,
    place: Option<InLine>,
    pond: Arc<Pond>,
}

/// A macro, because what `Acquire` asks of its handle has no name outside of the crate.
macro_rules! blocked {
    ($acquire:expr, $patience:expr) => {
        match $patience {
            Patience::Endless => $acquire.wait(),
            Patience::Timeout(time) => $acquire.wait_timeout(*time),
            Patience::Deadline(time) => $acquire.wait_deadline(*time),
        }
    };
}

/// How long a thread waits.
pub enum Patience {
    /// For good.
    Endless,
    Timeout(Duration),
    Deadline(Instant),
}

impl Waiting {
    pub fn new(pond: Arc<Pond>, random: &mut Random) -> Self {
        let (asked, demand) = match pond.kind {
            Kind::Bricks => (Asked::Brick(pond.bricks().acquire()), pond.kind.values(1)),
            Kind::Tokens => tokens(&pond, random),
            _ if random.below(4) == 0 => bufs(&pond, random),
            _ => buf(&pond, random),
        };
        Self { asked, demand, place: None, pond }
    }

    /// What there is by now; none if it has to wait on.
    pub fn poll(&mut self, scene: &Scene) -> Option<Vec<Held>> {
        match self.asked.poll() {
            Poll::Pending => {
                self.place.get_or_insert_with(|| self.pond.ledger.stand(How::Polled, self.demand));
                None
            }
            Poll::Ready(result) => Some(take(result, &self.pond, scene)),
        }
    }

    /// Blocks until the request is served or patience is at its end.
    pub fn wait(self, patience: &Patience, scene: &Scene) -> Vec<Held> {
        let Self { asked, demand, pond, .. } = self;
        let _place = pond.ledger.stand(How::Blocked, demand);
        take(asked.wait(patience), &pond, scene)
    }
}

fn buf(pond: &Pond, random: &mut Random) -> (Asked, Demand) {
    let size = pond.kind.size(random);
    let (acquire, content) = match random.below(3) {
        0 => (pond.bytes().acquire(size), Content::Zero),
        1 => (pond.bytes().acquire(Capacity(size)), Content::Nothing),
        _ => (pond.bytes().acquire(Recycled(size)), Content::Anything),
    };
    (Asked::Buf(acquire, content, size), Demand { count: 1, bytes: pond.kind.block(size) })
}

fn bufs(pond: &Pond, random: &mut Random) -> (Asked, Demand) {
    let count = if random.below(TOO_MANY) == 0 { HUGE_BATCH } else { random.below(BATCH) };
    let sizes: Vec<_> = (0..=count).map(|_| pond.kind.size(random)).collect();
    let bytes = sizes.iter().map(|&size| pond.kind.block(size)).sum();
    let demand = Demand { count: sizes.len(), bytes };
    (Asked::Bufs(pond.bytes().acquire_many(sizes.clone()), sizes), demand)
}

fn tokens(pond: &Pond, random: &mut Random) -> (Asked, Demand) {
    match random.below(BATCH) as usize {
        0 => (Asked::Token(pond.tokens().acquire()), pond.kind.values(1)),
        more => (Asked::Tokens(pond.tokens().acquire_many(more)), pond.kind.values(more)),
    }
}

/// What was got, in the hands of a worker.
fn take(result: Result<Got, Error>, pond: &Pond, scene: &Scene) -> Vec<Held> {
    let Some(got) = scene.got(result, pond, false) else { return Vec::new() };
    let held: Vec<_> = match got {
        Got::Buf(buf, content, size) => vec![Held::buf(buf, pond, content, size, scene.owner())],
        Got::Bufs(batch, sizes) => {
            let held = |(buf, size)| Held::buf(buf, pond, Content::Zero, size, scene.owner());
            batch.into_iter().zip(sizes).map(held).collect()
        }
        Got::Brick(brick) => vec![Held::brick(brick, pond, scene.owner())],
        Got::Token(token) => vec![Held::token(token, pond, scene.owner())],
        Got::Tokens(batch) => batch.into_iter().map(|token| Held::token(token, pond, scene.owner())).collect(),
    };
    held.into_iter().filter_map(|held| held.map_err(|what| scene.fault(what)).ok()).collect()
}

impl Asked {
    /// Nobody is woken: workers come by again and again.
    fn poll(&mut self) -> Poll<Result<Got, Error>> {
        let context = &mut Context::from_waker(Waker::noop());
        match self {
            Self::Buf(one, content, size) => Pin::new(one).poll(context).map_ok(|buf| Got::Buf(buf, *content, *size)),
            Self::Bufs(many, sizes) => Pin::new(many).poll(context).map_ok(|bufs| Got::Bufs(bufs, sizes.clone())),
            Self::Brick(one) => Pin::new(one).poll(context).map_ok(Got::Brick),
            Self::Token(one) => Pin::new(one).poll(context).map_ok(Got::Token),
            Self::Tokens(many) => Pin::new(many).poll(context).map_ok(Got::Tokens),
        }
    }

    fn wait(self, patience: &Patience) -> Result<Got, Error> {
        match self {
            Self::Buf(one, content, size) => blocked!(one, patience).map(|buf| Got::Buf(buf, content, size)),
            Self::Bufs(many, sizes) => blocked!(many, patience).map(|bufs| Got::Bufs(bufs, sizes)),
            Self::Brick(one) => blocked!(one, patience).map(Got::Brick),
            Self::Token(one) => blocked!(one, patience).map(Got::Token),
            Self::Tokens(many) => blocked!(many, patience).map(Got::Tokens),
        }
    }
}
