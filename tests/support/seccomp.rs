//! Linux's filter of system calls, for the calling thread and those that it starts.

use std::mem::offset_of;

fn statement(code: u32, k: u32) -> libc::sock_filter {
    libc::sock_filter { code: code as u16, jt: 0, jf: 0, k }
}

/// From now on these system calls come out as `listed` says, and all others as `others` says: each one of
/// `SECCOMP_RET_*`.
pub(crate) fn filter(calls: &[libc::c_long], listed: u32, others: u32) {
    let number = offset_of!(libc::seccomp_data, nr) as u32;
    let mut program = vec![statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, number)];
    for &call in calls {
        let is_call = statement(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, call as u32);
        program.push(libc::sock_filter { jf: 1, ..is_call });
        program.push(statement(libc::BPF_RET | libc::BPF_K, listed));
    }
    program.push(statement(libc::BPF_RET | libc::BPF_K, others));
    let program = libc::sock_fprog { len: program.len() as u16, filter: program.as_mut_ptr() };
    // SAFETY: takes numbers alone.
    let unprivileged = unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
    assert_eq!(unprivileged, 0, "{}", std::io::Error::last_os_error());
    // SAFETY: reads the program, which lives until the end of this function.
    let installed = unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program) };
    assert_eq!(installed, 0, "{}", std::io::Error::last_os_error());
}
