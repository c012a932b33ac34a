//! Linux: advice, locks and policies for the pages of a mapping.

use std::ffi::{c_int, c_uint, c_ulong};
use std::fs;
use std::ptr::{self, NonNull};

use super::{HUGE_PAGE, page_size};
use crate::memory::options::{Node, OsReason};

/// Not in every version of `libc` that will do: linux/include/uapi/asm-generic/mman-common.h.
const MADV_POPULATE_WRITE: c_int = 23;
const MADV_GUARD_INSTALL: c_int = 102;
/// linux/include/uapi/linux/mempolicy.h.
const MPOL_PREFERRED: c_int = 1;
const MPOL_BIND: c_int = 2;
/// Nodes that a mask can name.
const MOST_NODES: usize = 1024;

fn done(result: impl Into<i64>) -> Result<(), OsReason> {
    if result.into() == 0 { Ok(()) } else { Err(OsReason::last()) }
}

/// # Safety
/// As `madvise` says of the advice.
unsafe fn advise(start: NonNull<u8>, len: usize, advice: c_int) -> Result<(), OsReason> {
    // SAFETY: the caller's.
    done(unsafe { libc::madvise(start.as_ptr().cast(), len, advice) })
}

pub(in super::super) fn map_huge(len: usize) -> Result<NonNull<u8>, OsReason> {
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    let flags = libc::MAP_PRIVATE | libc::MAP_ANON | libc::MAP_HUGETLB | libc::MAP_HUGE_2MB;
    // SAFETY: a new mapping at an address of the system's choice touches no memory that exists. Its pages are reserved
    // now, so no later access can fail for want of them.
    let start = unsafe { libc::mmap(ptr::null_mut(), len, protection, flags, -1, 0) };
    if start == libc::MAP_FAILED { Err(OsReason::last()) } else { NonNull::new(start.cast()).ok_or(OsReason::UNKNOWN) }
}

/// The advice is taken by kernels that then never follow it.
pub(in super::super) unsafe fn allow_huge(start: NonNull<u8>, len: usize) -> Result<(), OsReason> {
    let mode = fs::read_to_string("/sys/kernel/mm/transparent_hugepage/enabled");
    if mode.is_ok_and(|mode| mode.contains("[never]")) {
        return Err(OsReason::from_code(libc::EOPNOTSUPP));
    }
    debug_assert!(start.addr().get() % HUGE_PAGE == 0);
    // SAFETY: changes no byte.
    unsafe { advise(start, len, libc::MADV_HUGEPAGE) }
}

/// Pages are locked as they are touched, so that what nobody uses takes no memory.
pub(in super::super) unsafe fn lock(start: NonNull<u8>, len: usize) -> Result<(), OsReason> {
    let flags: c_uint = libc::MLOCK_ONFAULT as c_uint;
    // SAFETY: changes no byte.
    done(unsafe { libc::syscall(libc::SYS_mlock2, start.as_ptr(), len, flags) })
}

/// Of all pages that have a part in the range. What else lies in them stays as it is.
pub(in super::super) unsafe fn populate(start: NonNull<u8>, len: usize) -> Result<(), OsReason> {
    let before = start.addr().get() % page_size();
    // SAFETY: in the same OS page, so in the same mapping.
    let first = unsafe { start.sub(before) };
    // SAFETY: changes no byte.
    unsafe { advise(first, (before + len).next_multiple_of(page_size()), MADV_POPULATE_WRITE) }
}

pub(in super::super) unsafe fn exclude_from_dumps(start: NonNull<u8>, len: usize) -> Result<(), OsReason> {
    // SAFETY: changes no byte.
    unsafe { advise(start, len, libc::MADV_DONTDUMP) }
}

pub(in super::super) unsafe fn wipe_on_fork(start: NonNull<u8>, len: usize) -> Result<(), OsReason> {
    // SAFETY: changes no byte here; in the child of a fork it reads zero.
    unsafe { advise(start, len, libc::MADV_WIPEONFORK) }
}

/// Since Linux 6.13 a mark in the page table. Before, and for pages that are locked, a mapping of its own without access,
/// of which a process may not have many.
pub(in super::super) unsafe fn guard(start: NonNull<u8>, len: usize) -> Result<(), OsReason> {
    // SAFETY: the caller gives the pages up.
    unsafe { advise(start, len, MADV_GUARD_INSTALL) }
        // SAFETY: as above.
        .or_else(|_| done(unsafe { libc::mprotect(start.as_ptr().cast(), len, libc::PROT_NONE) }))
}

pub(in super::super) unsafe fn place(start: NonNull<u8>, len: usize, node: Node) -> Result<(), OsReason> {
    let (mode, node) = match node {
        Node::Bind(node) => (MPOL_BIND, node as usize),
        Node::Preferred(node) => (MPOL_PREFERRED, node as usize),
        Node::Local => (MPOL_PREFERRED, current_node()?),
    };
    const BITS: usize = c_ulong::BITS as usize;
    let mut mask = [0 as c_ulong; MOST_NODES / BITS];
    let word = mask.get_mut(node / BITS).ok_or(OsReason::from_code(libc::EINVAL))?;
    *word = 1 << (node % BITS);
    // The kernel takes one bit less than it is told.
    let (bits, flags): (c_ulong, c_uint) = (MOST_NODES as c_ulong + 1, 0);
    // SAFETY: the mask has as many bits, and no byte of the pages changes.
    done(unsafe { libc::syscall(libc::SYS_mbind, start.as_ptr(), len, mode, mask.as_ptr(), bits, flags) })
}

/// The node of the processor that this thread runs on.
fn current_node() -> Result<usize, OsReason> {
    let (mut cpu, mut node): (c_uint, c_uint) = (0, 0);
    let nothing = ptr::null_mut::<u8>();
    // SAFETY: two places for numbers.
    done(unsafe { libc::syscall(libc::SYS_getcpu, &raw mut cpu, &raw mut node, nothing) })?;
    Ok(node as usize)
}
