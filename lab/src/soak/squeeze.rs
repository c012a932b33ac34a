//! A moment in which the system has no memory.
//!
//! Mapped memory does not come from the allocator, so `starve` cannot refuse it. The system does, where it limits the data
//! of a process: to what there is and a little more, so that small allocations of others still succeed, which could only
//! abort. For when nobody works.

use super::scene::Scene;

/// What the squeezed process may still allocate; less than is asked for here.
#[cfg(target_os = "linux")]
const SLACK: u64 = 3 << 20;
/// A class with a mapping for each block, and what is above all classes.
#[cfg(target_os = "linux")]
const ASKED: [(Kind, usize); 3] = [(Kind::Blocks, 4 << 20), (Kind::Pages, 6 << 20), (Kind::Heap, 8 << 20)];

#[cfg(target_os = "linux")]
use {super::pond::Kind, crate::process, millpond::Error, millpond::Recycled, nix::sys::resource};

/// Has the system refuse memory for a moment; how often it did.
#[cfg(target_os = "linux")]
pub fn squeeze(scene: &Scene) -> Result<u64, String> {
    // Or what lies idle would give way, and make room for others than those who ask.
    scene.budgets.root().trim(0);
    let ponds = ASKED.map(|(kind, size)| (scene.pond(kind), size));
    let Some(_limited) = Limited::to(SLACK) else { return Ok(0) };
    let mut refused = 0;
    for (pond, size) in ponds {
        match pond.bytes().try_get(Recycled(size)) {
            Err(Error::OutOfMemory { requested }) if requested >= size => refused += 1,
            // Where the budget is low, or the system does not keep to its limit.
            Ok(_) | Err(Error::OverBudget { .. } | Error::Queued { .. }) => {}
            Err(error) => return Err(format!("{}: `{error}` where the system has no memory", pond.kind.name())),
        }
    }
    Ok(refused)
}

#[cfg(not(target_os = "linux"))]
pub fn squeeze(_: &Scene) -> Result<u64, String> {
    Ok(0)
}

/// The process may have no more data than it has, until this is dropped.
#[cfg(target_os = "linux")]
struct Limited {
    before: (u64, u64),
}

#[cfg(target_os = "linux")]
impl Limited {
    fn to(slack: u64) -> Option<Self> {
        let before = resource::getrlimit(resource::Resource::RLIMIT_DATA).ok()?;
        let most = (process::data()? + slack).min(before.0);
        resource::setrlimit(resource::Resource::RLIMIT_DATA, most, before.1).ok()?;
        Some(Self { before })
    }
}

#[cfg(target_os = "linux")]
impl Drop for Limited {
    fn drop(&mut self) {
        let raised = resource::setrlimit(resource::Resource::RLIMIT_DATA, self.before.0, self.before.1);
        raised.expect("a soft limit may be raised to what it was");
    }
}
