//! Empty lists between threads.

use loom::thread;
use std::sync::Arc as Shared;

use super::explore;
use crate::engine::lists::Lists;
use crate::sync::DEPTH;

/// Two threads that batches travel between have different lists, and none is lost.
#[test]
fn nobody_has_the_list_of_another() {
    explore(None, || {
        let lists = Shared::new(Lists::<usize>::new());
        lists.keep(lists.list(DEPTH).unwrap());
        let of_another = lists.clone();
        let use_one = |lists: &Lists<usize>, mark| {
            let mut list = lists.list(DEPTH).unwrap();
            list.push(mark);
            thread::yield_now();
            assert_eq!(list, [mark], "two threads write to one list");
            lists.keep(list);
        };
        let other = thread::spawn(move || use_one(&of_another, 1));
        use_one(&lists, 2);
        other.join().unwrap();
        let kept = lists.bytes() / (DEPTH * size_of::<usize>());
        assert!((1..=2).contains(&kept), "{kept} lists are left");
    });
}
