//! Everything that is compared, one file each.

pub mod bounded;
mod floor;
pub mod floor_objects;
pub mod millpond;
mod raw;
pub mod vec;

#[cfg(feature = "rivals")]
mod buffer_pool;
#[cfg(feature = "rivals")]
mod bytes_mut;
#[cfg(feature = "rivals")]
mod bytesbuf;
#[cfg(feature = "rivals")]
mod jemalloc;
#[cfg(feature = "rivals")]
pub mod kithara;
#[cfg(feature = "rivals")]
mod lockfree;
#[cfg(feature = "rivals")]
mod mimalloc;
#[cfg(feature = "rivals")]
mod object_pool;
#[cfg(feature = "rivals")]
mod opool;
#[cfg(feature = "rivals")]
mod santh;
#[cfg(feature = "rivals")]
mod semaphore;
#[cfg(feature = "rivals")]
mod sharded_slab;
#[cfg(feature = "rivals")]
mod zeropool_0_3;
#[cfg(feature = "rivals")]
mod zeropool_0_7;

use super::contender::Visit;
use super::objects::{Kept, VisitObjects};
#[cfg(feature = "rivals")]
use super::waiting::VisitWaiting;

/// Visits all contenders; `bounded` has millpond wait where its memory is spent.
pub fn each(visitor: &mut impl Visit, bounded: bool) {
    if bounded {
        visitor.visit::<bounded::Bounded>();
    } else {
        visitor.visit::<millpond::Millpond>();
    }
    visitor.visit::<raw::Raw<floor::Floor>>();
    #[cfg(feature = "rivals")]
    {
        visitor.visit::<zeropool_0_7::ZeroPool07>();
        visitor.visit::<zeropool_0_3::ZeroPool03>();
        visitor.visit::<santh::Santh>();
        visitor.visit::<kithara::Kithara>();
        visitor.visit::<opool::Opool>();
        visitor.visit::<object_pool::ObjectPool>();
        visitor.visit::<lockfree::Lockfree>();
        visitor.visit::<bytesbuf::BytesBuf>();
        visitor.visit::<bytes_mut::BytesMut>();
    }
    visitor.visit::<vec::SystemVec>();
    #[cfg(feature = "rivals")]
    {
        visitor.visit::<raw::Raw<jemalloc::Jemalloc>>();
        visitor.visit::<raw::Raw<mimalloc::Mimalloc>>();
    }
}

/// Visits all contenders for values of type `T`; `bounded` as in [`each`].
pub fn each_for<T: Kept>(visitor: &mut impl VisitObjects<T>, bounded: bool) {
    if bounded {
        visitor.visit::<bounded::BoundedObjects<T>>();
    } else {
        visitor.visit::<millpond::MillpondObjects<T>>();
    }
    visitor.visit::<floor_objects::FloorObjects<T>>();
    #[cfg(feature = "rivals")]
    {
        visitor.visit::<object_pool::ObjectPoolObjects<T>>();
        visitor.visit::<opool::OpoolObjects<T>>();
        visitor.visit::<lockfree::LockfreeObjects<T>>();
        visitor.visit::<sharded_slab::ShardedSlab<T>>();
        visitor.visit::<T::Kithara>();
        visitor.visit::<buffer_pool::BufferPool<T>>();
    }
    visitor.visit::<vec::SystemObjects>();
}

/// Visits all contenders that let tasks wait.
#[cfg(feature = "rivals")]
pub fn each_waiting(visitor: &mut impl VisitWaiting) {
    visitor.visit::<millpond::Budgeted>();
    visitor.visit::<semaphore::Semaphore>();
}

#[cfg(test)]
mod tests {
    use std::fmt::Debug;
    use std::thread;

    use super::{bounded, each, each_for};
    use crate::compare::contender::{Contender, Kind, Plan, Visit};
    use crate::compare::objects::{Kept, Objects, Value, VisitObjects};
    use crate::compare::values::{BLOCK, Map, Packet, SAMPLES, Samples};

    const SIZES: [usize; 4] = [1, 1024, 4096, 65_536];

    struct Promises;

    impl Visit for Promises {
        fn visit<C: Contender>(&mut self) {
            written_bytes_stay::<C>();
            zeroed_is_zero_after_all_was_dirty::<C>();
            buffers_go_home_from_other_threads::<C>();
            C::leave_thread();
        }
    }

    fn written_bytes_stay<C: Contender>() {
        let plan = Plan { idle: 8, ..Plan::of(&SIZES) };
        let pool = C::new(&plan).unwrap_or_else(|cannot| panic!("{}: {cannot}", C::NAME));
        for _ in 0..3 {
            let mut held: Vec<_> = plan.sizes().map(|size| pool.get(size)).collect();
            let first = C::write(&mut held[3], 65_535) as *mut u8;
            let second = C::write(&mut held[1], 1023) as *mut u8;
            assert_ne!(first, second, "{}", C::NAME);
        }
    }

    fn zeroed_is_zero_after_all_was_dirty<C: Contender>() {
        let plan = Plan { zeroed: true, ..Plan::of(&SIZES) };
        let Ok(pool) = C::new(&plan) else { return };
        for size in plan.sizes().chain(plan.sizes()) {
            let mut buf = pool.zeroed(size);
            assert_eq!(C::bytes(&buf).len(), size.bytes, "{}", C::NAME);
            assert!(C::bytes(&buf).iter().all(|&byte| byte == 0), "{}", C::NAME);
            let exposed = C::expose(&mut buf, size.bytes);
            assert_eq!(exposed.len(), size.bytes, "{}", C::NAME);
            exposed.fill(0xaa);
        }
    }

    fn buffers_go_home_from_other_threads<C: Contender>() {
        let plan = Plan { handover: true, threads: 2, idle: 4, ..Plan::of(&[4096]) };
        let Ok(pool) = C::new(&plan) else { return };
        thread::scope(|scope| {
            for _ in 0..4 {
                let mut buf = pool.get(plan.size());
                *C::write(&mut buf, 0) = 1;
                scope.spawn(move || drop(buf));
            }
        });
    }

    impl<T: Kept> VisitObjects<T> for Promises
    where
        T::Content: PartialEq + Debug,
    {
        fn visit<C: Objects<T>>(&mut self) {
            values_are_empty_again_and_have_kept_their_room::<T, C>();
            values_out_at_once_are_different_ones::<T, C>();
            values_go_home_from_other_threads::<T, C>();
            C::leave_thread();
        }
    }

    fn values_are_empty_again_and_have_kept_their_room<T: Kept, C: Objects<T>>()
    where
        T::Content: PartialEq + Debug,
    {
        let Ok(pool) = C::new(&Plan::of(&[])) else { return };
        let mut places = Vec::new();
        for _ in 0..32 {
            let mut object = pool.get();
            assert_eq!(C::value(&mut object).content(), T::fresh().content(), "{}", C::NAME);
            places.push(C::value(&mut object).fill() as *mut _);
            assert_ne!(C::value(&mut object).content(), T::fresh().content(), "{}", C::NAME);
        }
        if C::KIND != Kind::Allocator {
            places.sort_unstable();
            places.dedup();
            assert!(places.len() <= 16, "{}: {} values where one was out at a time", C::NAME, places.len());
        }
    }

    fn values_out_at_once_are_different_ones<T: Kept, C: Objects<T>>() {
        let Ok(pool) = C::new(&Plan { idle: 2, ..Plan::of(&[]) }) else { return };
        for _ in 0..3 {
            let (mut one, mut other) = (pool.get(), pool.get());
            let one = C::value(&mut one).touch() as *mut _;
            assert_ne!(one, C::value(&mut other).touch() as *mut _, "{}", C::NAME);
        }
    }

    fn values_go_home_from_other_threads<T: Kept, C: Objects<T>>()
    where
        T::Content: PartialEq + Debug,
    {
        let plan = Plan { handover: true, threads: 2, idle: 4, ..Plan::of(&[]) };
        let Ok(pool) = C::new(&plan) else { return };
        thread::scope(|scope| {
            for _ in 0..4 {
                let mut object = pool.get();
                C::value(&mut object).fill();
                scope.spawn(move || {
                    assert_ne!(C::value(&mut object).content(), T::fresh().content(), "{}", C::NAME);
                });
            }
        });
        let mut object = pool.get();
        assert_eq!(C::value(&mut object).content(), T::fresh().content(), "{}", C::NAME);
    }

    #[test]
    fn contenders_give_what_the_rows_ask_for() {
        each(&mut Promises, false);
        Visit::visit::<bounded::Bounded>(&mut Promises);
    }

    #[test]
    fn contenders_give_the_values_that_the_rows_ask_for() {
        for bounded in [false, true] {
            each_for::<Samples<SAMPLES>>(&mut Promises, bounded);
            each_for::<Samples<BLOCK>>(&mut Promises, bounded);
            each_for::<Packet>(&mut Promises, bounded);
            each_for::<Map>(&mut Promises, bounded);
        }
    }
}
