//! Something out of a pool, in the hands of one worker: stamped, and accounted for.

use std::sync::Arc;

use millpond::{Error, Pooled, PooledArc, PooledBuf, PooledBytes};

use super::ledger::Tally;
use super::pond::{Kind, Pond};
use super::stamp;
use super::values::{Brick, Token};
use crate::random::Random;

/// Bytes in a brick when it is got.
const BRICK: u64 = 4096;

pub struct Held {
    /// Before the tally, which tells of it.
    what: What,
    pub kind: Kind,
    owner: u64,
    /// Bytes that were stamped.
    len: usize,
    tally: Arc<Tally>,
}

enum What {
    Buf(PooledBuf),
    /// From this place on of what was stamped.
    Frozen(PooledBytes, usize),
    Brick(Pooled<Brick>),
    Shared(PooledArc<Brick>),
    Token(Pooled<Token>),
}

/// What may be found in a buffer that is new in somebody's hands.
#[derive(Clone, Copy)]
pub enum Content {
    Zero,
    Nothing,
    Anything,
}

impl Held {
    /// A buffer that was asked for with `size` bytes. An error tells what it shows of others.
    pub fn buf(mut buf: PooledBuf, pond: &Pond, content: Content, size: usize, owner: u64) -> Result<Self, String> {
        match content {
            Content::Nothing if !buf.is_empty() => return Err(format!("{} bytes in an empty buffer", buf.len())),
            Content::Zero => stamp::check_zero(&buf, "bytes asked to be zero")?,
            Content::Anything if pond.kind == Kind::Secrets => stamp::check_zero(&buf, "bytes of a pool that wipes")?,
            Content::Nothing | Content::Anything => {}
        }
        if buf.capacity() < size || buf.len() > size {
            return Err(format!("{} bytes asked for, {} of {} got", size, buf.len(), buf.capacity()));
        }
        buf.resize(size, 0);
        stamp::set(&mut buf, owner);
        pond.ledger.served(1);
        let tally = pond.ledger.hold(buf.capacity());
        Ok(Self { what: What::Buf(buf), kind: pond.kind, owner, len: size, tally: Arc::new(tally) })
    }

    pub fn brick(mut brick: Pooled<Brick>, pond: &Pond, owner: u64) -> Result<Self, String> {
        if !brick.bytes.is_empty() {
            return Err(format!("{} bytes in a brick that was got", brick.bytes.len()));
        }
        let len = (owner % BRICK) as usize;
        brick.bytes.resize(len, 0);
        stamp::set(&mut brick.bytes, owner);
        pond.ledger.served(1);
        let tally = pond.ledger.hold(0);
        Ok(Self { what: What::Brick(brick), kind: pond.kind, owner, len, tally: Arc::new(tally) })
    }

    pub fn token(mut token: Pooled<Token>, pond: &Pond, owner: u64) -> Result<Self, String> {
        if token.owner != 0 {
            return Err(format!("token {owner} is {}'s: two hands on one value", token.owner));
        }
        *token = Token { owner, places: [owner; 15] };
        pond.ledger.served(1);
        let tally = pond.ledger.hold(size_of::<Token>());
        Ok(Self { what: What::Token(token), kind: pond.kind, owner, len: 0, tally: Arc::new(tally) })
    }

    /// The bytes that this handle keeps from others.
    pub fn bytes(&self) -> usize {
        self.tally.bytes()
    }

    /// Whether all is as its owner left it.
    pub fn check(&self) -> Result<(), String> {
        let bytes = |bytes: &[u8], at| stamp::check(bytes, at, self.len, self.owner);
        match &self.what {
            What::Buf(buf) if buf.len() != self.len => {
                Err(format!("a buffer of {} bytes has {} of them now", self.len, buf.len()))
            }
            What::Buf(buf) => bytes(buf, 0),
            What::Frozen(frozen, at) => bytes(frozen, *at),
            What::Brick(brick) => bytes(&brick.bytes, 0),
            What::Shared(brick) => bytes(&brick.bytes, 0),
            What::Token(token) if token.owner != self.owner || token.places != [self.owner; 15] => {
                Err(format!("token of {} is {}'s: two hands on one value", self.owner, token.owner))
            }
            What::Token(_) => Ok(()),
        }
        .map_err(|what| format!("{}: {what}", self.kind.name()))
    }

    /// Appends so many bytes, which may take another buffer.
    pub fn grow(&mut self, by: usize) -> Option<Result<(), Error>> {
        match &mut self.what {
            What::Buf(buf) => {
                if let Err(error) = buf.try_extend_from_slice(&vec![0; by]) {
                    return Some(Err(error));
                }
                stamp::set(buf, self.owner);
                if buf.capacity() != self.tally.bytes() {
                    self.tally.ledger().served(1);
                    self.tally.resize(buf.capacity());
                }
            }
            What::Brick(brick) => {
                brick.bytes.resize(self.len + by, 0);
                stamp::set(&mut brick.bytes, self.owner);
            }
            _ => return None,
        }
        self.len += by;
        Some(Ok(()))
    }

    pub fn is_frozen(&self) -> bool {
        matches!(self.what, What::Frozen(..) | What::Shared(_))
    }

    /// Immutable from now on. Tokens stay as they are.
    pub fn freeze(mut self) -> Self {
        self.what = match self.what {
            What::Buf(buf) => What::Frozen(buf.freeze(), 0),
            What::Brick(brick) => What::Shared(brick.freeze()),
            what => what,
        };
        self
    }

    /// Another handle on a part of what is frozen.
    pub fn share(&self, random: &mut Random) -> Option<Self> {
        let what = match &self.what {
            What::Frozen(bytes, at) => {
                // Never all but nothing, for no bytes keep no buffer.
                let from = random.below(bytes.len() as u64) as usize;
                What::Frozen(bytes.slice(from..), at + from)
            }
            What::Shared(brick) => What::Shared(brick.clone()),
            _ => return None,
        };
        Some(Self { what, kind: self.kind, owner: self.owner, len: self.len, tally: self.tally.clone() })
    }

    /// Its owner's alone again, if nobody shares it.
    pub fn thaw(mut self) -> Self {
        self.what = match self.what {
            What::Frozen(bytes, at) => match bytes.try_into_mut() {
                Ok(mut buf) => {
                    // What was cut off in front is gone, so all lies elsewhere.
                    self.len = buf.len();
                    stamp::set(&mut buf, self.owner);
                    What::Buf(buf)
                }
                Err(bytes) => What::Frozen(bytes, at),
            },
            What::Shared(brick) => brick.try_into_mut().map_or_else(What::Shared, What::Brick),
            what => what,
        };
        self
    }

    /// Takes a brick out of its pool for good; whether it was one.
    pub fn detach(self) -> Result<(), Self> {
        match self.what {
            What::Brick(brick) => drop(brick.detach()),
            what => return Err(Self { what, ..self }),
        }
        Ok(())
    }

    /// Writes what its owner would not; for `--plant`.
    pub fn spoil(&mut self) {
        if let What::Buf(buf) = &mut self.what {
            buf[0] ^= 0xff;
        }
    }
}
