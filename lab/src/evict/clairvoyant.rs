//! What a pool could do that knows the future: the bound that the others are measured by.
//!
//! When too much lies idle, the buffer goes that will be used farthest in the future (L. A. Belady, "A study of
//! replacement algorithms for a virtual-storage computer", IBM Systems Journal 5(2), 1966). Buffers of a class are
//! alike and lie on a stack. So the `n`th of a class is next used when `n` of them are out again, and of those that
//! lie idle the topmost is used last.
//!
//! Where all buffers have one size, nothing can have more hits. Where sizes differ, it is a yardstick and no bound: to let
//! one large buffer go that is used soon may then be better than to let several small ones go that are used later.

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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::random::Random;

    /// A short trace on these classes, with up to four buffers of each out.
    fn random_trace(random: &mut Random, classes: &[usize]) -> Trace {
        let mut out = vec![0; classes.len()];
        let mut one = |_| {
            let class = random.below(classes.len() as u64) as usize;
            let is_get = out[class] == 0 || out[class] < 4 && random.below(2) == 0;
            out[class] = if is_get { out[class] + 1 } else { out[class] - 1 };
            if is_get { Operation::Get(class as u8) } else { Operation::Return(class as u8) }
        };
        let operations = (0..30).map(&mut one).collect();
        Trace { name: "random".to_owned(), classes: classes.to_vec(), operations }
    }

    /// How many buffers of each class may be resident, and the most hits until then.
    type States = BTreeMap<Vec<usize>, u64>;

    /// The most hits that any choice of victims gives, be they evicted too early or for nothing.
    fn most_hits(trace: &Trace, max_idle: u64) -> u64 {
        let mut out = vec![0; trace.classes.len()];
        let mut states = States::from([(out.clone(), 0)]);
        for operation in &trace.operations {
            states = match *operation {
                Operation::Get(class) => {
                    out[usize::from(class)] += 1;
                    after_get(states, class.into(), &out)
                }
                Operation::Return(class) => {
                    out[usize::from(class)] -= 1;
                    let idle = |left: &[usize]| {
                        (0..out.len()).map(|at| (left[at] - out[at]) * trace.classes[at]).sum::<usize>()
                    };
                    after_return(states, &out, |left| idle(left) <= max_idle as usize)
                }
            };
        }
        states.into_values().max().unwrap_or(0)
    }

    fn after_get(before: States, class: usize, out: &[usize]) -> States {
        let mut states = States::new();
        for (mut resident, hits) in before {
            let hit = resident[class] >= out[class];
            resident[class] = resident[class].max(out[class]);
            let best = states.entry(resident).or_insert(0);
            *best = (hits + u64::from(hit)).max(*best);
        }
        states
    }

    fn after_return(before: States, out: &[usize], fits: impl Fn(&[usize]) -> bool) -> States {
        let mut states = States::new();
        for (resident, hits) in before {
            for left in evicted(&resident, out).into_iter().filter(|left| fits(left)) {
                let best = states.entry(left).or_insert(0);
                *best = hits.max(*best);
            }
        }
        states
    }

    /// All that may be left when some of what is idle is evicted.
    fn evicted(resident: &[usize], out: &[usize]) -> Vec<Vec<usize>> {
        let mut left = vec![Vec::new()];
        for (&resident, &out) in resident.iter().zip(out) {
            let with = |rest: &Vec<usize>| (out..=resident).map(|n| [&rest[..], &[n]].concat()).collect();
            left = left.iter().flat_map::<Vec<_>, _>(with).collect();
        }
        left
    }

    #[test]
    fn no_choice_of_victims_has_more_hits_where_sizes_are_equal() {
        let mut random = Random::seeded(1);
        for _ in 0..100 {
            let trace = random_trace(&mut random, &[1, 1, 1]);
            for max_idle in 0..6 {
                assert_eq!(hits(&trace, max_idle), most_hits(&trace, max_idle), "{max_idle} idle, {trace:?}");
            }
        }
    }

    #[test]
    fn where_sizes_differ_it_is_one_choice_of_many() {
        let mut random = Random::seeded(2);
        for _ in 0..100 {
            let trace = random_trace(&mut random, &[2, 3, 5]);
            for max_idle in 0..12 {
                let (hits, most) = (hits(&trace, max_idle), most_hits(&trace, max_idle));
                assert!(hits <= most, "{hits} of {most} with {max_idle} idle, {trace:?}");
            }
        }
    }

    #[test]
    fn what_is_never_used_again_goes_first() {
        let trace = Trace::parse("t", "+1\n-1\n+2\n-2\n+3\n-3\n+1\n-1\n+3\n").unwrap();
        assert_eq!(hits(&trace, 4), 2);
    }
}
