//! What the system knows about this process.

use std::fs;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// Bytes that are resident now, and the most that ever were.
pub(crate) fn resident() -> Option<(u64, u64)> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let bytes = |field| {
        let kib = status.lines().find_map(|line| line.strip_prefix(field))?;
        Some(kib.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? << 10)
    };
    Some((bytes("VmRSS:")?, bytes("VmHWM:")?))
}

/// Time on processors, of all threads, in user code and in the system.
pub(crate) fn cpu() -> Duration {
    // The clock counts up from 0.
    Duration::try_from(clock_gettime(ClockId::ProcessCPUTime)).unwrap_or_default()
}
