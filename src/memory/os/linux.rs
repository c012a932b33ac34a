//! Linux: `madvise` that leaves zero pages, and `membarrier`.

use std::ffi::{c_int, c_long};
use std::io;
use std::path::Path;
use std::ptr::NonNull;

pub(super) use super::mmap::{map, page_size, unmap};

/// Since Linux 5.18; not in every version of `libc` that will do.
const MADV_DONTNEED_LOCKED: c_int = 24;

/// Older kernels refuse it for pages that are locked in memory; these keep their bytes.
pub(super) unsafe fn discard(start: NonNull<u8>, len: usize) -> bool {
    // SAFETY: whole pages of a private anonymous mapping that nobody uses. The next access finds
    // zero pages.
    let advise = |advice| unsafe { libc::madvise(start.as_ptr().cast(), len, advice) == 0 };
    advise(libc::MADV_DONTNEED) || advise(MADV_DONTNEED_LOCKED)
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

/// The processor that this thread runs on. From memory that the kernel shares, which takes no system call.
pub(super) fn cpu_here() -> Option<usize> {
    // SAFETY: the call has no conditions.
    usize::try_from(unsafe { libc::sched_getcpu() }).ok()
}

#[cfg(feature = "track")]
pub(super) fn thread_number() -> Option<u32> {
    // SAFETY: the call has no conditions.
    u32::try_from(unsafe { libc::syscall(libc::SYS_gettid) }).ok()
}

pub(super) fn usable_memory() -> Option<usize> {
    usable_memory_below(Path::new("/"))
}

/// What this process may use when the root of the file system is here.
fn usable_memory_below(root: &Path) -> Option<usize> {
    let bounds = [super::mmap::total_memory(), super::cgroup::memory_limit(root), address_limit()];
    bounds.into_iter().flatten().min()
}

/// The bytes of addresses that this process may have mapped; `None` for no limit.
fn address_limit() -> Option<usize> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the call fills in the structure.
    let known = unsafe { libc::getrlimit(libc::RLIMIT_AS, &mut limit) } == 0;
    if known && limit.rlim_cur != libc::RLIM_INFINITY { usize::try_from(limit.rlim_cur).ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::super::cgroup::tests::Root;
    use super::*;

    #[test]
    fn a_control_group_takes_memory_away_and_adds_none() {
        let usable = |limit: &str| {
            let files = [("sys/fs/cgroup/memory.max", limit.as_bytes())];
            usable_memory_below(&Root::new("usable", &files).0)
        };
        let all = usable("max").unwrap();
        assert!(all > 4096);
        assert_eq!(usable("4096"), Some(4096));
        assert_eq!(usable(&usize::MAX.to_string()), Some(all));
    }
}
