//! Limits that a process puts on itself.

/// Lowers the limit on locked memory, also for root.
pub(crate) fn limit_locked_memory(bytes: usize) {
    const CAP_IPC_LOCK: u32 = 14;
    const VERSION_3: u32 = 0x2008_0522;
    #[repr(C)]
    struct Header(u32, i32);
    let (header, mut sets) = (Header(VERSION_3, 0), [[0_u32; 3]; 2]);
    // SAFETY: a header and two sets of each kind, as version 3 has them.
    assert_eq!(unsafe { libc::syscall(libc::SYS_capget, &raw const header, sets.as_mut_ptr()) }, 0);
    sets[0][0] &= !(1 << CAP_IPC_LOCK);
    // SAFETY: as above.
    assert_eq!(unsafe { libc::syscall(libc::SYS_capset, &raw const header, sets.as_ptr()) }, 0);
    let limit = libc::rlimit { rlim_cur: bytes as libc::rlim_t, rlim_max: bytes as libc::rlim_t };
    // SAFETY: a limit that lives long enough.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_MEMLOCK, &raw const limit) }, 0);
}
