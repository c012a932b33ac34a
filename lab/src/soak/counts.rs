//! What the workers did, and how they were refused.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use millpond::Error;

/// What a worker does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Op {
    Get,
    GetMany,
    Value,
    Values,
    Grow,
    Freeze,
    Share,
    Thaw,
    Detach,
    Return,
    Send,
    Receive,
    Poll,
    Cancel,
    Wait,
    WaitTimeout,
    Thread,
    Attach,
    Trim,
    TrimBudget,
    Maintain,
    SetLimit,
    Remake,
    Close,
    Tenant,
}

/// In the order of the operations.
const OPERATIONS: [(Op, &str); 25] = [
    (Op::Get, "get"),
    (Op::GetMany, "get_many"),
    (Op::Value, "value"),
    (Op::Values, "values"),
    (Op::Grow, "grow"),
    (Op::Freeze, "freeze"),
    (Op::Share, "share"),
    (Op::Thaw, "thaw"),
    (Op::Detach, "detach"),
    (Op::Return, "return"),
    (Op::Send, "send to another thread"),
    (Op::Receive, "receive from another thread"),
    (Op::Poll, "future polled"),
    (Op::Cancel, "future dropped half way"),
    (Op::Wait, "wait"),
    (Op::WaitTimeout, "wait with a time limit"),
    (Op::Thread, "thread started and ended"),
    (Op::Attach, "attach_thread"),
    (Op::Trim, "trim"),
    (Op::TrimBudget, "trim of a budget"),
    (Op::Maintain, "maintain"),
    (Op::SetLimit, "limit changed"),
    (Op::Remake, "pool dropped and made anew"),
    (Op::Close, "pool closed and made anew"),
    (Op::Tenant, "tenant come and gone"),
];

const REFUSALS: [&str; 9] = [
    "over budget",
    "queued",
    "never fits",
    "timed out",
    "exhausted",
    "create failed",
    "out of memory",
    "closed",
    "other",
];

fn index(error: &Error) -> usize {
    match error {
        Error::OverBudget { .. } => 0,
        Error::Queued { .. } => 1,
        Error::NeverFits { .. } => 2,
        Error::TimedOut { .. } => 3,
        Error::Exhausted { .. } => 4,
        Error::Create(_) => 5,
        Error::OutOfMemory { .. } => 6,
        Error::Closed => 7,
        _ => 8,
    }
}

/// Relaxed all of them: they are read as they come, and exactly at the end.
#[derive(Default)]
pub struct Counts {
    operations: [AtomicU64; OPERATIONS.len()],
    refusals: [AtomicU64; REFUSALS.len()],
}

impl Counts {
    pub fn did(&self, operation: Op) {
        self.operations[operation as usize].fetch_add(1, Relaxed);
    }

    pub fn refused(&self, error: &Error) {
        self.refusals[index(error)].fetch_add(1, Relaxed);
    }

    pub fn all(&self) -> u64 {
        self.operations.iter().map(|count| count.load(Relaxed)).sum()
    }

    pub fn operations(&self) -> BTreeMap<String, u64> {
        named(OPERATIONS.map(|(_, name)| name), &self.operations)
    }

    pub fn refusals(&self) -> BTreeMap<String, u64> {
        named(REFUSALS, &self.refusals)
    }
}

fn named<const N: usize>(names: [&'static str; N], counts: &[AtomicU64; N]) -> BTreeMap<String, u64> {
    names.into_iter().map(str::to_owned).zip(counts.iter().map(|count| count.load(Relaxed))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_in_the_order_of_the_operations() {
        for (place, (operation, name)) in OPERATIONS.into_iter().enumerate() {
            assert_eq!(operation as usize, place, "{name}");
        }
    }
}
