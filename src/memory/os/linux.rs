//! Linux: `madvise` that leaves zero pages, and `membarrier`.

use std::ffi::{c_int, c_long};
use std::io;
use std::ptr::NonNull;

pub(super) use super::mmap::{map, page_size, unmap};

/// Fails for pages that are locked in memory; these keep their bytes.
pub(super) unsafe fn discard(start: NonNull<u8>, len: usize) -> bool {
    // SAFETY: whole pages of a private anonymous mapping that nobody uses. The next access finds
    // zero pages.
    unsafe { libc::madvise(start.as_ptr().cast(), len, libc::MADV_DONTNEED) == 0 }
}

pub(super) fn register_barrier() -> bool {
    membarrier(libc::MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED).is_ok()
}

pub(super) fn barrier() -> bool {
    let Err(error) = membarrier(libc::MEMBARRIER_CMD_PRIVATE_EXPEDITED) else {
        return true;
    };
    // Not registered in this process.
    error.raw_os_error() == Some(libc::EPERM)
        && register_barrier()
        && membarrier(libc::MEMBARRIER_CMD_PRIVATE_EXPEDITED).is_ok()
}

fn membarrier(command: c_int) -> io::Result<()> {
    let (flags, cpu): (c_int, c_int) = (0, 0);
    // SAFETY: the call takes three numbers and touches no memory of ours.
    let result: c_long = unsafe { libc::syscall(libc::SYS_membarrier, command, flags, cpu) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// The machine's memory, or what the process's control group allows (version 2, seen from inside a container).
pub(super) fn total_memory() -> Option<usize> {
    let machine = super::mmap::total_memory();
    let group = std::fs::read_to_string("/sys/fs/cgroup/memory.max").ok().and_then(|text| text.trim().parse().ok());
    machine.into_iter().chain(group).min()
}
