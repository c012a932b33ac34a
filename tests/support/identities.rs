//! What the statistics of a pool must add up to when nobody uses it.

use millpond::Stats;

pub(crate) fn assert_identities(stats: &Stats) {
    assert_eq!(
        stats.gets,
        stats.cache_hits
            + stats.depot_hits
            + stats.stolen
            + stats.handed_over
            + stats.fresh
            + stats.oversize
            + stats.unpooled,
        "gets\n{stats}"
    );
    assert_eq!(stats.footprint, stats.outstanding + stats.idle_in_caches + stats.idle_in_depot, "bytes\n{stats}");
    for class in &stats.classes {
        let (size, idle) = (class.size, class.cache_hits + class.depot_hits + class.stolen);
        assert_eq!(class.gets, idle + class.handed_over + class.fresh, "gets of class {size}\n{stats}");
        let bytes = class.outstanding + class.idle_in_caches + class.idle_in_depot;
        assert_eq!(class.footprint, bytes, "bytes of class {size}\n{stats}");
    }
    let of_classes: u64 = stats.classes.iter().map(|class| class.gets).sum();
    assert_eq!(stats.gets, of_classes + stats.oversize + stats.unpooled, "gets by class\n{stats}");
    assert!((0.0..=1.0).contains(&stats.hit_rate()), "hit rate {}", stats.hit_rate());
}
