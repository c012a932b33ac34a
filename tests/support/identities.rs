//! What the statistics of a pool must add up to when nobody uses it.

use millpond::Stats;

pub(crate) fn assert_identities(stats: &Stats) {
    assert_eq!(
        stats.gets,
        stats.cache_hits + stats.depot_hits + stats.stolen + stats.fresh + stats.oversize,
        "gets\n{stats}"
    );
    assert_eq!(stats.footprint, stats.outstanding + stats.idle_in_caches + stats.idle_in_depot, "bytes\n{stats}");
    for class in &stats.classes {
        let (size, gets) = (class.size, class.cache_hits + class.depot_hits + class.stolen + class.fresh);
        assert_eq!(class.gets, gets, "gets of class {size}\n{stats}");
        let bytes = class.outstanding + class.idle_in_caches + class.idle_in_depot;
        assert_eq!(class.footprint, bytes, "bytes of class {size}\n{stats}");
    }
    let of_classes: u64 = stats.classes.iter().map(|class| class.gets).sum();
    assert_eq!(stats.gets, of_classes + stats.oversize, "gets by class\n{stats}");
    assert!((0.0..=1.0).contains(&stats.hit_rate()), "hit rate {}", stats.hit_rate());
}
