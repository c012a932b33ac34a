//! On machines of `ci/vm`, huge pages are to be had where some are reserved, and refused where none are.
#![cfg(all(target_os = "linux", not(miri)))]
#![allow(unsafe_code)] // System calls.

#[path = "support/machine.rs"]
mod machine;
#[path = "support/placement.rs"]
mod placement;

use std::fs;

use millpond::{
    Budget, BufferPool, BufferPoolBuilder, BuildError, Error, HugePages, Memory, MemoryOption, Need, Recycled,
};
use placement::{PAGE, pages_by_node};

const KIB: usize = 1 << 10;
const HUGE_PAGE: usize = 2 << 20;
/// How many the kernel reserves on the machine that has some.
const RESERVED: usize = 64;
/// What the kernel answers when it has none left.
const ENOMEM: Option<i32> = Some(libc::ENOMEM);

fn builder(need: Need) -> BufferPoolBuilder {
    let memory = Memory::mapped().huge_pages(HugePages::Explicit2M, need);
    // A quarter of so small a machine is less than all huge pages.
    let budget = Budget::new(1 << 30);
    BufferPool::builder().size_classes([64 * KIB, 1 << 20, 2 << 20]).budget(&budget).memory(memory)
}

/// What the kernel tells of huge pages: `Total`, `Free`, or `Rsvd`, which are mapped and not touched yet.
fn told(what: &str) -> usize {
    let told = fs::read_to_string("/proc/meminfo").unwrap();
    let line = told.lines().find_map(|line| line.strip_prefix("HugePages_")?.strip_prefix(what)).expect(what);
    line.trim_start_matches(':').trim().parse().unwrap()
}

/// How often a pool asked for huge pages, and got them.
fn asked_and_got(pool: &BufferPool) -> (u64, u64) {
    let [stats] = pool.stats().memory[..] else { panic!("one option") };
    assert_eq!(stats.option, MemoryOption::HugePages);
    (stats.asked, stats.got)
}

fn is_on(name: &str) -> bool {
    machine::name().is_some_and(|machine| machine == name)
}

#[test]
fn reserved_huge_pages_are_used_and_come_back() {
    if !is_on("huge_pages") {
        return;
    }
    assert_eq!((told("Total"), told("Free"), told("Rsvd")), (RESERVED, RESERVED, 0));
    for need in [Need::Require, Need::Prefer] {
        let pool = builder(need).build().unwrap();
        for size in [64 * KIB, 1 << 20, 2 << 20, 5 << 20] {
            let free = told("Free");
            let mut buf = pool.get(Recycled(size));
            buf.fill(b'x');
            assert!(told("Free") < free, "{size} bytes are of other pages");
            assert_eq!(pages_by_node(buf.as_ptr(), size), [(Some(0), size / PAGE)].into());
        }
        let (asked, got) = asked_and_got(&pool);
        assert!(asked >= 4 && asked == got, "{got} of {asked}");
        let used = RESERVED - told("Free");
        pool.trim(0);
        assert_eq!((told("Free"), told("Rsvd")), (RESERVED, 0));
        eprintln!(
            "{need:?}: {used} of {RESERVED} huge pages were used and came back, {got} of {asked} mappings had them"
        );
    }
}

#[test]
fn when_all_are_used_others_serve_unless_they_are_required() {
    if !is_on("huge_pages") {
        return;
    }
    const HALF: usize = RESERVED / 2 * HUGE_PAGE;
    let (all, one) = (builder(Need::Require).build().unwrap(), builder(Need::Prefer).build().unwrap());
    let first = all.try_get(Recycled(HALF)).unwrap();
    let second = all.try_get(Recycled(HALF)).unwrap();
    let refused = all.try_get(Recycled(HUGE_PAGE)).unwrap_err();
    let Error::Refused { option, reason, .. } = refused else { panic!("{refused}") };
    assert_eq!((option, reason.code()), (MemoryOption::HugePages, ENOMEM));
    one.get(HUGE_PAGE).fill(b'x');
    assert_eq!(asked_and_got(&one), (1, 0));
    drop((first, second));
    one.get(8 * HUGE_PAGE).fill(b'x');
    assert_eq!(asked_and_got(&one), (2, 1));
    eprintln!("{refused}; preferred: 1 of 2");
}

#[test]
fn where_none_are_reserved_they_are_refused() {
    if !is_on("plain") {
        return;
    }
    assert_eq!(told("Total"), 0);
    let refused = builder(Need::Require).build().unwrap_err();
    let BuildError::Refused { option, reason, .. } = refused else { panic!("{refused}") };
    assert_eq!((option, reason.code()), (MemoryOption::HugePages, ENOMEM));
    let pool = builder(Need::Prefer).build().unwrap();
    for size in [64 * KIB, 1 << 20, 5 << 20] {
        pool.get(size).fill(b'x');
    }
    assert_eq!(asked_and_got(&pool), (3, 0));
    eprintln!("{refused}; preferred: 0 of 3");
}
