//! What must add up while nobody works.
//!
//! The pools' own thread may be at work even so, and a thread inside `wait` may be served at this very moment. Either
//! makes a look go wrong, but not for long: what is lost stays lost. So an identity is violated when it does not hold in
//! any of many looks. What is set aside for those who wait is known up to what they asked for; where nobody waits, all is
//! exact.

use std::ops::RangeInclusive;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;
use std::time::{Duration, Instant};

use millpond::Stats;

use super::budgets::{Budgets, ROOT};
use super::ledger::Account;
use super::pond::{Kind, Pond};
use super::scene::{Made, Scene};
use super::values::Token;

/// How long what goes wrong may do so.
const PATIENCE: Duration = Duration::from_secs(5);

/// What looks have found, and how much they compared.
#[derive(Default)]
struct Look {
    wrong: Vec<String>,
    compared: u64,
}

/// The bytes that a budget's own pools have, and those who wait may have.
#[derive(Clone, Copy, Default)]
struct Charge {
    least: u64,
    most: u64,
    awaited: u64,
}

/// Tries until it succeeds, for a while.
pub fn soon<T, E>(mut attempt: impl FnMut() -> Result<T, E>) -> Result<T, E> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match attempt() {
            Err(_) if Instant::now() < deadline => thread::sleep(Duration::from_millis(5)),
            result => return result,
        }
    }
}

/// Compares everything that can be compared while nobody works: how many numbers, or what is wrong.
pub fn identities(scene: &Scene) -> Result<u64, Vec<String>> {
    let compared = soon(|| {
        let mut look = Look::default();
        look.at(scene);
        if look.wrong.is_empty() { Ok(look.compared) } else { Err(look.wrong) }
    })?;
    // Once, because it forgets what was allowed before.
    let wrong: Vec<_> = scene.budgets.0.iter().filter_map(|node| node.check_limit().err()).collect();
    if wrong.is_empty() { Ok(compared + scene.budgets.0.len() as u64) } else { Err(wrong) }
}

impl Look {
    fn at(&mut self, scene: &Scene) {
        let mut charges = vec![Charge::default(); scene.budgets.0.len()];
        for made in scene.made() {
            let charge = &mut charges[Budgets::place(made.kind)];
            let account = made.ledger.read();
            charge.awaited += account.awaited_bytes;
            let charged = match made.pond.upgrade() {
                Some(pond) => self.at_pool(&pond, &account),
                None => after_its_end(&made, &account),
            };
            charge.least += charged.start();
            charge.most += charged.end();
        }
        self.at_bricks(scene, &mut charges[Budgets::place(Kind::Bricks)]);
        for place in 0..charges.len() {
            self.at_budget(&scene.budgets, place, &charges);
        }
    }

    fn expect(&mut self, holds: bool, what: impl FnOnce() -> String) {
        self.compared += 1;
        if !holds {
            self.wrong.push(what());
        }
    }

    /// What a pool says; the bytes it is charged with.
    fn at_pool(&mut self, pond: &Pond, account: &Account) -> RangeInclusive<u64> {
        let (stats, name) = (pond.stats(), pond.kind.name());
        self.adds_up(&stats, name);
        let (out, awaited) = match pond.kind {
            Kind::Bricks | Kind::Tokens => (account.out_count, account.awaited_count),
            _ => (account.out_bytes, account.awaited_bytes),
        };
        self.expect((out..=out + awaited).contains(&stats.outstanding), || {
            format!(
                "{name}: outstanding {}, but workers hold {out} and wait for {awaited} more\n{stats}",
                stats.outstanding
            )
        });
        self.expect(stats.gets >= account.gets, || {
            format!("{name}: {} gets, but workers were served {} times\n{stats}", stats.gets, account.gets)
        });
        // Closed, a pool has no line any more.
        let Account { pending, blocked, .. } = *account;
        let least = if pond.is_closed() { 0 } else { pending };
        self.expect((least..=pending + blocked).contains(&stats.waiters), || {
            format!(
                "{name}: {} waiters, but {pending} futures are pending and {blocked} threads inside wait",
                stats.waiters
            )
        });
        match pond.kind {
            // Outside the budget is an unknown part of what is out.
            Kind::Heap if stats.unpooled > 0 => stats.idle_in_caches + stats.idle_in_depot..=stats.footprint,
            Kind::Bricks => 0..=0,
            Kind::Tokens => exactly(stats.footprint * size_of::<Token>() as u64),
            _ => exactly(stats.footprint),
        }
    }

    /// The sums that `Stats` promises.
    fn adds_up(&mut self, stats: &Stats, name: &str) {
        let idle = stats.cache_hits + stats.depot_hits + stats.stolen + stats.handed_over;
        let gets = idle + stats.fresh + stats.oversize + stats.unpooled;
        self.expect(stats.gets == gets, || format!("{name}: {} gets, in parts {gets}\n{stats}", stats.gets));
        let parts = stats.outstanding + stats.idle_in_caches + stats.idle_in_depot;
        self.expect(stats.footprint == parts, || {
            format!("{name}: footprint {}, in parts {parts}\n{stats}", stats.footprint)
        });
        for class in &stats.classes {
            let gets = class.cache_hits + class.depot_hits + class.stolen + class.handed_over + class.fresh;
            let parts = class.outstanding + class.idle_in_caches + class.idle_in_depot;
            self.expect(class.gets == gets && class.footprint == parts, || {
                format!(
                    "{name}, class {}: {} gets, in parts {gets}; footprint {}, in parts {parts}\n{stats}",
                    class.size, class.gets, class.footprint
                )
            });
        }
    }

    /// Bricks add up their weights by themselves.
    fn at_bricks(&mut self, scene: &Scene, charge: &mut Charge) {
        let weight = scene.bricks.load(Relaxed) as u64;
        *charge = Charge { least: weight, most: weight, ..*charge };
    }

    fn at_budget(&mut self, budgets: &Budgets, place: usize, charges: &[Charge]) {
        let node = &budgets.0[place];
        let of_children: u64 = budgets
            .0
            .iter()
            .filter(|child| child.parent == Some(place))
            .map(|child| child.budget.used().max(child.min) as u64)
            .sum();
        let below = (0..charges.len()).filter(|&below| budgets.is_under(below, place));
        let awaited: u64 = below.map(|below| charges[below].awaited).sum();
        let (used, Charge { least, most, .. }) = (node.budget.used() as u64, charges[place]);
        let (least, most) = (least + of_children, most + of_children);
        self.expect((least..=most + awaited).contains(&used), || {
            format!(
                "budget {}: {used} bytes used, but its pools and children have {least} to {most}, and {awaited} more are waited for\n{}",
                node.name, budgets.0[ROOT].budget
            )
        });
    }
}

fn exactly(bytes: u64) -> RangeInclusive<u64> {
    bytes..=bytes
}

/// What is charged for a pool that is gone: what workers hold of it.
fn after_its_end(made: &Made, account: &Account) -> RangeInclusive<u64> {
    match made.kind {
        Kind::Heap => 0..=account.out_bytes,
        Kind::Bricks => 0..=0,
        _ => exactly(account.out_bytes),
    }
}
