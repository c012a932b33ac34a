//! What changes the pools and budgets themselves, while others use them.

use millpond::{Budget, BufferPool};

use super::budgets::ROOT;
use super::check::soon;
use super::counts::Op;
use super::pond::{DECAY, KINDS, Kind};
use super::scene::Scene;
use crate::random::Random;

pub fn act(scene: &Scene, random: &mut Random) {
    let kind = KINDS[random.below(KINDS.len() as u64) as usize];
    let operation = match random.below(100) {
        0..=9 => trim(scene, kind, random),
        10..=13 => trim_budget(scene, random),
        14..=59 => maintain(scene),
        60..=74 => attach(scene, kind),
        75..=88 => change_limit(scene, random),
        89..=92 => remake(scene, kind),
        93..=94 => close(scene, kind),
        _ => tenant(scene, random),
    };
    scene.counts.did(operation);
}

fn trim(scene: &Scene, kind: Kind, random: &mut Random) -> Op {
    scene.pond(kind).trim(random.below(1 << 20) as usize);
    Op::Trim
}

fn trim_budget(scene: &Scene, random: &mut Random) -> Op {
    let nodes = &scene.budgets.0;
    nodes[random.below(nodes.len() as u64) as usize].budget.trim(random.below(16 << 20) as usize);
    Op::TrimBudget
}

fn maintain(scene: &Scene) -> Op {
    KINDS.iter().for_each(|&kind| scene.pond(kind).maintain());
    Op::Maintain
}

fn attach(scene: &Scene, kind: Kind) -> Op {
    scene.pond(kind).attach_thread();
    Op::Attach
}

/// Not in a silence, in which everybody is to be served.
fn change_limit(scene: &Scene, random: &mut Random) -> Op {
    let nodes = &scene.budgets.0;
    // The root's seldom, for it concerns everybody.
    let place = if random.below(50) == 0 { ROOT } else { 1 + random.below(nodes.len() as u64 - 1) as usize };
    let node = &nodes[place];
    if random.below(3) == 0 || scene.is_quiet() {
        node.restore_limit();
    } else {
        node.change_limit(random);
    }
    Op::SetLimit
}

fn remake(scene: &Scene, kind: Kind) -> Op {
    scene.remake(kind);
    Op::Remake
}

fn close(scene: &Scene, kind: Kind) -> Op {
    let old = scene.pond(kind);
    scene.remake(kind);
    old.close();
    Op::Close
}

/// A budget with a minimum and a pool on it, which are used a little and are gone: what it reserved and what it had is
/// the root's again.
fn tenant(scene: &Scene, random: &mut Random) -> Op {
    let (min, max) = (random.below(1 << 20) as usize, 2 << 20);
    // Refused where others wait or all is used.
    let resided = scene.budgets.root().child_reserving(min, max).map(|budget| reside(&budget, random));
    if let Ok(Err(what)) = resided {
        scene.fault(format!("a tenant with {min} bytes reserved of {max}: {what}"));
    }
    Op::Tenant
}

fn reside(budget: &Budget, random: &mut Random) -> Result<(), String> {
    let pool = BufferPool::builder().budget(budget).decay(DECAY).build().map_err(|error| error.to_string())?;
    let bufs: Vec<_> =
        (0..random.below(20)).map_while(|_| pool.try_get(random.below(64 << 10) as usize).ok()).collect();
    let out: usize = bufs.iter().map(|buf| buf.capacity()).sum();
    // Nobody else is on this budget, but its neighbours may be served with what lies idle here.
    if budget.used() < out || budget.used() > budget.limit() {
        return Err(format!("{} bytes used of {} with {out} out", budget.used(), budget.limit()));
    }
    drop(pool);
    drop(bufs);
    // Those who robbed the pool for somebody else may have its memory in their hands still.
    soon(|| match budget.used() {
        0 => Ok(()),
        used => Err(format!("{used} bytes are used after all is gone")),
    })
}
