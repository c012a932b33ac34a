//! Two size classes a doubling, from 256 bytes on.

const SMALLEST_LOG: u32 = 8;
/// The largest class is of 1 TiB, or on small machines of an eighth of all addresses.
const LARGEST_LOG: u32 = if usize::BITS > 40 { 40 } else { usize::BITS - 3 };
/// How many there are.
pub(super) const CLASSES: usize = 2 * (LARGEST_LOG - SMALLEST_LOG) as usize + 1;

/// The size of a class, in bytes: 2^k or 1.5 x 2^k.
pub(super) const fn size_of(class: usize) -> usize {
    let power = 1 << (SMALLEST_LOG as usize + class / 2);
    power + (class % 2) * (power / 2)
}

/// The smallest class that holds so many bytes. Above the largest, the largest.
#[inline]
pub(super) const fn class_of(bytes: usize) -> usize {
    if bytes <= 1 << SMALLEST_LOG {
        return 0;
    }
    if bytes > 1 << LARGEST_LOG {
        return CLASSES - 1;
    }
    // The two top bits of what is one less say which half of which doubling.
    let last = bytes - 1;
    let log = last.ilog2();
    2 * (log - SMALLEST_LOG) as usize + ((last >> (log - 1)) & 1) + 1
}

/// The sizes that a buffer of this class can grow to without leaving its pool: itself, and doublings from there on.
pub(super) fn growth_of(class: usize) -> impl Iterator<Item = usize> {
    (class..CLASSES).step_by(2).map(size_of)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_class_is_the_first_that_is_large_enough() {
        let sizes: Vec<_> = (0..CLASSES).map(size_of).collect();
        assert_eq!(sizes[..6], [256, 384, 512, 768, 1024, 1536]);
        assert_eq!(*sizes.last().unwrap(), 1 << LARGEST_LOG);
        assert!(sizes.is_sorted_by(|a, b| a < b));
        let edges = sizes.iter().flat_map(|size| [size - 1, *size, size + 1]);
        for bytes in (0..5000).chain(edges).chain([usize::MAX]) {
            let searched = sizes.iter().position(|&size| size >= bytes).unwrap_or(CLASSES - 1);
            assert_eq!(class_of(bytes), searched, "{bytes} bytes");
        }
    }

    #[test]
    fn growth_starts_at_the_class_and_doubles() {
        assert_eq!(growth_of(1).take(3).collect::<Vec<_>>(), [384, 768, 1536]);
        assert_eq!(growth_of(CLASSES - 1).count(), 1);
        assert!((0..CLASSES).all(|class| growth_of(class).count() <= 64));
    }
}
