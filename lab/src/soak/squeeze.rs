//! A moment in which the system has no memory.
//!
//! Mapped memory does not come from the allocator, so `starve` cannot refuse it. The system does, where it limits the data
//! of a process: to what there is and a little more, so that small allocations of others still succeed, which could only
//! abort. For when nobody works.

use millpond::{Error, Recycled};

use super::pond::Kind;
use super::scene::Scene;
use crate::process;

/// What the squeezed process may still allocate; less than is asked for here.
const SLACK: u64 = 3 << 20;
/// A class with a mapping for each block, and what is above all classes.
const ASKED: [(Kind, usize); 3] = [(Kind::Blocks, 4 << 20), (Kind::Pages, 6 << 20), (Kind::Heap, 8 << 20)];

/// Has the system refuse memory for a moment, where it can be made to; how often it did.
pub fn squeeze(scene: &Scene) -> Result<u64, String> {
    // Or what lies idle would give way, and make room for others than those who ask.
    scene.budgets.root().trim(0);
    let ponds = ASKED.map(|(kind, size)| (scene.pond(kind), size));
    let Some(_limit) = process::limit_data(SLACK) else { return Ok(0) };
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
