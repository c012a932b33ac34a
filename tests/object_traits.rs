//! What handles on values may be used for, and what not: as far as their value may.

use std::cell::Cell;
use std::collections::{BTreeSet, HashSet};
use std::panic::{RefUnwindSafe, UnwindSafe};

use millpond::{Pool, PoolBuilder, Pooled, PooledArc, PooledBatch, PooledSlice, Reuse};

fn is_at_home_everywhere<T: Send + Sync + Unpin + UnwindSafe + RefUnwindSafe + 'static>() {}

/// May be sent, but not shared.
struct Local(Cell<u8>);

impl Reuse for Local {
    fn reuse(&mut self, _: usize) -> bool {
        self.0.get() < 100
    }
}

/// Whether a type has these traits: an inherent constant that exists only then hides the trait's.
macro_rules! has {
    ($type:ty: $($bound:tt)+) => {{
        struct Asked<T>(std::marker::PhantomData<T>);
        #[allow(dead_code, reason = "hidden where the other exists")]
        trait Otherwise {
            const HAS: bool = false;
        }
        impl<T> Otherwise for Asked<T> {}
        #[allow(dead_code, reason = "hides the other where it exists")]
        impl<T: $($bound)+> Asked<T> {
            const HAS: bool = true;
        }
        <Asked<$type>>::HAS
    }};
}

#[test]
fn pools_and_handles_are_send_and_sync_exactly_when_that_is_sound() {
    is_at_home_everywhere::<Pool<Vec<u8>>>();
    is_at_home_everywhere::<Pooled<Vec<u8>>>();
    is_at_home_everywhere::<PooledArc<Vec<u8>>>();
    is_at_home_everywhere::<PooledSlice<u8>>();
    is_at_home_everywhere::<PooledBatch<Pooled<Vec<u8>>>>();
    is_at_home_everywhere::<Pool<Local>>();
    assert!(has!(PoolBuilder<Local>: Send + Sync));
    assert!(has!(Pooled<Local>: Send) && !has!(Pooled<Local>: Sync));
    assert!(!has!(PooledArc<Local>: Send) && !has!(PooledArc<Local>: Sync));
    assert!(has!(PooledSlice<Cell<u8>>: Send) && !has!(PooledSlice<Cell<u8>>: Sync));
    assert!(!has!(Pooled<Local>: RefUnwindSafe) && !has!(Pooled<Local>: Clone) && has!(PooledArc<Local>: Clone));
    let pool = Pool::<Local>::builder().create(|| Local(Cell::new(7))).build().unwrap();
    let value = pool.get();
    assert_eq!(std::thread::spawn(move || value.0.get()).join().unwrap(), 7);
}

#[test]
fn handles_stay_two_words_with_a_niche() {
    assert!(size_of::<Pooled<String>>() <= 2 * size_of::<usize>());
    assert_eq!(size_of::<Option<Pooled<String>>>(), size_of::<Pooled<String>>());
    assert_eq!(size_of::<Option<PooledArc<String>>>(), size_of::<PooledArc<String>>());
    assert_eq!(size_of::<Option<Pool<String>>>(), size_of::<usize>());
}

#[test]
fn handles_show_compare_and_hash_as_their_value() {
    let pool = Pool::<String>::new();
    let [a, b, again] = ["apple", "berry", "apple"].map(|text| pool.get_with(|value| value.push_str(text)));
    assert!(a == again && a < b && a != b && a.cmp(&b).is_lt());
    assert_eq!((format!("{a}"), format!("{a:?}")), ("apple".into(), "\"apple\"".into()));
    let (a, b, again) = (a.freeze(), b.freeze(), again.freeze());
    assert_eq!((format!("{b}"), format!("{b:?}")), ("berry".into(), "\"berry\"".into()));
    assert_eq!(HashSet::from([a.clone(), b.clone(), again]).len(), 2);
    assert_eq!(BTreeSet::from([b, a]).iter().map(|text| text.as_str()).collect::<Vec<_>>(), ["apple", "berry"]);
    let mut value = pool.get();
    AsMut::<String>::as_mut(&mut value).push('x');
    assert_eq!(AsRef::<String>::as_ref(&value), "x");
    assert!(HashSet::from([value]).contains(&String::from("x")));
}

#[test]
fn a_slice_has_its_own_length() {
    let pool = Pool::<Vec<f32>>::new();
    let mut slice = pool.get_with(|block| block.resize(512, 1.0)).into_slice(3);
    slice.as_mut_slice()[0] = 0.5;
    slice[1] = 0.25;
    assert_eq!((slice.len(), slice.as_slice()), (3, &[0.5, 0.25, 1.0][..]));
    assert_eq!(AsRef::<[f32]>::as_ref(&slice).len(), 3);
    assert!(slice == [0.5, 0.25, 1.0] && format!("{slice:?}") == "[0.5, 0.25, 1.0]");
    let storage = slice.into_storage();
    assert_eq!(storage.len(), 512);
    let storage = storage.try_into_slice(513).unwrap_err();
    assert_eq!(storage.try_into_slice(512).unwrap().len(), 512);
    assert_eq!(pool.stats().idle_in_caches, 1);
}

#[test]
#[should_panic(expected = "slice of 4 elements of a vector of 3")]
fn a_slice_beyond_the_vector_panics_with_both_numbers() {
    let pool = Pool::<Vec<u8>>::new();
    drop(pool.get_with(|bytes| bytes.extend([1, 2, 3])).into_slice(4));
}

mod somewhere {
    pub(crate) mod deep {
        /// Shadows what the macro might use.
        #[expect(dead_code, reason = "only a name")]
        struct Pool;
        const MAX: usize = 3;
        millpond::global_pool! {
            /// Documented.
            pub(crate) names: String, max_idle = MAX, trim_capacity = 2 * MAX
        }
    }
    millpond::global_pool!(pub(crate) plain: Vec<std::collections::HashMap<String, u8>>);
}

#[test]
fn global_pools_are_built_once() {
    let pool = somewhere::deep::names();
    drop(pool.get_with(|text| text.push_str("longer than twice the trim")));
    assert_eq!(somewhere::deep::names().get().capacity(), 6);
    pool.get_many(10).into_iter().for_each(|mut text| text.push('x'));
    assert!(pool.stats().footprint <= 3);
    assert!(somewhere::plain().get().is_empty());
    std::thread::spawn(|| assert!(std::ptr::eq(somewhere::plain(), somewhere::plain()))).join().unwrap();
}

millpond::global_pool!(wrong: String, max_objects = 0);

#[test]
#[should_panic(expected = "max_objects is 0, must be 1 or more of global_pool!(wrong, ..)")]
fn a_global_pool_with_wrong_options_names_itself() {
    wrong();
}
