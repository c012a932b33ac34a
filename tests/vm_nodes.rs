//! On machines of `ci/vm`, memory lies on the NUMA nodes on which a pool wants it, and comes back to them.
#![cfg(all(target_os = "linux", not(miri)))]
#![allow(unsafe_code)] // System calls.

#[path = "support/machine.rs"]
mod machine;
#[path = "support/placement.rs"]
mod placement;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::thread;

use millpond::{BufferPool, Memory, Need, Node, PooledBuf, Recycled};
use placement::{PAGE, pages_by_node};

const KIB: usize = 1 << 10;
const CLASSES: [usize; 5] = [KIB, 4 * KIB, 64 * KIB, 256 * KIB, 2 << 20];
/// Of each class, and above them all.
const SIZES: [usize; 6] = [KIB, 4 * KIB, 64 * KIB, 256 * KIB, 2 << 20, 5 << 20];

/// How many nodes the machine was given. Each has one processor, of the same number.
fn given() -> Option<u32> {
    Some(match machine::name()?.as_str() {
        "two_nodes" => 2,
        "four_nodes" => 4,
        _ => 1,
    })
}

fn pool_on(node: Node) -> BufferPool {
    let memory = Memory::mapped().numa(node, Need::Require);
    BufferPool::builder().size_classes(CLASSES).memory(memory).build().unwrap()
}

/// Runs this on the processor of a node.
fn on<R: Send>(node: u32, work: impl FnOnce() -> R + Send) -> R {
    let pinned = || {
        // SAFETY: all zero is an empty set.
        let mut cpus: libc::cpu_set_t = unsafe { std::mem::zeroed() };
        // SAFETY: a set has room for so small a number.
        unsafe { libc::CPU_SET(node as usize, &mut cpus) };
        // SAFETY: a set of that size, for this thread.
        let answer = unsafe { libc::sched_setaffinity(0, size_of_val(&cpus), &raw const cpus) };
        assert_eq!(answer, 0, "to node {node}: {}", io::Error::last_os_error());
        work()
    };
    thread::scope(|scope| scope.spawn(pinned).join().unwrap())
}

/// Writes to all of a buffer; on which nodes it lies then. Small ones share their pages with others of their class.
fn nodes_under(buf: &mut PooledBuf) -> BTreeSet<Option<u32>> {
    buf.fill(b'x');
    let before = buf.as_ptr().addr() % PAGE;
    let first = buf.as_ptr().wrapping_sub(before);
    pages_by_node(first, (before + buf.len()).next_multiple_of(PAGE)).into_keys().collect()
}

#[track_caller]
fn assert_on(node: u32, buf: &mut PooledBuf) {
    assert_eq!(nodes_under(buf), [Some(node)].into(), "{} bytes", buf.len());
}

#[test]
fn the_nodes_are_those_given() {
    let Some(given) = given() else { return };
    let online = std::fs::read_to_string("/sys/devices/system/node/online").unwrap();
    let expected = if given == 1 { "0".into() } else { format!("0-{}", given - 1) };
    assert_eq!(online.trim(), expected);
    eprintln!("online: {expected}");
}

#[test]
fn what_is_bound_or_preferred_lies_on_its_node() {
    let Some(given) = given() else { return };
    for node in (0..given).flat_map(|node| [Node::Bind(node), Node::Preferred(node)]) {
        let (Node::Bind(expected) | Node::Preferred(expected)) = node else { unreachable!() };
        let pool = pool_on(node);
        for size in SIZES {
            // Whoever touches it.
            on(given - 1 - expected, || {
                let mut bufs = [(); 3].map(|()| pool.get(Recycled(size)));
                bufs.iter_mut().for_each(|buf| assert_on(expected, buf));
            });
        }
        let stats = pool.stats();
        let asked = stats.memory[0];
        assert!(asked.asked >= SIZES.len() as u64 && asked.asked == asked.got, "{asked}");
        assert_eq!((stats.local_returns, stats.remote_returns), (0, 0), "nobody asked where threads run");
        eprintln!("{node:?}: {asked}");
    }
}

#[test]
fn a_node_that_is_not_there_is_refused() {
    let Some(given) = given() else { return };
    let memory = |need| Memory::mapped().numa(Node::Bind(given), need);
    let refused = BufferPool::builder().memory(memory(Need::Require)).build().unwrap_err();
    assert!(refused.to_string().contains("numa"), "{refused}");
    let pool = BufferPool::builder().memory(memory(Need::Prefer)).build().unwrap();
    drop(pool.get(KIB));
    assert_eq!(pool.stats().memory[0].got, 0);
    eprintln!("node {given}: {refused}");
}

#[test]
fn local_memory_is_that_of_the_threads_node() {
    let Some(given) = given() else { return };
    let pool = pool_on(Node::Local);
    for node in (0..given).chain(0..given) {
        on(node, || {
            for size in SIZES {
                let mut bufs = [(); 3].map(|()| pool.get(Recycled(size)));
                bufs.iter_mut().for_each(|buf| assert_on(node, buf));
            }
        });
    }
    let stats = pool.stats();
    // Threads that ended sent home what they had cached.
    assert_eq!((stats.remote_returns, stats.local_returns > 0), (0, true));
    assert_eq!(stats.fresh, u64::from(given) * 3 * CLASSES.len() as u64, "those that came later found what lay idle");
    eprintln!("{stats}");
}

/// How many of these buffers lie on each node.
fn count_by_node(bufs: &mut [PooledBuf]) -> BTreeMap<u32, usize> {
    let mut found = BTreeMap::new();
    for buf in bufs {
        let [Some(node)] = Vec::from_iter(nodes_under(buf))[..] else { panic!("on several nodes") };
        *found.entry(node).or_default() += 1;
    }
    found
}

#[test]
fn what_another_node_drops_comes_home() {
    const SIZE: usize = 64 * KIB;
    const COUNT: usize = 50;
    let Some(given) = given() else { return };
    let pool = pool_on(Node::Local);
    for node in 0..given {
        let other = (node + 1) % given;
        let take = || Vec::from_iter((0..COUNT).map(|_| pool.get(Recycled(SIZE))));
        let mut bufs = on(node, take);
        assert_eq!(count_by_node(&mut bufs), [(node, COUNT)].into());
        let places = BTreeSet::from_iter(bufs.iter().map(|buf| buf.as_ptr().addr()));
        let before = pool.stats();
        on(other, || drop(bufs));
        let after = pool.stats();
        let (local, remote) =
            (after.local_returns - before.local_returns, after.remote_returns - before.remote_returns);
        assert_eq!((local, remote), (0, COUNT as u64), "from node {other} to node {node}");
        let mut again = on(node, take);
        assert_eq!(BTreeSet::from_iter(again.iter().map(|buf| buf.as_ptr().addr())), places);
        assert_eq!(count_by_node(&mut again), [(node, COUNT)].into());
        // They stay out, so that the next node does not find them.
        std::mem::forget(again);
    }
    eprintln!("{}", pool.stats());
}

/// When the budget is spent, what lies idle on another node is better than nothing.
#[test]
fn memory_of_another_node_is_better_than_none() {
    const SIZE: usize = 256 * KIB;
    let Some(given) = given() else { return };
    let memory = Memory::mapped().numa(Node::Local, Need::Require);
    let pool = BufferPool::builder().size_classes([SIZE]).memory(memory).max_memory(SIZE).build().unwrap();
    on(given - 1, || drop(pool.get(SIZE)));
    on(0, || assert_on(given - 1, &mut pool.get(SIZE)));
    let stats = pool.stats();
    assert_eq!((stats.fresh, stats.depot_hits), (1, 1));
    assert_eq!((stats.local_returns, stats.remote_returns), (1, 1));
    eprintln!("{stats}");
}
