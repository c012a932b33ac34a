//! On which NUMA nodes memory lies, as the kernel tells.

use std::collections::BTreeMap;
use std::ptr;

/// The bytes of an OS page on x86-64.
pub(crate) const PAGE: usize = 4096;

/// How many OS pages of `len` bytes of addresses lie on each node; those that nobody touched yet are on `None`. A huge page
/// counts as the OS pages in whose place it is.
pub(crate) fn pages_by_node(start: *const u8, len: usize) -> BTreeMap<Option<u32>, usize> {
    let pages = Vec::from_iter((0..len).step_by(PAGE).map(|offset| start.wrapping_add(offset)));
    let mut status = vec![0_i32; pages.len()];
    // Where they should move to: nowhere.
    let targets = ptr::null::<i32>();
    let (count, pages, status_start) = (pages.len(), pages.as_ptr(), status.as_mut_ptr());
    // SAFETY: of this process, reads `count` addresses and writes as many numbers, for which there is room. It neither reads nor
    // moves what is at the addresses.
    let answer = unsafe { libc::syscall(libc::SYS_move_pages, 0, count, pages, targets, status_start, 0) };
    assert_eq!(answer, 0, "move_pages: {}", std::io::Error::last_os_error());
    // Errors are negative, and which of them is told for pages that nobody touched differs between kernels.
    let mut found = BTreeMap::new();
    status.into_iter().for_each(|node| *found.entry(u32::try_from(node).ok()).or_default() += 1);
    found
}
