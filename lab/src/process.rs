//! What the system knows about this process and this machine.
//!
//! Figures that a platform does not give are `None`, and the reports show a dash.

use std::fs;

/// Page faults since the process began, those that needed the disk included.
#[cfg(unix)]
pub fn page_faults() -> Option<u64> {
    use nix::sys::resource::{UsageWho, getrusage};
    let usage = getrusage(UsageWho::RUSAGE_SELF).ok()?;
    u64::try_from(usage.minor_page_faults() + usage.major_page_faults()).ok()
}

#[cfg(not(unix))]
pub fn page_faults() -> Option<u64> {
    None
}

/// Bytes resident now that have no file behind them.
pub fn anonymous() -> Option<u64> {
    status("RssAnon:")
}

/// Bytes resident now of files: the program and its libraries.
pub fn file_backed() -> Option<u64> {
    status("RssFile:")
}

/// Bytes resident now.
pub fn resident() -> Option<u64> {
    let statm = fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = statm.split_ascii_whitespace().nth(1)?.parse().ok()?;
    Some(pages * os_page()?)
}

/// The most bytes that were resident at once since the last [`forget_peak`].
pub fn peak_resident() -> Option<u64> {
    status("VmHWM:")
}

fn status(key: &str) -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let kib = status.lines().find_map(|line| line.strip_prefix(key))?;
    Some(kib.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}

/// Starts the peak of [`peak_resident`] anew; where the system refuses, the peak is that of the whole process.
pub fn forget_peak() {
    let _ = fs::write("/proc/self/clear_refs", "5"); // Refused in some containers: later figures are upper bounds then.
}

#[cfg(unix)]
fn os_page() -> Option<u64> {
    u64::try_from(rustix::param::page_size()).ok()
}

#[cfg(not(unix))]
fn os_page() -> Option<u64> {
    None
}

/// Until it is dropped, the system refuses this process memory.
pub struct DataLimit {
    #[cfg(target_os = "linux")]
    before: (u64, u64),
}

/// Limits the private memory that may be written, resident or not, to what there is and so many bytes more; none where
/// the system knows no such limit.
#[cfg(target_os = "linux")]
pub fn limit_data(more: u64) -> Option<DataLimit> {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let kib = status.lines().find_map(|line| line.strip_prefix("VmData:"))?;
    let data = kib.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024;
    let before = getrlimit(Resource::RLIMIT_DATA).ok()?;
    setrlimit(Resource::RLIMIT_DATA, before.0.min(data + more), before.1).ok()?;
    Some(DataLimit { before })
}

#[cfg(not(target_os = "linux"))]
pub fn limit_data(_: u64) -> Option<DataLimit> {
    None
}

#[cfg(target_os = "linux")]
impl Drop for DataLimit {
    fn drop(&mut self) {
        use nix::sys::resource::{Resource, setrlimit};
        let raised = setrlimit(Resource::RLIMIT_DATA, self.before.0, self.before.1);
        raised.expect("a soft limit may be what it was");
    }
}

/// Keeps this thread on the `nth` of the processors that it may use, counted in a circle; where the system refuses,
/// it runs where it ran.
#[cfg(target_os = "linux")]
pub fn stay_on(nth: usize) {
    use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
    use nix::unistd::Pid;
    let this = Pid::from_raw(0);
    let stay = || {
        let allowed = sched_getaffinity(this)?;
        let processors: Vec<_> = (0..CpuSet::count()).filter(|&cpu| allowed.is_set(cpu) == Ok(true)).collect();
        let mut one = CpuSet::new();
        one.set(processors[nth % processors.len()])?;
        sched_setaffinity(this, &one)
    };
    let _ = stay(); // Refused in some sandboxes: the figures are those of threads that the scheduler moves then.
}

#[cfg(not(target_os = "linux"))]
pub fn stay_on(_: usize) {}

/// The machine a figure was measured on.
#[derive(serde::Serialize, serde::Deserialize)]
pub struct Machine {
    pub cpu: String,
    pub cores: usize,
    pub kernel: String,
}

impl Machine {
    pub fn this() -> Self {
        Self { cpu: cpu(), cores: cores(), kernel: kernel() }
    }
}

/// Threads that can run at once.
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

fn cpu() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().filter_map(|line| line.split_once(':')).find(|(key, _)| key.trim() == "model name");
    model.map_or_else(|| std::env::consts::ARCH.to_owned(), |(_, model)| model.trim().to_owned())
}

fn kernel() -> String {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!("{} {}", std::env::consts::OS, release.trim()).trim_end().to_owned()
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn touching_memory_shows_in_every_figure() {
        let (faults, resident_before) = (page_faults().unwrap(), resident().unwrap());
        let memory = std::hint::black_box(vec![1u8; 64 << 20]);
        assert!(page_faults().unwrap() > faults);
        assert!(resident().unwrap() > resident_before + (32 << 20));
        assert!(peak_resident().unwrap() > 64 << 20);
        assert!(anonymous().unwrap() > 64 << 20 && file_backed().unwrap() > 0);
        drop(memory);
    }

    #[test]
    fn the_machine_has_a_name() {
        let machine = Machine::this();
        assert!(machine.cores > 0 && !machine.cpu.is_empty() && machine.kernel.starts_with("linux"));
    }
}
