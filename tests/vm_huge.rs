//! On machines of `ci/vm`, huge pages are to be had where some are reserved, and refused where none are.
#![cfg(all(target_os = "linux", not(miri)))]
#![allow(unsafe_code)] // System calls.

#[path = "support/machine.rs"]
mod machine;
#[path = "support/placement.rs"]
mod placement;

use std::{fs, io, ptr};

use placement::{PAGE, pages_by_node};

const HUGE_PAGE: usize = 2 << 20;
/// How many the kernel reserves on the machine that has some.
const RESERVED: usize = 64;

/// Memory for the kernel to place, of so many huge pages.
fn map(count: usize) -> io::Result<*mut u8> {
    let kind = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_HUGETLB | libc::MAP_HUGE_2MB;
    let access = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: new memory, at a place of the kernel's choice.
    let start = unsafe { libc::mmap(ptr::null_mut(), count * HUGE_PAGE, access, kind, -1, 0) };
    if start == libc::MAP_FAILED { Err(io::Error::last_os_error()) } else { Ok(start.cast()) }
}

/// What the kernel tells of huge pages: `Total`, `Free`, or `Rsvd`, which are mapped and not touched yet.
fn told(what: &str) -> usize {
    let told = fs::read_to_string("/proc/meminfo").unwrap();
    let line = told.lines().find_map(|line| line.strip_prefix("HugePages_")?.strip_prefix(what)).expect(what);
    line.trim_start_matches(':').trim().parse().unwrap()
}

#[track_caller]
fn assert_refused(count: usize) {
    assert_eq!(map(count).unwrap_err().raw_os_error(), Some(libc::ENOMEM));
}

#[test]
fn reserved_huge_pages_are_mapped_and_come_back() {
    if machine::name().is_none_or(|name| name != "huge_pages") {
        return;
    }
    const USED: usize = 4;
    assert_eq!((told("Total"), told("Free"), told("Rsvd")), (RESERVED, RESERVED, 0));
    let start = map(USED).unwrap();
    assert_eq!((told("Free"), told("Rsvd")), (RESERVED, USED));
    // SAFETY: the mapping has so many bytes, and nobody else knows of it.
    unsafe { start.write_bytes(1, USED * HUGE_PAGE) };
    assert_eq!((told("Free"), told("Rsvd")), (RESERVED - USED, 0));
    assert_eq!(pages_by_node(start, USED * HUGE_PAGE), [(Some(0), USED * HUGE_PAGE / PAGE)].into());
    // SAFETY: the mapping is not used again.
    assert_eq!(unsafe { libc::munmap(start.cast(), USED * HUGE_PAGE) }, 0);
    assert_eq!((told("Free"), told("Rsvd")), (RESERVED, 0));
    eprintln!("{USED} of {RESERVED} huge pages were used and came back");
}

#[test]
fn more_huge_pages_than_reserved_are_refused() {
    let Some(name) = machine::name() else { return };
    let reserved = if name == "huge_pages" { RESERVED } else { 0 };
    assert_eq!(told("Total"), reserved);
    assert_refused(reserved + 1);
    eprintln!("{reserved} are reserved, {} refused", reserved + 1);
}
