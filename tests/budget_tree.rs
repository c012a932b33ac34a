//! Any sequence of operations on any tree of budgets does what it does to a naive model, which adds up what is out.
//!
//! Where pools keep nothing idle, `used` is the model's at any time. Where they do, it is after a trim; and because idle
//! memory gives way, a get or a reservation fails exactly when it would without any, and with the same numbers.

use millpond::{Budget, BufferPool, BuildError, Capacity, Error, Pool, Pooled, PooledBuf, Reuse};
use proptest::collection::vec;
use proptest::prelude::*;

const CASES: u32 = if cfg!(miri) { 3 } else { 300 };
const LENGTH: usize = if cfg!(miri) { 30 } else { 120 };
/// Budgets at most.
const NODES: usize = 8;
const CLASSES: [usize; 4] = [64, 256, 1024, 4096];
/// What a value weighs.
const VALUE: usize = size_of::<Block>();
const LIMIT: usize = 16 << 10;

/// One operation, on which budget, and a number of bytes.
type Op = (u8, usize, usize);

#[derive(Default)]
struct Block {
    _words: [u64; 24],
}

impl Reuse for Block {
    fn reuse(&mut self, _: usize) -> bool {
        true
    }
}

enum Out {
    Buf { _buf: PooledBuf, bytes: usize },
    Value { _value: Pooled<Block> },
}

impl Out {
    fn bytes(&self) -> usize {
        match self {
            Out::Buf { bytes, .. } => *bytes,
            Out::Value { .. } => VALUE,
        }
    }
}

/// A budget with its pools, and what the model knows of it.
struct Node {
    parent: Option<usize>,
    min: usize,
    limit: usize,
    peak: usize,
    /// Until they are dropped.
    handles: Option<(Budget, BufferPool, Pool<Block>)>,
    out: Vec<Out>,
}

struct World {
    keeps: bool,
    nodes: Vec<Node>,
}

/// Why the model refuses: bytes left, and the limit.
#[derive(PartialEq, Debug)]
struct Refused(usize, usize);

impl World {
    fn new(keeps: bool) -> Self {
        let mut world = World { keeps, nodes: Vec::new() };
        world.add(None, Budget::new(LIMIT), 0, LIMIT);
        world
    }

    fn add(&mut self, parent: Option<usize>, budget: Budget, min: usize, limit: usize) {
        let max_idle = if self.keeps { usize::MAX } else { 0 };
        let bytes = BufferPool::builder().budget(&budget).size_classes(CLASSES).max_idle(max_idle).build().unwrap();
        let values = Pool::builder().budget(&budget).max_idle(max_idle).build().unwrap();
        let handles = Some((budget, bytes, values));
        self.nodes.push(Node { parent, min, limit, peak: 0, handles, out: Vec::new() });
    }

    fn children(&self, node: usize) -> impl Iterator<Item = usize> + '_ {
        (0..self.nodes.len()).filter(move |&child| self.nodes[child].parent == Some(node))
    }

    fn lives(&self, node: usize) -> bool {
        let Node { handles, out, .. } = &self.nodes[node];
        handles.is_some() || !out.is_empty() || self.children(node).any(|child| self.lives(child))
    }

    /// What is out here, and what children have or have reserved.
    fn used(&self, node: usize) -> usize {
        let own: usize = self.nodes[node].out.iter().map(Out::bytes).sum();
        let taken = |child| if self.lives(child) { self.used(child).max(self.nodes[child].min) } else { 0 };
        own + self.children(node).map(taken).sum::<usize>()
    }

    fn available(&self, node: usize) -> usize {
        let Node { parent, min, limit, .. } = self.nodes[node];
        let (left, unclaimed) = (limit.saturating_sub(self.used(node)), min.saturating_sub(self.used(node)));
        parent.map_or(left, |parent| left.min(self.available(parent) + unclaimed))
    }

    /// Whether so many bytes more fit here and above.
    fn fits(&self, node: usize, bytes: usize) -> Result<(), Refused> {
        let (used, Node { parent, min, limit, .. }) = (self.used(node), &self.nodes[node]);
        if bytes > 0 && used + bytes > *limit {
            return Err(Refused(limit.saturating_sub(used), *limit));
        }
        let beyond = (used + bytes).max(*min) - used.max(*min);
        parent.map_or(Ok(()), |parent| self.fits(parent, beyond))
    }

    fn apply(&mut self, (what, which, bytes): Op) {
        let node = which % self.nodes.len();
        match what {
            0..=4 => self.get(node, bytes),
            5 | 6 => self.get_value(node),
            7..=10 => drop_one(&mut self.nodes[node].out, bytes),
            11 => self.child(node, 0, bytes * 2),
            12 => self.child(node, bytes / 3, bytes),
            13 => self.set_limit(node, bytes * 2),
            14 if bytes % 4 == 0 => drop(self.nodes[node].handles.take()),
            _ => self.trim(),
        }
        self.compare();
    }

    fn get(&mut self, node: usize, bytes: usize) {
        let Some((_, pool, _)) = &self.nodes[node].handles else { return };
        let charged = CLASSES.into_iter().find(|&class| bytes <= class).unwrap_or(bytes.next_multiple_of(4096));
        let (got, fits) = (pool.try_get(Capacity(bytes)), self.fits(node, charged));
        self.keep(node, charged, got.map(|_buf| Out::Buf { _buf, bytes: charged }), fits);
    }

    fn get_value(&mut self, node: usize) {
        let Some((_, _, pool)) = &self.nodes[node].handles else { return };
        let (got, fits) = (pool.try_get(), self.fits(node, VALUE));
        self.keep(node, VALUE, got.map(|_value| Out::Value { _value }), fits);
    }

    fn keep(&mut self, node: usize, bytes: usize, got: Result<Out, Error>, fits: Result<(), Refused>) {
        match (got, fits) {
            (Ok(out), Ok(())) => self.nodes[node].out.push(out),
            (Err(Error::OverBudget { requested, available, limit }), Err(refused)) => {
                assert_eq!((requested, Refused(available, limit)), (bytes, refused));
            }
            (got, fits) => panic!("{:?}, but {fits:?}", got.map(|_| "got")),
        }
    }

    fn child(&mut self, node: usize, min: usize, max: usize) {
        let Some((budget, ..)) = self.nodes[node].handles.as_ref().filter(|_| self.nodes.len() < NODES) else { return };
        let child = if min == 0 { Ok(budget.child(max)) } else { budget.child_reserving(min, max) };
        match (child, self.fits(node, min)) {
            (Ok(child), Ok(())) => self.add(Some(node), child, min, max),
            (Err(BuildError::OverBudget { requested, available, limit }), Err(refused)) => {
                assert_eq!((requested, Refused(available, limit)), (min, refused));
            }
            (child, fits) => panic!("{child:?}, but {fits:?}"),
        }
    }

    fn set_limit(&mut self, node: usize, bytes: usize) {
        let Some((budget, ..)) = &self.nodes[node].handles else { return };
        // Idle memory above the limit would serve even so.
        let bytes = if self.keeps { bytes.max(budget.used()) } else { bytes };
        budget.set_limit(bytes);
        self.nodes[node].limit = bytes;
    }

    fn trim(&self) {
        for node in &self.nodes {
            if let Some((budget, ..)) = &node.handles {
                budget.trim(0);
            }
        }
        self.compare_exactly();
    }

    fn compare(&mut self) {
        for node in 0..self.nodes.len() {
            let (used, available) = (self.used(node), self.available(node));
            let peak = used.max(self.nodes[node].peak);
            self.nodes[node].peak = peak;
            let Some((budget, ..)) = &self.nodes[node].handles else { continue };
            assert_eq!(budget.limit(), self.nodes[node].limit);
            assert!(budget.used() >= used && budget.available() <= available && budget.peak() >= peak, "{budget}");
            assert!(!self.keeps || budget.used() <= budget.limit(), "{budget}");
            assert!(self.keeps || budget.peak() == peak, "peak {peak}\n{budget}");
        }
        if !self.keeps {
            self.compare_exactly();
        }
    }

    fn compare_exactly(&self) {
        for (node, Node { handles, .. }) in self.nodes.iter().enumerate() {
            let Some((budget, ..)) = handles else { continue };
            let modelled = (self.used(node), self.available(node));
            assert_eq!((budget.used(), budget.available()), modelled, "{budget}");
        }
    }

    /// Nothing is left of what was out.
    fn finish(mut self) {
        self.nodes.iter_mut().for_each(|node| node.out.clear());
        self.nodes[1..].iter_mut().for_each(|node| node.handles = None);
        self.trim();
        let root = self.nodes[0].handles.as_ref();
        assert!(root.is_none_or(|(budget, ..)| budget.used() == 0));
    }
}

fn drop_one(out: &mut Vec<Out>, which: usize) {
    if let Some(at) = which.checked_rem(out.len()) {
        out.swap_remove(at);
    }
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    vec((0..16_u8, 0..NODES, 0..LIMIT / 2), 1..LENGTH)
}

fn run(keeps: bool, ops: Vec<Op>) {
    let mut world = World::new(keeps);
    ops.into_iter().for_each(|op| world.apply(op));
    world.finish();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: CASES, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn without_idle_memory(ops in ops()) {
        run(false, ops);
    }

    #[test]
    fn with_idle_memory_that_gives_way(ops in ops()) {
        run(true, ops);
    }
}
