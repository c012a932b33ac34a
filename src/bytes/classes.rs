//! Size classes: the few sizes that buffers really have.
//!
//! The default table has two classes a doubling, 2^k and 1.5 x 2^k, so that rounding wastes at most a third of a buffer.
//! The number of such a class, a *step*, is shifts alone and folds away for sizes known at compile time, so the hit path
//! computes it whatever the pool's own table is: a step that lies within one class leads straight to it. Everything
//! else is looked up through an index of sixteen parts a doubling, each of which names the first class that can serve it.

/// Classes a table may have.
pub(crate) const MAX_CLASSES: usize = 64;
const SMALLEST: usize = 256;
const LARGEST: usize = 64 << 20;
/// Steps, and classes of the default table.
const STEPS: usize = 37;

/// The number of a size class in its table.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct SizeClass(pub(crate) usize);

/// A table of size classes, ascending.
#[derive(Debug)]
pub(crate) struct SizeClasses {
    /// The largest size that is served.
    limit: usize,
    sizes: Box<[usize]>,
    /// For each part of a doubling, the first class that serves its smallest size.
    first: Box<[u8]>,
}

/// The step of a size, or none above the largest.
#[inline(always)]
pub(crate) fn step_of(size: usize) -> Option<usize> {
    if size > LARGEST {
        return None;
    }
    // 2^k - 1 down to 1.5 x 2^(k-1) share the two top bits, and so on: they are the step.
    let last = if size > SMALLEST { size - 1 } else { SMALLEST - 1 };
    let top = last.ilog2() as usize;
    let half = (last >> (top - 1)) & 1;
    let step = 2 * top + half - (2 * SMALLEST.ilog2() as usize - 1);
    debug_assert!(step < STEPS);
    Some(step)
}

impl SizeClasses {
    /// # Panics
    /// If `sizes` is not ascending, not free of zeroes, empty or longer than [`MAX_CLASSES`]: the builder has checked it.
    pub(crate) fn new(sizes: Vec<usize>, max_request: usize) -> Self {
        assert!(!sizes.is_empty() && sizes.len() <= MAX_CLASSES && sizes[0] > 0);
        assert!(sizes.is_sorted_by(|a, b| a < b));
        let limit = sizes[sizes.len() - 1].min(max_request);
        let first = index(&sizes);
        SizeClasses { limit, sizes: sizes.into(), first }
    }

    /// For each step, the class that serves all its sizes, if one does.
    pub(crate) fn steps(&self) -> impl Iterator<Item = Option<SizeClass>> + '_ {
        let steps = default_sizes();
        (0..STEPS).map(move |step| {
            let smallest = if step == 0 { 0 } else { steps[step - 1] + 1 };
            self.of(steps[step]).filter(|&class| self.of(smallest) == Some(class))
        })
    }

    /// The smallest class that holds `size` bytes, or none above the largest class and the largest request.
    ///
    /// Two loads and two comparisons, unless more than two classes share a sixteenth of a doubling.
    pub(crate) fn of(&self, size: usize) -> Option<SizeClass> {
        if size > self.limit {
            return None;
        }
        let class = usize::from(self.first[part(size)]);
        let serves = |class: usize| size <= self.sizes[class];
        Some(if serves(class) {
            SizeClass(class)
        } else if serves(class + 1) {
            SizeClass(class + 1)
        } else {
            SizeClass(self.sizes.partition_point(|&s| s < size))
        })
    }

    pub(crate) fn sizes(&self) -> &[usize] {
        &self.sizes
    }
}

/// Two a doubling from 256 B to 64 MiB.
pub(crate) fn default_sizes() -> Vec<usize> {
    let doublings = (SMALLEST.ilog2()..LARGEST.ilog2()).flat_map(|k| [1 << k, 3 << (k - 1)]);
    doublings.chain([LARGEST]).collect()
}

/// Sixteen parts a doubling; sizes up to 16 have a part each.
fn part(size: usize) -> usize {
    let last = size.max(1) - 1;
    if last < 16 {
        return last;
    }
    let top = last.ilog2() as usize;
    (top - 3) * 16 + ((last >> (top - 4)) & 15)
}

/// The smallest size of a part.
fn smallest_of(part: usize) -> usize {
    match part {
        0..16 => part + 1,
        _ => ((16 + part % 16) << (part / 16 - 1)) + 1,
    }
}

fn index(sizes: &[usize]) -> Box<[u8]> {
    let last = part(sizes[sizes.len() - 1]);
    let first = |part| sizes.partition_point(|&size| size < smallest_of(part)) as u8;
    (0..=last).map(first).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The simple program: the first class that is large enough.
    fn searched(sizes: &[usize], size: usize) -> Option<SizeClass> {
        sizes.iter().position(|&s| s >= size).map(SizeClass)
    }

    #[test]
    fn the_default_table_has_two_classes_a_doubling() {
        let sizes = default_sizes();
        assert_eq!(sizes.len(), STEPS);
        assert_eq!(sizes[..5], [256, 384, 512, 768, 1024]);
        assert_eq!(sizes[STEPS - 2..], [48 << 20, 64 << 20]);
    }

    #[test]
    fn the_default_class_is_the_one_a_search_finds_and_the_step() {
        let classes = SizeClasses::new(default_sizes(), usize::MAX);
        let edges = default_sizes().into_iter().flat_map(|s| [s - 1, s, s + 1]);
        for size in (0..5000).chain(edges) {
            let found = searched(classes.sizes(), size);
            assert_eq!(classes.of(size), found, "size {size}");
            assert_eq!(step_of(size).map(SizeClass), found, "size {size}");
        }
        assert_eq!(classes.of(usize::MAX), None);
        assert_eq!(step_of(usize::MAX), None);
        assert!(classes.steps().eq((0..STEPS).map(|step| Some(SizeClass(step)))));
    }

    #[test]
    fn steps_lead_to_a_class_that_serves_all_their_sizes() {
        let classes = SizeClasses::new(vec![1000, 4096, 65536], 50_000);
        let steps: Vec<_> = classes.steps().collect();
        let at = |size| steps[step_of(size).unwrap()];
        assert_eq!([at(0), at(256), at(768)], [Some(SizeClass(0)); 3]);
        assert_eq!(at(1000), None, "1024 is served by another class");
        assert_eq!([at(1025), at(4096)], [Some(SizeClass(1)); 2]);
        assert_eq!([at(4097), at(49152)], [Some(SizeClass(2)); 2]);
        assert_eq!(at(50_000), None, "65536 is above the largest request");
        assert_eq!(at(65537), None);
    }

    #[test]
    fn no_class_serves_more_than_the_largest_request() {
        let classes = SizeClasses::new(default_sizes(), 900);
        assert_eq!(classes.of(900), searched(classes.sizes(), 900));
        assert_eq!(classes.of(901), None);
    }

    #[test]
    fn parts_are_contiguous() {
        for size in 1..100_000 {
            let part = part(size);
            assert!(smallest_of(part) <= size && size < smallest_of(part + 1), "size {size}, part {part}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(if cfg!(miri) { 4 } else { 256 }))]
        #[test]
        fn any_table_is_looked_up_as_searched(
            sizes in proptest::collection::btree_set(1usize..1 << 20, 1..MAX_CLASSES),
            asked in proptest::collection::vec(0usize..1 << 21, 1..200),
        ) {
            let sizes: Vec<_> = sizes.into_iter().collect();
            let classes = SizeClasses::new(sizes.clone(), usize::MAX);
            for size in asked.into_iter().chain(sizes.iter().flat_map(|&s| [s - 1, s, s + 1])) {
                prop_assert_eq!(classes.of(size), searched(&sizes, size), "size {}", size);
            }
        }

        #[test]
        fn crowded_tables_are_looked_up_as_searched(start in 1usize..100_000, count in 1..MAX_CLASSES) {
            let sizes: Vec<_> = (start..start + count).collect();
            let classes = SizeClasses::new(sizes.clone(), usize::MAX);
            for size in start.saturating_sub(2)..start + count + 2 {
                prop_assert_eq!(classes.of(size), searched(&sizes, size), "size {}", size);
            }
        }
    }
}
