//! What is asked of a pool's memory, and how it went.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::Denial;
use super::options::{MemoryOption, Need, Node, Options, OsReason};

/// Shared by all sources of a pool, or by those of one node; then the outcomes are shared by all.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    options: Options,
    outcomes: Arc<[Outcome; MemoryOption::ALL.len()]>,
}

/// How often an option was asked for, and given.
#[derive(Debug, Default)]
struct Outcome {
    asked: AtomicU64,
    got: AtomicU64,
}

/// One option of a pool: whether it is needed, and how it went.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Report {
    pub(crate) option: MemoryOption,
    pub(crate) need: Need,
    pub(crate) asked: u64,
    pub(crate) got: u64,
}

impl Plan {
    pub(crate) fn new(options: Options) -> Self {
        Plan { options, ..Plan::default() }
    }

    /// The same on this node, as long as it has memory left.
    pub(super) fn on(&self, node: u32) -> Self {
        let mut options = self.options;
        options.node = Node::Preferred(node);
        Plan { options, outcomes: self.outcomes.clone() }
    }

    pub(super) fn options(&self) -> &Options {
        &self.options
    }

    /// Asks the system for an option of so many bytes, if the plan has it; whether they have it then.
    pub(super) fn ask(
        &self,
        option: MemoryOption,
        bytes: usize,
        act: impl FnOnce() -> Result<(), OsReason>,
    ) -> Result<bool, Denial> {
        let Some(need) = self.options.need(option) else { return Ok(false) };
        let outcome = &self.outcomes[option as usize];
        outcome.asked.fetch_add(1, Relaxed);
        match act() {
            Ok(()) => {
                outcome.got.fetch_add(1, Relaxed);
                Ok(true)
            }
            Err(_) if need == Need::Prefer => Ok(false),
            Err(reason) => Err(Denial::Option { option, bytes, reason }),
        }
    }

    /// The options that the plan has.
    pub(crate) fn reports(&self) -> impl Iterator<Item = Report> + '_ {
        MemoryOption::ALL.into_iter().filter_map(|option| {
            let outcome = &self.outcomes[option as usize];
            let (asked, got) = (outcome.asked.load(Relaxed), outcome.got.load(Relaxed));
            Some(Report { option, need: self.options.need(option)?, asked, got })
        })
    }
}
