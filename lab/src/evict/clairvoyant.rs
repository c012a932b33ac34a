//! What a pool could do that knows the future: the bound that the others are measured by.
//!
//! When too much lies idle, the buffer goes that will be used farthest in the future (L. A. Belady, "A study of
//! replacement algorithms for a virtual-storage computer", IBM Systems Journal 5(2), 1966). Buffers of a class are
//! alike and lie on a stack. So the `n`th of a class is next used when `n` of them are out again, and of those that
//! lie idle the topmost is used last.
//!
//! Where all buffers have one size, nothing can have more hits. Where sizes differ, it is a yardstick and no bound:
//! it may then pay to evict several small buffers for a large one that is used later, or the other way round.

use super::trace::{Operation, Trace};

/// How many gets find an idle buffer.
pub fn hits(trace: &Trace, max_idle: u64) -> u64 {
    let future = Future::of(trace);
    let mut pool = Pool::new(trace, max_idle);
    let mut hits = 0;
    for (now, operation) in trace.operations.iter().enumerate() {
        match *operation {
            Operation::Get(class) => hits += u64::from(pool.get(class.into())),
            Operation::Return(class) => pool.put(class.into(), |class, nth| future.use_of(class, nth, now)),
        }
    }
    hits
}

/// When each buffer of a stack is used.
struct Future {
    /// By class and place in the stack, ascending.
    uses: Vec<Vec<Vec<usize>>>,
}

impl Future {
    fn of(trace: &Trace) -> Self {
        let mut uses = vec![Vec::<Vec<usize>>::new(); trace.classes.len()];
        let mut out = vec![0; trace.classes.len()];
        for (now, operation) in trace.operations.iter().enumerate() {
            match *operation {
                Operation::Get(class) => {
                    let (class, nth) = (usize::from(class), out[usize::from(class)]);
                    if uses[class].len() == nth {
                        uses[class].push(Vec::new());
                    }
                    uses[class][nth].push(now);
                    out[class] += 1;
                }
                Operation::Return(class) => out[usize::from(class)] -= 1,
            }
        }
        Self { uses }
    }

    /// When the `nth` buffer of a class, counted from 0, is used after `now`.
    fn use_of(&self, class: usize, nth: usize, now: usize) -> usize {
        let uses = &self.uses[class][nth];
        uses.get(uses.partition_point(|&time| time <= now)).copied().unwrap_or(usize::MAX)
    }
}

/// How many buffers there are.
struct Pool {
    classes: Vec<Class>,
    idle: u64,
    max_idle: u64,
}

struct Class {
    size: u64,
    out: usize,
    /// Out or idle.
    resident: usize,
}

impl Pool {
    fn new(trace: &Trace, max_idle: u64) -> Self {
        let class = |&size: &usize| Class { size: size as u64, out: 0, resident: 0 };
        Self { classes: trace.classes.iter().map(class).collect(), idle: 0, max_idle }
    }

    /// True if a buffer lay idle.
    fn get(&mut self, class: usize) -> bool {
        let class = &mut self.classes[class];
        let hit = class.resident > class.out;
        class.out += 1;
        if hit {
            self.idle -= class.size;
        } else {
            class.resident += 1;
        }
        hit
    }

    /// Takes a buffer back, and evicts until no more lies idle than may.
    fn put(&mut self, class: usize, next_use: impl Fn(usize, usize) -> usize) {
        self.classes[class].out -= 1;
        self.idle += self.classes[class].size;
        while self.idle > self.max_idle {
            let idle = self.classes.iter().enumerate().filter(|(_, class)| class.resident > class.out);
            let farthest = idle.max_by_key(|(number, class)| next_use(*number, class.resident - 1));
            let (victim, _) = farthest.expect("what is idle is of some class");
            self.classes[victim].resident -= 1;
            self.idle -= self.classes[victim].size;
        }
    }
}
