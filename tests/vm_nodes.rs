//! A machine of `ci/vm` has the NUMA nodes that it was given, and memory that is bound to one of them lies there.
#![cfg(all(target_os = "linux", not(miri)))]
#![allow(unsafe_code)] // System calls.

#[path = "support/machine.rs"]
mod machine;
#[path = "support/placement.rs"]
mod placement;

use std::io;
use std::ptr;

use placement::{PAGE, pages_by_node};

const LEN: usize = 4 << 20;

/// How many nodes the machine was given.
fn given() -> Option<u32> {
    Some(match machine::name()?.as_str() {
        "two_nodes" => 2,
        "four_nodes" => 4,
        _ => 1,
    })
}

/// New memory that nobody touched, of `LEN` bytes.
fn map() -> *mut u8 {
    let (access, kind) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
    // SAFETY: at a place of the kernel's choice.
    let start = unsafe { libc::mmap(ptr::null_mut(), LEN, access, kind, -1, 0) };
    assert_ne!(start, libc::MAP_FAILED, "mmap: {}", io::Error::last_os_error());
    start.cast()
}

/// What is touched of a mapping from now on is memory of this node.
fn bind(start: *mut u8, node: u32) {
    let nodes = 1_u64 << node;
    // The kernel reads one bit less than it is told.
    let bits = u64::BITS as usize + 1;
    // SAFETY: reads `nodes`. The rule is for addresses, whatever is there.
    let answer = unsafe { libc::syscall(libc::SYS_mbind, start, LEN, libc::MPOL_BIND, &raw const nodes, bits, 0) };
    assert_eq!(answer, 0, "mbind to node {node}: {}", io::Error::last_os_error());
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
fn bound_memory_lies_on_its_node() {
    let Some(given) = given() else { return };
    for node in 0..given {
        let start = map();
        bind(start, node);
        assert_eq!(pages_by_node(start, LEN), [(None, LEN / PAGE)].into());
        // SAFETY: the mapping has so many bytes, and nobody else knows of it.
        unsafe { start.write_bytes(1, LEN) };
        assert_eq!(pages_by_node(start, LEN), [(Some(node), LEN / PAGE)].into());
        eprintln!("node {node}: {} OS pages, all of them there", LEN / PAGE);
        // SAFETY: the mapping is not used again.
        assert_eq!(unsafe { libc::munmap(start.cast(), LEN) }, 0);
    }
}
