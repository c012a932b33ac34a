//! Limits on the memory of millpond's pools, and what has to fit in them.

use millpond::{Budget, BufferPool, Error, Maintenance, Recycled};

use crate::size::Bytes;

/// A limit in bytes, from the command line.
pub fn limit(text: &str) -> Result<usize, String> {
    let Bytes(bytes) = text.parse()?;
    usize::try_from(bytes).map_err(|_| format!("{text} is more than this machine can address"))
}

/// What a pool's budget is charged while buffers of all these sizes are out: the sizes as the classes round them. Asked
/// of a pool that may have nothing, which says so in its refusal.
pub fn charged(sizes: &[usize]) -> usize {
    let pool = BufferPool::builder().budget(&Budget::new(0)).maintenance(Maintenance::Manual).build();
    let asked = pool.expect("nothing is prefilled").acquire_many(sizes.iter().map(|&size| Recycled(size))).wait();
    match asked {
        Err(Error::NeverFits { requested, .. }) => requested,
        Err(error) => panic!("{error}"),
        Ok(_) => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_charged_is_what_is_needed() {
        for sizes in [&[1][..], &[64 << 10], &[65_537; 10], &[1000, 1 << 20], &[1 << 30]] {
            let needed = charged(sizes);
            assert!(needed >= sizes.iter().sum());
            let all = |limit| {
                let pool = BufferPool::builder().budget(&Budget::new(limit)).build().unwrap();
                pool.try_get_many(sizes.iter().map(|&size| Recycled(size))).is_ok()
            };
            assert!(all(needed) && !all(needed - 1), "{sizes:?}: {needed}");
        }
        assert_eq!(charged(&[]), 0);
    }
}
