//! Everything that is compared, one file each.

mod floor;
mod millpond;
mod raw;
mod vec;

#[cfg(feature = "rivals")]
mod bytes_mut;
#[cfg(feature = "rivals")]
mod bytesbuf;
#[cfg(feature = "rivals")]
mod jemalloc;
#[cfg(feature = "rivals")]
mod kithara;
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
mod zeropool_0_3;
#[cfg(feature = "rivals")]
mod zeropool_0_7;

use super::contender::Visit;

/// Visits all contenders, in the order of the tables.
pub fn each(visitor: &mut impl Visit) {
    visitor.visit::<millpond::Millpond>();
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

#[cfg(test)]
mod tests {
    use std::thread;

    use super::each;
    use crate::compare::contender::{Contender, Plan, Visit};

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
        let pool = C::new(&plan).unwrap_or_else(|cannot| panic!("{}: {}", C::NAME, cannot.0));
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

    #[test]
    fn contenders_give_what_the_rows_ask_for() {
        each(&mut Promises);
    }
}
