//! What budgets say of themselves, limits that change, and pools that are built within them.

use millpond::{Budget, BufferPool, BufferPoolBuilder, BuildError, Error, Pool};

const KIB: usize = 1 << 10;

fn on(budget: &Budget) -> BufferPoolBuilder {
    BufferPool::builder().budget(budget)
}

fn over(requested: usize, available: usize, limit: usize) -> Error {
    Error::OverBudget { requested, available, limit }
}

fn numbers(budget: &Budget) -> [usize; 4] {
    [budget.used(), budget.limit(), budget.peak(), budget.available()].map(|bytes| bytes / KIB)
}

#[test]
fn clones_are_one_budget() {
    let budget = Budget::new(8 * KIB);
    let buf = on(&budget.clone()).build().unwrap().get(KIB);
    budget.clone().set_limit(16 * KIB);
    assert_eq!(numbers(&budget), [1, 16, 1, 15]);
    drop(buf);
    assert_eq!(numbers(&budget), [0, 16, 1, 16]);
}

#[test]
fn the_peak_is_the_most_there_was() {
    let budget = Budget::new(8 * KIB);
    let child = budget.child(4 * KIB);
    let pool = on(&child).max_idle(0).build().unwrap();
    drop(pool.get_many([KIB; 3]));
    drop(pool.get(KIB));
    assert_eq!(pool.try_get(6 * KIB).unwrap_err(), over(6 * KIB, 4 * KIB, 4 * KIB));
    assert_eq!((numbers(&child), numbers(&budget)), ([0, 4, 3, 4], [0, 8, 3, 8]));
}

#[test]
fn what_is_available_is_what_all_above_have_left() {
    let budget = Budget::new(10 * KIB);
    let child = budget.child(8 * KIB);
    let tenant = budget.child_reserving(2 * KIB, 6 * KIB).unwrap();
    let available = || [&budget, &child, &tenant].map(|budget| budget.available() / KIB);
    assert_eq!(available(), [8, 8, 6]);
    let bufs = on(&child).build().unwrap().get_many([KIB; 5]);
    assert_eq!(available(), [3, 3, 5]);
    let theirs = on(&tenant).build().unwrap().get_many([KIB; 3]);
    assert_eq!((available(), budget.used()), ([2, 2, 2], 8 * KIB));
    drop((bufs, theirs));
    assert_eq!(available(), [8, 8, 6]);
}

#[test]
fn a_limit_lowered_reclaims_what_is_idle_and_then_refuses() {
    let budget = Budget::new(16 * KIB);
    let pool = on(&budget).build().unwrap();
    let mut held: Vec<_> = (0..8).map(|_| pool.get(KIB)).collect();
    drop(pool.get_many([KIB; 8]));
    budget.set_limit(12 * KIB);
    assert_eq!(numbers(&budget), [12, 12, 16, 0]);
    budget.set_limit(4 * KIB);
    assert_eq!((numbers(&budget), pool.stats().footprint), ([8, 4, 16, 0], 8 * KIB as u64));
    for left in (4..8).rev() {
        assert_eq!(pool.try_get(2 * KIB).unwrap_err(), over(2 * KIB, 0, 4 * KIB));
        held.truncate(left);
        pool.trim(0);
    }
    assert_eq!(pool.try_get(KIB).unwrap_err(), over(KIB, 0, 4 * KIB));
    held.truncate(3);
    // The idle one gives way.
    assert_eq!(pool.try_get(512).unwrap().len(), 512);
    budget.set_limit(0);
    assert_eq!(numbers(&budget), [3, 0, 16, 0]);
    budget.set_limit(usize::MAX);
    assert_eq!(pool.try_get(32 * KIB).unwrap().len(), 32 * KIB);
}

#[test]
fn a_limit_lowered_reclaims_from_all_pools_below() {
    let budget = Budget::new(16 * KIB);
    let (child, tenant) = (budget.child(16 * KIB), budget.child_reserving(2 * KIB, 16 * KIB).unwrap());
    let pools = [&budget, &child, &tenant].map(|budget| on(budget).prefill(KIB, 4).build().unwrap());
    assert_eq!(budget.used(), 12 * KIB);
    budget.set_limit(2 * KIB);
    assert_eq!([&budget, &child, &tenant].map(|budget| budget.used() / KIB), [2, 0, 2]);
    tenant.set_limit(KIB);
    assert_eq!([&budget, &tenant].map(|budget| budget.used() / KIB), [2, 1]);
    drop(pools);
}

#[test]
fn the_tree_is_written_out() {
    let budget = Budget::new(64 * KIB);
    let empty = Budget::new(usize::MAX);
    let all = if cfg!(target_pointer_width = "64") { "16777216.0 TiB" } else { "4.0 GiB" };
    assert_eq!(empty.to_string(), format!("budget: 0 B of {all}, peak 0 B"));
    let tenant = budget.child_reserving(8 * KIB, 16 * KIB).unwrap();
    let pages = on(&budget).name("pages").build().unwrap();
    let blocks = on(&tenant).max_memory(4 * KIB).build().unwrap();
    let values = Pool::<Vec<u8>>::builder().budget(&tenant).weigh(|_| 1000).max_objects(5).name("values");
    let values = values.build().unwrap();
    drop(pages.get(KIB));
    let held = (pages.get(2 * KIB), blocks.get(KIB), values.get_with(|value| value.push(1)));
    assert_eq!(
        budget.to_string(),
        "\
budget: 11 KiB of 64 KiB, peak 11 KiB
  pool pages: 1 KiB idle
  budget: 2.0 KiB of 16 KiB, peak 2.0 KiB, 8 KiB reserved
    budget: 1 KiB of 4 KiB, peak 1 KiB
      pool without a name: 0 B idle
    values: 1 of 5, peak 1
      pool values: 0 B idle"
    );
    drop((held, values, blocks, tenant));
    let alone = "budget: 3 KiB of 64 KiB, peak 11 KiB\n  pool pages: 3 KiB idle";
    assert_eq!(budget.to_string(), alone);
    assert_eq!(format!("{budget:?}"), "Budget { used: 3072, limit: 65536, peak: 11264, .. }");
}

#[test]
fn pools_are_on_the_budget_of_the_process() {
    let budget = Budget::process();
    assert!(budget.limit() > 1 << 20 && budget.used() == 0, "{budget}");
    let held = (BufferPool::new().get(KIB), Pool::<Vec<u8>>::new().get());
    assert_eq!(Budget::process().used(), KIB + size_of::<Vec<u8>>());
    let pool = BufferPool::builder().max_memory(KIB).build().unwrap();
    drop((pool.get(KIB), held));
    assert_eq!(pool.try_get(2 * KIB).unwrap_err(), over(2 * KIB, KIB, KIB));
    drop(pool);
    assert_eq!((budget.used(), budget.peak()), (0, 2 * KIB + size_of::<Vec<u8>>()));
}

#[test]
fn a_minimum_is_reserved_as_long_as_the_child_and_its_pools_live() {
    let budget = Budget::new(10 * KIB);
    let tenant = budget.child_reserving(4 * KIB, 8 * KIB).unwrap();
    assert_eq!((numbers(&budget), numbers(&tenant)), ([4, 10, 4, 6], [0, 8, 0, 8]));
    let pool = on(&tenant).build().unwrap();
    drop(tenant);
    let held = pool.get_many([KIB; 6]);
    assert_eq!(numbers(&budget), [6, 10, 6, 4]);
    drop(pool);
    assert_eq!(numbers(&budget), [6, 10, 6, 4]);
    drop(held);
    assert_eq!(numbers(&budget), [0, 10, 6, 10]);
}

#[test]
fn a_minimum_that_there_is_not() {
    let budget = Budget::new(10 * KIB);
    let refused = |requested, available| BuildError::OverBudget { requested, available, limit: 10 * KIB };
    let invalid = budget.child_reserving(2, 1).unwrap_err();
    assert_eq!(invalid.to_string(), "min is 2, must be at most 1 bytes (max)");
    let first = budget.child_reserving(6 * KIB, 6 * KIB).unwrap();
    let error = budget.child_reserving(5 * KIB, 20 * KIB).unwrap_err();
    assert_eq!(error, refused(5 * KIB, 4 * KIB));
    assert_eq!(error.to_string(), "5120 bytes needed with 4096 left of a budget of 10240 bytes");
    let nested = first.child_reserving(6 * KIB, 6 * KIB).unwrap();
    let error = first.child_reserving(1, 1).unwrap_err();
    assert_eq!(error, BuildError::OverBudget { requested: 1, available: 0, limit: 6 * KIB });
    // What lies idle gives way.
    let pool = on(&budget).prefill(KIB, 4).build().unwrap();
    let held = pool.get_many([KIB; 2]);
    assert_eq!(budget.child_reserving(3 * KIB, 3 * KIB).unwrap_err(), refused(3 * KIB, 2 * KIB));
    let second = budget.child_reserving(2 * KIB, 3 * KIB).unwrap();
    assert_eq!((numbers(&budget), numbers(&first)), ([10, 10, 10, 0], [6, 6, 6, 0]));
    drop((held, first, nested, second, pool));
    assert_eq!(budget.used(), 0);
}

#[test]
fn max_memory_is_a_budget_within_the_budget() {
    let budget = Budget::new(10 * KIB);
    let pools = [6, 8].map(|max| on(&budget).max_memory(max * KIB).build().unwrap());
    let first = pools[0].get_many([KIB; 6]);
    assert_eq!(pools[0].try_get(KIB).unwrap_err(), over(KIB, 0, 6 * KIB));
    let second = pools[1].get_many([KIB; 4]);
    assert_eq!(pools[1].try_get(KIB).unwrap_err(), over(KIB, 0, 10 * KIB));
    drop((first, second));
    assert_eq!(pools[1].try_get(8 * KIB).unwrap().len(), 8 * KIB);
}

#[test]
fn a_pool_is_not_prefilled_beyond_its_budget() {
    let budget = Budget::new(10 * KIB);
    let idle = on(&budget).prefill(KIB, 4).build().unwrap();
    let refused = on(&budget).prefill(4 * KIB, 3).build().unwrap_err();
    // Two of the three were to be had, after all that lay idle had given way.
    assert_eq!(refused, BuildError::OverBudget { requested: 4 * KIB, available: 2 * KIB, limit: 10 * KIB });
    assert_eq!((numbers(&budget), idle.stats().footprint), ([0, 10, 10, 10], 0));
    let of_values = |weight, count| {
        let values = Pool::builder().budget(&budget).create(|| vec![0_u8]).weigh(move |_| weight);
        values.prefill(count).build()
    };
    let refused = of_values(3 * KIB, 4).unwrap_err();
    assert_eq!(refused, BuildError::OverBudget { requested: 3 * KIB, available: KIB, limit: 10 * KIB });
    assert_eq!(numbers(&budget), [0, 10, 10, 10]);
    assert_eq!(of_values(5 * KIB, 2).unwrap().stats().idle_in_depot, 2);
}

/// What is there already does not give way to what is still to come, however much it is.
#[test]
fn a_pool_is_prefilled_with_all_or_refused() {
    let built = |limit, counts: &[(usize, usize)]| {
        let builder = BufferPool::builder().budget(&Budget::new(limit * KIB)).max_idle(usize::MAX);
        counts.iter().fold(builder, |builder, &(size, count)| builder.prefill(size * KIB, count)).build()
    };
    let refused = |size, left, limit| BuildError::OverBudget {
        requested: size * left * KIB,
        available: limit * KIB % (size * KIB),
        limit: limit * KIB,
    };
    assert_eq!(built(64, &[(1, 65)]).unwrap_err(), refused(1, 1, 64));
    assert_eq!(built(1000, &[(1, 1 << 30)]).unwrap_err(), refused(1, (1 << 30) - 1000, 1000));
    assert_eq!(built(1024, &[(512, 2), (1, 1)]).unwrap_err(), refused(1, 1, 1024));
    let idle = |counts| built(1024, counts).unwrap().stats().idle_in_depot;
    assert_eq!([idle(&[(512, 1), (1, 512)]), idle(&[(1, 1024)])], [1 << 20; 2]);

    let values = |limit, count| {
        let size = size_of::<Vec<u8>>();
        Pool::<Vec<u8>>::builder()
            .max_memory(limit * size)
            .prefill(count)
            .build()
            .map(|pool| pool.stats().idle_in_depot)
    };
    let requested = size_of::<Vec<u8>>();
    let limit = 64 * requested;
    assert_eq!(values(64, 65).unwrap_err(), BuildError::OverBudget { requested, available: 0, limit });
    assert_eq!(values(200, 200).unwrap(), 200);
}
