//! What is asked of a pool's memory, and how it went.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::Denial;
use super::options::{MemoryOption, Need, Node, Options, OsReason};
use crate::tell::Name;

/// Shared by all sources of a pool, or by those of one node; then the outcomes are shared by all.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    options: Options,
    outcomes: Arc<[Outcome; MemoryOption::ALL.len()]>,
    /// The pool's.
    name: Name,
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
    pub(crate) fn new(options: Options, name: &Name) -> Self {
        Plan { options, name: name.clone(), ..Plan::default() }
    }

    /// The same on this node, as long as it has memory left.
    pub(super) fn on(&self, node: u32) -> Self {
        let mut options = self.options;
        options.node = Node::Preferred(node);
        Plan { options, outcomes: self.outcomes.clone(), name: self.name.clone() }
    }

    pub(super) fn options(&self) -> &Options {
        &self.options
    }

    /// Asks the system for an option of so many bytes, if the plan has it; whether they have it then. With no lock held,
    /// since it is told where they have not.
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
            Err(reason) if need == Need::Prefer => {
                self.tell_of_refusal(option, bytes, reason);
                Ok(false)
            }
            Err(reason) => Err(Denial::Option { option, bytes, reason }),
        }
    }

    #[cfg(feature = "tracing-01")]
    #[cold]
    fn tell_of_refusal(&self, option: MemoryOption, bytes: usize, reason: OsReason) {
        let pool = self.name.get();
        crate::tell::tell(|| {
            tracing_01::warn!(target: "millpond", pool, %option, bytes, %reason, "memory option not honoured");
        });
    }

    #[cfg(not(feature = "tracing-01"))]
    fn tell_of_refusal(&self, _: MemoryOption, _: usize, _: OsReason) {}

    /// The options that the plan has.
    pub(crate) fn reports(&self) -> impl Iterator<Item = Report> + '_ {
        MemoryOption::ALL.into_iter().filter_map(|option| {
            let outcome = &self.outcomes[option as usize];
            let (asked, got) = (outcome.asked.load(Relaxed), outcome.got.load(Relaxed));
            Some(Report { option, need: self.options.need(option)?, asked, got })
        })
    }
}
