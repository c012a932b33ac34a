//! What the system knows about this process; none where it does not say.

use std::fs;

/// Page faults that were served without the disk, since the process began.
#[cfg(unix)]
#[allow(unsafe_code)] // A call of the system.
pub(crate) fn page_faults() -> Option<u64> {
    let mut usage = std::mem::MaybeUninit::uninit();
    // SAFETY: there is room for what is written.
    let result = unsafe { libc::getrusage(libc::RUSAGE_SELF, usage.as_mut_ptr()) };
    // SAFETY: plain numbers, all written where the call succeeded.
    let usage = (result == 0).then(|| unsafe { usage.assume_init() })?;
    u64::try_from(usage.ru_minflt).ok()
}

#[cfg(not(unix))]
pub(crate) fn page_faults() -> Option<u64> {
    None
}

/// Bytes that are resident now.
pub(crate) fn resident() -> Option<i64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let kib = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(kib.trim().strip_suffix("kB")?.trim().parse::<i64>().ok()? * 1024)
}
