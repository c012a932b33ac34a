//! The pools under test: kinds of them, and the one of each kind that is in use.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use millpond::{Budget, BufferPool, Eviction, Maintenance, Memory, Overflow, Pool, Stats, Zeroing};

use super::ledger::{Demand, Ledger};
use super::starve;
use super::values::{Brick, NoBrick, Token};
use crate::random::Random;

/// Short, so that memory visibly comes back in each silence.
pub const DECAY: Duration = Duration::from_secs(1);

/// One in so many new bricks is not made.
const BRICKS_FAIL: u64 = 50;
/// More than any brick weighs.
const HEAVY: usize = 1 << 20;
const TOKENS: usize = 24;

const KIB: usize = 1024;

/// What a pool is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Mapped memory, of all sizes.
    Pages,
    /// Large ones, on a child of the budget.
    Blocks,
    /// From the global allocator; what the budget has not, from outside of it.
    Heap,
    /// Wiped on return.
    Secrets,
    /// On a budget that is too small for all.
    Crowd,
    /// On a part of that.
    Corner,
    /// Weighed values, with a reserved minimum.
    Bricks,
    /// Not many values of one size, on the crowd's budget.
    Tokens,
}

pub const KINDS: [Kind; 8] =
    [Kind::Pages, Kind::Blocks, Kind::Heap, Kind::Secrets, Kind::Crowd, Kind::Corner, Kind::Bricks, Kind::Tokens];

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Self::Pages => "pages",
            Self::Blocks => "blocks",
            Self::Heap => "heap",
            Self::Secrets => "secrets",
            Self::Crowd => "crowd",
            Self::Corner => "corner",
            Self::Bricks => "bricks",
            Self::Tokens => "tokens",
        }
    }

    fn classes(self) -> &'static [usize] {
        match self {
            Self::Pages => &[512, 2 * KIB, 4 * KIB, 16 * KIB, 64 * KIB, 256 * KIB, 1024 * KIB],
            Self::Blocks => &[64 * KIB, 256 * KIB, 1024 * KIB, 4096 * KIB],
            Self::Heap => &[256, KIB, 4 * KIB, 16 * KIB, 64 * KIB],
            Self::Secrets => &[256, 4 * KIB, 64 * KIB],
            Self::Crowd => &[KIB, 4 * KIB, 16 * KIB, 64 * KIB],
            Self::Corner => &[KIB, 8 * KIB],
            Self::Bricks | Self::Tokens => &[],
        }
    }

    /// A size to ask for, small ones more often, and now and then one that is larger than every class.
    pub fn size(self, random: &mut Random) -> usize {
        let classes = self.classes();
        let fewer = random.below(classes.len() as u64) + 1;
        let class = classes[random.below(fewer) as usize];
        let beyond = if random.below(200) == 0 { class } else { 0 };
        1 + beyond + random.below(class as u64) as usize
    }

    /// What a buffer for so many bytes may be charged with.
    pub fn block(self, size: usize) -> usize {
        let class = self.classes().iter().copied().find(|&class| class >= size);
        class.unwrap_or(size.next_multiple_of(64 * KIB))
    }

    /// What so many values may be charged with.
    pub fn values(self, count: usize) -> Demand {
        let each = if self == Self::Tokens { size_of::<Token>() } else { HEAVY };
        Demand { count, bytes: count * each }
    }
}

/// A pool that is in use, or was.
pub struct Pond {
    pub kind: Kind,
    pub ledger: Arc<Ledger>,
    pool: AnyPool,
    maintenance: Maintenance,
    closed: AtomicBool,
}

enum AnyPool {
    Bytes(BufferPool),
    Bricks(Pool<Brick>),
    Tokens(Pool<Token>),
}

/// What a pool is made of, besides its kind.
pub struct Making<'a> {
    pub budget: &'a Budget,
    /// The sum of what all bricks weigh, and how many were not made.
    pub bricks: &'a Arc<AtomicUsize>,
    pub create_failures: &'a Arc<AtomicUsize>,
    /// Pools of a kind alternate between threads of their own and none, and between evictions.
    pub generation: usize,
}

impl Pond {
    pub fn make(kind: Kind, making: &Making<'_>) -> Self {
        let pool = match kind {
            Kind::Bricks => AnyPool::Bricks(bricks(making)),
            Kind::Tokens => AnyPool::Tokens(tokens(making)),
            _ => AnyPool::Bytes(bytes(kind, making)),
        };
        let maintenance = maintenance(making.generation);
        Self { kind, ledger: Arc::default(), pool, maintenance, closed: AtomicBool::new(false) }
    }

    /// Whether a thread of the pools' own looks after it.
    pub fn is_looked_after(&self) -> bool {
        self.maintenance == Maintenance::Thread
    }

    pub fn bytes(&self) -> &BufferPool {
        match &self.pool {
            AnyPool::Bytes(pool) => pool,
            _ => unreachable!("{} are values", self.kind.name()),
        }
    }

    pub fn bricks(&self) -> &Pool<Brick> {
        match &self.pool {
            AnyPool::Bricks(pool) => pool,
            _ => unreachable!("{} are no bricks", self.kind.name()),
        }
    }

    pub fn tokens(&self) -> &Pool<Token> {
        match &self.pool {
            AnyPool::Tokens(pool) => pool,
            _ => unreachable!("{} are no tokens", self.kind.name()),
        }
    }

    pub fn stats(&self) -> Stats {
        match &self.pool {
            AnyPool::Bytes(pool) => pool.stats(),
            AnyPool::Bricks(pool) => pool.stats(),
            AnyPool::Tokens(pool) => pool.stats(),
        }
    }

    pub fn trim(&self, keep: usize) {
        match &self.pool {
            AnyPool::Bytes(pool) => pool.trim(keep),
            AnyPool::Bricks(pool) => pool.trim(keep),
            AnyPool::Tokens(pool) => pool.trim(keep),
        };
    }

    pub fn maintain(&self) {
        match &self.pool {
            AnyPool::Bytes(pool) => pool.maintain(),
            AnyPool::Bricks(pool) => pool.maintain(),
            AnyPool::Tokens(pool) => pool.maintain(),
        }
    }

    pub fn attach_thread(&self) {
        match &self.pool {
            AnyPool::Bytes(pool) => pool.attach_thread(),
            AnyPool::Bricks(pool) => pool.attach_thread(),
            AnyPool::Tokens(pool) => pool.attach_thread(),
        }
    }

    pub fn close(&self) {
        // Before, so that nobody meets a closed pool that does not say so. Under the pool's own orderings.
        self.closed.store(true, Relaxed);
        match &self.pool {
            AnyPool::Bytes(pool) => pool.close(),
            AnyPool::Bricks(pool) => pool.close(),
            AnyPool::Tokens(pool) => pool.close(),
        }
    }

    pub fn is_closed(&self) -> bool {
        self.closed.load(Relaxed)
    }
}

fn maintenance(generation: usize) -> Maintenance {
    [Maintenance::Thread, Maintenance::Manual][generation & 1]
}

fn bytes(kind: Kind, making: &Making<'_>) -> BufferPool {
    let eviction = [Eviction::ClockPro, Eviction::Lifo][making.generation >> 1 & 1];
    let builder = BufferPool::builder()
        .name(kind.name())
        .size_classes(kind.classes().iter().copied())
        .budget(making.budget)
        .decay(DECAY)
        .maintenance(maintenance(making.generation))
        .eviction(eviction);
    let builder = match kind {
        Kind::Heap => builder.memory(Memory::heap()).overflow(Overflow::Unpooled),
        Kind::Secrets => builder.memory(Memory::mapped()).zeroing(Zeroing::OnReturn),
        Kind::Blocks => builder.memory(Memory::mapped()).max_idle(24 << 20).thread_cache(256 * KIB),
        _ => builder.memory(Memory::mapped()),
    };
    builder.build().expect("options that are allowed, and nothing to prefill")
}

fn bricks(making: &Making<'_>) -> Pool<Brick> {
    let (total, failures) = (making.bricks.clone(), making.create_failures.clone());
    let made = AtomicUsize::new(0);
    let create = move || {
        // Relaxed: any order will do.
        let mut random = Random::seeded(made.fetch_add(1, Relaxed) as u64);
        if random.below(BRICKS_FAIL) == 0 {
            failures.fetch_add(1, Relaxed);
            return Err(NoBrick);
        }
        starve::fed(|| Brick::with_room(64 << random.below(10), &total))
    };
    Pool::builder()
        .name(Kind::Bricks.name())
        .try_create(create)
        .weigh(Brick::weigh)
        .budget(making.budget)
        .decay(DECAY)
        .maintenance(maintenance(making.generation))
        .build()
        .expect("options that are allowed, and nothing to prefill")
}

fn tokens(making: &Making<'_>) -> Pool<Token> {
    Pool::builder()
        .name(Kind::Tokens.name())
        .create(Token::new)
        .max_objects(TOKENS)
        .budget(making.budget)
        .decay(DECAY)
        .maintenance(maintenance(making.generation))
        .build()
        .expect("options that are allowed, and nothing to prefill")
}
