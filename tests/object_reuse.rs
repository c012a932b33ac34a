//! What the values of the standard library keep when they are returned, and what not.

use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap, HashSet, VecDeque};
use std::ffi::OsString;
use std::path::PathBuf;
use std::rc::Rc;

use millpond::{Pool, Reuse};

/// Filled with so much, returned with this trim: whether it is kept, and its room.
fn returned<T: Reuse + Default>(fill: impl FnOnce(&mut T), room: impl Fn(&T) -> usize, trim: usize) -> (bool, usize) {
    let mut value = T::default();
    fill(&mut value);
    let kept = value.reuse(trim);
    (kept, room(&value))
}

/// A collection is emptied, keeps up to twice its trim, is shrunk above that, and is discarded without room.
macro_rules! keeps_room {
    ($($test:ident: $collection:ty, $fill:expr;)*) => {$(
        #[test]
        fn $test() {
            let fill = |count: usize| move |value: &mut $collection| (0..count).for_each(|n| $fill(value, n));
            let room = |value: &$collection| value.capacity();
            let (kept, before) = returned(fill(100), room, usize::MAX);
            assert!(kept && before >= 100, "without a trim all room stays: {before}");
            assert_eq!(returned(fill(100), room, before), (true, before));
            assert_eq!(returned(fill(100), room, before.div_ceil(2)), (true, before), "twice the trim passes");
            let (kept, after) = returned(fill(100), room, before / 2 - 1);
            assert!(kept && (before / 2 - 1..before).contains(&after), "{before} shrunk to {after}");
            assert!(!returned(fill(0), room, usize::MAX).0, "no room");
            assert!(!returned(fill(100), room, 0).0, "trimmed to nothing");
        }
    )*};
}

keeps_room! {
    vectors: Vec<usize>, |v: &mut Vec<usize>, n| v.push(n);
    deques: VecDeque<usize>, |v: &mut VecDeque<usize>, n| v.push_back(n);
    heaps: BinaryHeap<usize>, |v: &mut BinaryHeap<usize>, n| v.push(n);
    strings: String, |v: &mut String, _| v.push('x');
    paths: PathBuf, |v: &mut PathBuf, _| v.as_mut_os_string().push("x");
    os_strings: OsString, |v: &mut OsString, _| v.push("x");
}

#[test]
fn maps_and_sets_of_any_hasher() {
    type Hasher = std::hash::BuildHasherDefault<std::hash::DefaultHasher>;
    let mut map: HashMap<usize, usize, Hasher> = (0..100).map(|n| (n, n)).collect();
    assert!(map.reuse(usize::MAX) && map.is_empty() && map.capacity() >= 100);
    assert!(map.reuse(10) && map.capacity() < 100);
    let mut set: HashSet<usize> = (0..100).collect();
    assert!(set.reuse(usize::MAX) && set.is_empty() && set.capacity() >= 100);
    assert!(!set.reuse(0));
    let (mut tree, mut leaves): (BTreeMap<_, _>, BTreeSet<_>) = ((0..9).map(|n| (n, n)).collect(), (0..9).collect());
    assert!(tree.reuse(0) && tree.is_empty() && leaves.reuse(0) && leaves.is_empty());
}

#[test]
fn wrappers_do_as_what_they_wrap() {
    let mut boxed: Box<Vec<u8>> = Box::new(vec![1]);
    assert!(boxed.reuse(10) && boxed.is_empty());
    assert!(!Box::<Vec<u8>>::default().reuse(10));
    assert!(None::<Vec<u8>>.reuse(0) && Some(vec![1]).reuse(10) && !Some(Vec::<u8>::new()).reuse(10));
    let mut four = (vec![1], String::from("a"), Some(vec![2]), VecDeque::from([3]));
    assert!(four.reuse(10) && four.0.is_empty() && four.1.is_empty() && four.3.is_empty());
    let mut two = (Vec::<u8>::new(), vec![1]);
    assert!(!two.reuse(10) && two.1.is_empty(), "one refuses, all are cleared");
    let unsized_value: &mut dyn Reuse = &mut vec![1];
    assert!(unsized_value.reuse(10));
}

#[cfg(feature = "bytes")]
#[test]
fn bytes_mut() {
    let mut bytes = bytes::BytesMut::zeroed(1000);
    assert!(bytes.reuse(500) && bytes.is_empty() && bytes.capacity() == 1000);
    assert!(bytes.reuse(499) && bytes.capacity() == 499);
    assert!(!bytes.reuse(0) && !bytes::BytesMut::new().reuse(10));
}

#[test]
fn a_vector_that_needs_a_little_more_than_its_trim_is_not_shrunk_each_time() {
    let pool = Pool::<Vec<u8>>::builder().trim_capacity(1000).build().unwrap();
    let mut places = HashSet::new();
    for _ in 0..100 {
        let mut bytes = pool.get();
        bytes.extend([0; 1001]);
        places.insert((bytes.as_ptr() as usize, bytes.capacity()));
    }
    assert_eq!(places.len(), 1, "the same block of memory each time: {places:?}");
    let mut bytes = pool.get();
    bytes.extend([0; 3000]);
    drop(bytes);
    assert_eq!(pool.get().capacity(), 1000);
}

#[test]
fn elements_are_dropped_on_return_and_not_at_the_next_get() {
    let pool = Pool::<Vec<std::sync::Arc<()>>>::new();
    let element = std::sync::Arc::new(());
    let mut values = pool.get();
    values.extend(std::iter::repeat_n(element.clone(), 10));
    assert_eq!(std::sync::Arc::strong_count(&element), 11);
    drop(values);
    assert_eq!(std::sync::Arc::strong_count(&element), 1);
    assert_eq!(pool.stats().idle_in_caches, 1);
    // A value need not be `Sync`, nor what it is made with.
    let _: Rc<()> = Rc::default();
    assert!(Pool::<Box<Vec<std::cell::Cell<u8>>>>::new().get().is_empty());
}

#[test]
fn reuse_is_called_once_on_return_with_the_trim() {
    #[derive(Default)]
    struct Counts(Vec<usize>);
    impl Reuse for Counts {
        fn reuse(&mut self, trim: usize) -> bool {
            self.0.push(trim);
            true
        }
    }
    let pool = Pool::<Counts>::builder().trim_capacity(7).build().unwrap();
    for round in 0..5 {
        assert_eq!(pool.get().0, vec![7; round]);
    }
    assert_eq!(Pool::<Counts>::new().get_with(|value| value.0.push(1)).0, [1]);
}
