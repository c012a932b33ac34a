//! What must be left when all is over: nothing.

use std::fs;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::budgets::Budgets;
use super::check::soon;
use super::conduct::Plan;
use super::scene::{Made, Scene};
use super::totals::Totals;
use crate::process;
use crate::size::Bytes;

/// What may be resident beyond what was at the start: tables and samples, and the program has touched more of itself; for
/// each thread its stack and what the allocator keeps for it.
const SLACK: u64 = 12 << 20;
const SLACK_OF_THREAD: u64 = 512 << 10;

/// Waits for the workers' ends; who of them does not come to one, or panicked.
pub fn join(workers: Vec<JoinHandle<()>>, patience: Duration) -> Result<(), String> {
    let deadline = Instant::now() + patience;
    while workers.iter().any(|worker| !worker.is_finished()) {
        if Instant::now() >= deadline {
            let left = workers.iter().filter(|worker| !worker.is_finished()).count();
            return Err(format!("{left} of {} workers have not ended within {patience:?}", workers.len()));
        }
        thread::sleep(Duration::from_millis(5));
    }
    let panicked = workers.into_iter().map(JoinHandle::join).filter(Result::is_err).count();
    if panicked == 0 { Ok(()) } else { Err(format!("{panicked} workers panicked")) }
}

/// Drops all that is left of the scene, and says what stays nevertheless.
pub fn check(scene: Scene, totals: &mut Totals, plan: &Plan) -> Vec<String> {
    let (budgets, made, bricks) = scene.dismantle();
    let mut wrong: Vec<_> = made.iter().filter_map(|made| forgotten(made).err()).collect();
    if bricks > 0 {
        wrong.push(format!("{bricks} bytes of bricks are left, of which nobody knows"));
    }
    wrong.extend(soon(|| unused(&budgets)).err());
    let root = budgets.root().clone();
    drop(budgets);
    wrong.extend(soon(|| expect_zero(root.used(), "bytes are charged after all budgets but the root are gone")).err());
    wrong.extend(soon(|| expect_zero(maintainers(), "threads look after pools that are gone")).err());
    totals.resident_at_end = process::resident();
    let most = allowed(totals.resident_at_start, plan, 0);
    wrong.extend(resident(totals.resident_at_end, most).err().map(|what| format!("when all is over {what}")));
    wrong
}

fn forgotten(made: &Made) -> Result<(), String> {
    let (account, handles) = (made.ledger.read(), made.pond.strong_count());
    if account.out_count == 0 && account.pending + account.blocked == 0 && handles == 0 {
        return Ok(());
    }
    Err(format!(
        "{}: {} handles out, {} in line, and the pool itself is held {handles} times, when all is over",
        made.kind.name(),
        account.out_count,
        account.pending + account.blocked
    ))
}

/// But for what the children reserve.
fn unused(budgets: &Budgets) -> Result<(), String> {
    for (place, node) in budgets.0.iter().enumerate() {
        let reserved: usize = budgets.0.iter().filter(|child| child.parent == Some(place)).map(|child| child.min).sum();
        if node.budget.used() != reserved {
            let used = node.budget.used();
            return Err(format!("budget {}: {used} bytes used when all is over, {reserved} reserved", node.name));
        }
    }
    Ok(())
}

fn expect_zero(count: usize, what: &str) -> Result<(), String> {
    if count == 0 { Ok(()) } else { Err(format!("{count} {what}")) }
}

/// The pools' own threads, where the system shows them.
fn maintainers() -> usize {
    let tasks = fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let names = tasks.filter_map(|task| fs::read_to_string(task.path().join("comm")).ok());
    names.filter(|name| name.trim_end() == "millpond").count()
}

/// What may be resident with so much in use.
pub fn allowed(at_start: Option<u64>, plan: &Plan, used: usize) -> Option<u64> {
    // From the allocator comes an eighth of the budget at most, and it may keep that.
    let kept = (plan.limit / 8 + used) as u64;
    at_start.map(|at_start| at_start + SLACK + SLACK_OF_THREAD * plan.threads as u64 + kept)
}

pub fn resident(now: Option<u64>, most: Option<u64>) -> Result<(), String> {
    match now.zip(most) {
        Some((now, most)) if now > most => {
            Err(format!("{} are resident, at most {} are accounted for", Bytes(now), Bytes(most)))
        }
        _ => Ok(()),
    }
}
