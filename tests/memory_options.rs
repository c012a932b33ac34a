//! Each option of the memory does what it says, or is refused with the system's reason, or is seen to be missing.
#![cfg(all(target_os = "linux", not(miri)))]
#![allow(unsafe_code)] // Looks at memory, and gives rights up.

#[path = "support/child.rs"]
mod child;
#[path = "support/limits.rs"]
mod limits;
#[path = "support/smaps.rs"]
mod smaps;

use std::fs;
use std::os::unix::process::ExitStatusExt;

use limits::limit_locked_memory;
use millpond::{
    BufferPool, BufferPoolBuilder, BuildError, Capacity, Error, HugePages, Memory, MemoryOption, Need, Node, PooledBuf,
    Recycled,
};
use smaps::{area_of, of_process};

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;
/// Below, at and above an OS page, cut from slabs and not.
const SIZES: [usize; 5] = [200, 4 * KIB, 100 * KIB, MIB, 5 * MIB];

fn on(memory: Memory) -> BufferPoolBuilder {
    BufferPool::builder().size_classes([KIB, 4 * KIB, 100 * KIB, MIB, 2 * MIB]).memory(memory)
}

fn pool_on(memory: Memory) -> BufferPool {
    on(memory).build().unwrap()
}

fn buf(pool: &BufferPool, size: usize) -> PooledBuf {
    let mut buf = pool.get(Recycled(size));
    buf.fill(b'x');
    buf
}

/// How often the system was asked for the only option, and did as asked.
fn asked_and_got(pool: &BufferPool) -> (u64, u64) {
    let [stats] = pool.stats().memory[..] else { panic!("one option") };
    (stats.asked, stats.got)
}

#[test]
fn nothing_is_asked_for_by_default() {
    for memory in [Memory::default(), Memory::mapped(), Memory::heap()] {
        let pool = pool_on(memory);
        buf(&pool, KIB);
        assert_eq!(pool.stats().memory, []);
    }
}

#[test]
fn what_is_locked_is_counted_as_locked() {
    // The count is that of a process, in which other tests lock memory, too.
    if !child::is_child() {
        return assert!(child::run("what_is_locked_is_counted_as_locked").success());
    }
    let pool = pool_on(Memory::mapped().locked(Need::Require));
    for size in SIZES {
        let before = of_process("VmLck");
        let buf = buf(&pool, size);
        assert!(of_process("VmLck") >= before + size, "{size} bytes are not locked");
        assert!(area_of(buf.as_ptr()).has("lo"));
    }
    let (asked, got) = asked_and_got(&pool);
    assert!(asked >= 4 && asked == got);
    let stats = pool.stats().to_string();
    assert!(stats.ends_with(&format!("locked required: {got} of {asked} times")), "{stats}");
    let locked = of_process("VmLck");
    pool.trim(0);
    assert!(of_process("VmLck") < locked);
}

#[test]
fn what_is_locked_goes_back_all_the_same() {
    let pool = pool_on(Memory::mapped().locked(Need::Require));
    let [kept, gone] = [(); 2].map(|()| buf(&pool, 100 * KIB));
    let place = gone.as_ptr();
    let resident = || area_of(place).bytes("Rss");
    let before = resident();
    drop(gone);
    pool.trim(0);
    assert!(resident() <= before - 96 * KIB, "{} of {before} bytes are still there", resident());
    let again = pool.get(100 * KIB);
    assert_eq!(again.as_ptr(), place);
    assert!(again.iter().all(|&byte| byte == 0));
    drop(kept);
}

#[test]
fn a_limit_on_locked_memory_is_used_up_and_then_told() {
    if child::is_child() {
        let limit = 3 * MIB + 300 * KIB;
        limit_locked_memory(of_process("VmLck") + limit);
        for size in [4 * KIB, 100 * KIB, MIB] {
            let pool = pool_on(Memory::mapped().locked(Need::Require));
            let mut held = Vec::new();
            let refused = loop {
                match pool.try_get(Capacity(size)) {
                    Ok(buf) => held.push(buf),
                    Err(error) => break error,
                }
            };
            let used = held.len() * size;
            assert!(used <= limit && used + size + 4 * KIB > limit, "{used} of {limit} with buffers of {size}");
            let Error::Refused { option: MemoryOption::Locked, requested, reason } = refused else {
                panic!("{refused}")
            };
            assert!(requested >= size && requested < 2 * size + 4 * KIB, "{requested}");
            assert_eq!(reason.code(), Some(libc::ENOMEM));
            let text = refused.to_string();
            assert!(
                text.contains("`locked`") && text.contains(&requested.to_string()) && text.contains("memory"),
                "{text}"
            );
            // Idle memory of another class gives way.
            held.clear();
            assert!(pool.try_get(Capacity(2 * KIB)).is_ok());
        }
        let pool = pool_on(Memory::mapped().locked(Need::Prefer));
        let held: Vec<_> = (0..8).map(|_| pool.get(Capacity(MIB))).collect();
        let (asked, got) = asked_and_got(&pool);
        assert!(got == 2 && asked > got, "{got} of {asked}");
        let locked = held.iter().filter(|buf| area_of(buf.as_ptr()).has("lo")).count();
        assert_eq!(locked, 3);
        drop(held);
        return;
    }
    assert!(child::run("a_limit_on_locked_memory_is_used_up_and_then_told").success());
}

#[test]
fn no_right_to_lock_is_told_by_build() {
    if child::is_child() {
        limit_locked_memory(0);
        let Err(BuildError::Refused { option: MemoryOption::Locked, requested, reason }) =
            on(Memory::mapped().locked(Need::Require)).build()
        else {
            panic!("built");
        };
        assert_eq!((requested, reason.code()), (4096, Some(libc::EPERM)));
        let pool = pool_on(Memory::mapped().locked(Need::Prefer));
        buf(&pool, KIB);
        assert_eq!(asked_and_got(&pool).1, 0);
        return;
    }
    assert!(child::run("no_right_to_lock_is_told_by_build").success());
}

/// Faults of this thread that the system served without a disk.
fn faults() -> libc::c_long {
    // SAFETY: all zero is a valid value, as it consists of numbers.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: a place for the answer.
    assert_eq!(unsafe { libc::getrusage(libc::RUSAGE_THREAD, &raw mut usage) }, 0);
    usage.ru_minflt
}

#[test]
fn what_is_prefaulted_does_not_fault() {
    for memory in [Memory::mapped(), Memory::heap()] {
        let pool = pool_on(memory.prefault(Need::Require));
        for size in SIZES {
            for _ in 0..3 {
                let mut buf = pool.get(Capacity(size));
                let capacity = buf.capacity();
                let before = faults();
                for at in (0..capacity).step_by(4 * KIB) {
                    // SAFETY: within the capacity.
                    let byte = unsafe { buf.as_mut_ptr().add(at) };
                    // SAFETY: as above.
                    unsafe { byte.write_volatile(1) };
                }
                let faulted = faults() - before;
                assert!(faulted <= 2, "{faulted} faults in {size} bytes");
                drop(buf);
                pool.trim(0);
            }
        }
        let (asked, got) = asked_and_got(&pool);
        assert_eq!((asked, got), (15, 15));
    }
}

#[test]
fn mappings_are_left_out_of_dumps_and_wiped_on_fork() {
    let memory = Memory::mapped().exclude_from_dumps(Need::Require).wipe_on_fork(Need::Require);
    let pool = pool_on(memory);
    for size in SIZES {
        let area = area_of(buf(&pool, size).as_ptr());
        assert!(area.has("dd") && area.has("wf"));
    }
    assert_eq!(pool.stats().memory.len(), 2);
    let area = area_of(buf(&pool_on(Memory::mapped()), KIB).as_ptr());
    assert!(!area.has("dd") && !area.has("wf"));
}

#[test]
fn the_child_of_a_fork_finds_zero() {
    let wiped = pool_on(Memory::mapped().wipe_on_fork(Need::Require));
    let shared = pool_on(Memory::mapped());
    let bufs = SIZES.map(|size| (buf(&wiped, size), buf(&shared, size)));
    // SAFETY: the child looks at memory and ends.
    let child = unsafe { libc::fork() };
    assert!(child >= 0);
    if child == 0 {
        let zero = bufs.iter().all(|(wiped, _)| wiped.iter().all(|&byte| byte == 0));
        let kept = bufs.iter().all(|(_, shared)| shared.iter().all(|&byte| byte == b'x'));
        // SAFETY: ends the process without the parent's exit handlers.
        unsafe { libc::_exit(if zero && kept { 0 } else { 1 }) }
    }
    let mut status = 0;
    // SAFETY: our own child.
    assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
    assert_eq!(status, 0, "the child found something else");
    assert!(bufs.iter().all(|(wiped, _)| wiped.iter().all(|&byte| byte == b'x')));
}

/// Where a child process writes, as a number: the place in [`SIZES`], before the buffer or behind it.
const GUARDED: &str = "MILLPOND_TEST_GUARDED";

#[test]
fn a_byte_past_the_last_page_ends_the_process() {
    let pool = pool_on(Memory::mapped().guard_pages(Need::Require));
    if child::is_child() {
        let number: usize = std::env::var(GUARDED).unwrap().parse().unwrap();
        let mut bufs: Vec<_> = (0..3).map(|_| buf(&pool, SIZES[number / 2])).collect();
        // The first of a slab, and one in the middle.
        for buf in &mut bufs {
            let (start, capacity) = (buf.as_mut_ptr(), buf.capacity().next_multiple_of(4096));
            // SAFETY: the last byte of the last page is the buffer's.
            let last = unsafe { start.add(capacity - 1) };
            // SAFETY: as above.
            unsafe { last.write_volatile(1) };
        }
        let buf = bufs.last_mut().unwrap();
        let past = buf.capacity().next_multiple_of(4096);
        let place =
            if number % 2 == 0 { buf.as_mut_ptr().wrapping_add(past) } else { buf.as_mut_ptr().wrapping_sub(1) };
        // SAFETY: it is not, and that is what is tested.
        unsafe { place.write_volatile(1) };
        return;
    }
    for number in 0..2 * SIZES.len() {
        // SAFETY: this test alone uses the variable, and reads it in children.
        unsafe { std::env::set_var(GUARDED, number.to_string()) };
        let ended = child::run("a_byte_past_the_last_page_ends_the_process");
        assert_eq!(ended.signal(), Some(libc::SIGSEGV), "number {number}: {ended}");
    }
    // Many slabs, whose blocks come and go.
    let mut held: Vec<_> = (0..500).map(|place| buf(&pool, SIZES[place % 3])).collect();
    held.retain(|buf| buf.as_ptr().addr() / 4096 % 3 > 0);
    pool.trim(0);
    assert!(held.iter().all(|buf| buf.iter().all(|&byte| byte == b'x')));
    drop(held);
    pool.trim(0);
    assert_eq!(pool.stats().footprint, 0);
}

fn transparent_huge_pages() -> bool {
    let mode = fs::read_to_string("/sys/kernel/mm/transparent_hugepage/enabled").unwrap_or_default();
    mode.contains("[madvise]") || mode.contains("[always]")
}

#[test]
fn transparent_huge_pages_are_used_where_there_are_any() {
    let memory = Memory::mapped().huge_pages(HugePages::Transparent, Need::Require);
    if !transparent_huge_pages() {
        eprintln!("SKIPPED: this machine has no transparent huge pages");
        let refused = on(memory).build().unwrap_err();
        assert!(matches!(refused, BuildError::Refused { option: MemoryOption::HugePages, .. }), "{refused}");
        return;
    }
    let pool = pool_on(memory);
    for size in [KIB, 100 * KIB, MIB, 6 * MIB] {
        let count = (4 * MIB).div_ceil(size);
        let held: Vec<_> = (0..count).map(|_| buf(&pool, size)).collect();
        let some = held.iter().step_by(count.div_ceil(8));
        let huge: usize = some.map(|buf| area_of(buf.as_ptr()).bytes("AnonHugePages")).max().unwrap();
        assert!(area_of(held[0].as_ptr()).has("hg"));
        assert!(huge >= 2 * MIB, "{huge} bytes of buffers of {size} are in huge pages");
        drop(held);
        pool.trim(0);
        assert_eq!(pool.stats().overhead as usize / MIB, 0, "memory that nobody uses");
    }
}

#[test]
fn explicit_huge_pages_are_refused_where_there_are_none() {
    let told = fs::read_to_string("/proc/meminfo").unwrap();
    if !told.lines().any(|line| line.starts_with("HugePages_Free:") && line.ends_with(" 0")) {
        eprintln!("SKIPPED: this machine has huge pages set aside");
        return;
    }
    let explicit = |need| Memory::mapped().huge_pages(HugePages::Explicit2M, need);
    let Err(BuildError::Refused { option: MemoryOption::HugePages, requested, reason }) =
        on(explicit(Need::Require)).build()
    else {
        panic!("built");
    };
    assert_eq!((requested, reason.code()), (2 * MIB, Some(libc::ENOMEM)));
    let pool = pool_on(explicit(Need::Prefer));
    for size in SIZES {
        assert_eq!(buf(&pool, size).len(), size);
    }
    let (asked, got) = asked_and_got(&pool);
    assert!(asked >= 5 && got == 0);
    pool.trim(0);
}

#[test]
fn memory_is_placed_on_a_node_that_there_is() {
    for node in [Node::Bind(0), Node::Preferred(0), Node::Local] {
        let pool = pool_on(Memory::mapped().numa(node, Need::Require));
        for size in SIZES {
            buf(&pool, size);
        }
        let (asked, got) = asked_and_got(&pool);
        assert!(asked >= 4 && asked == got);
    }
    for node in [Node::Bind(900), Node::Preferred(900), Node::Bind(u32::MAX)] {
        let memory = |need| Memory::mapped().numa(node, need);
        let Err(BuildError::Refused { option: MemoryOption::Numa, reason, .. }) = on(memory(Need::Require)).build()
        else {
            panic!("built on {node:?}");
        };
        assert_eq!(reason.code(), Some(libc::EINVAL));
        let pool = pool_on(memory(Need::Prefer));
        assert_eq!(buf(&pool, KIB).len(), KIB);
        assert_eq!(asked_and_got(&pool).1, 0);
    }
}

#[test]
fn memory_of_the_allocator_has_no_options_but_one() {
    let asks: [fn(Memory, Need) -> Memory; 6] = [
        Memory::locked,
        |memory, need| memory.huge_pages(HugePages::Transparent, need),
        |memory, need| memory.numa(Node::Local, need),
        Memory::exclude_from_dumps,
        Memory::wipe_on_fork,
        Memory::guard_pages,
    ];
    for ask in asks {
        let Err(BuildError::Refused { reason, .. }) = on(ask(Memory::heap(), Need::Require)).build() else {
            panic!("built");
        };
        assert_eq!(reason.code(), None);
        assert!(reason.to_string().contains("no such option"));
        let pool = pool_on(ask(Memory::heap(), Need::Prefer));
        buf(&pool, KIB);
        assert_eq!(asked_and_got(&pool), (1, 0));
    }
}

#[test]
fn all_options_together_keep_every_alignment() {
    for exponent in [0, 6, 12, 14, 20, 21] {
        let memory = Memory::mapped()
            .huge_pages(HugePages::Transparent, Need::Prefer)
            .locked(Need::Prefer)
            .prefault(Need::Prefer)
            .numa(Node::Local, Need::Prefer)
            .exclude_from_dumps(Need::Prefer)
            .wipe_on_fork(Need::Prefer)
            .guard_pages(Need::Prefer);
        let pool = on(memory).alignment(1 << exponent).build().unwrap();
        for round in 0..2 {
            let held: Vec<_> = SIZES.iter().chain(&SIZES).map(|&size| buf(&pool, size)).collect();
            for buf in &held {
                assert_eq!(buf.as_ptr().addr() % (1 << exponent), 0, "alignment {}, round {round}", 1 << exponent);
                assert!(buf.iter().all(|&byte| byte == b'x'));
            }
            drop(held);
            pool.trim(0);
            assert_eq!(pool.stats().footprint, 0);
        }
    }
}
