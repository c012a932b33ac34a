//! `assert_quiescent` fails if something is out, wherever it is, and only then.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;

use millpond::{BufferPool, Overflow, Pool};

#[track_caller]
fn message(check: impl Fn()) -> Option<String> {
    let panic = catch_unwind(AssertUnwindSafe(check)).err()?;
    Some(*panic.downcast::<String>().expect("a text"))
}

#[test]
fn a_pool_of_which_nothing_is_out_is_quiescent() {
    let pool = BufferPool::builder().prefill(4096, 3).build().unwrap();
    pool.assert_quiescent();
    drop(pool.get_many([100, 5000, 70_000]));
    let other = pool.clone();
    thread::spawn(move || drop(other.get(4096))).join().unwrap();
    pool.assert_quiescent();
    let values = Pool::<Vec<u8>>::new();
    drop(values.get_many(5));
    values.assert_quiescent();
}

#[test]
fn what_is_out_in_any_form_is_counted() {
    let builder = || BufferPool::builder().size_classes([4096]).max_memory(4 * 4096).overflow(Overflow::Unpooled);
    let pool = builder().name("requests").build().unwrap();
    let (unique, frozen, batch) = (pool.get(1), pool.get(1).freeze(), pool.get_many([1, 1]));
    let (clone, outside, raw) = (frozen.clone(), pool.get(9000), pool.get(1).into_raw());
    let text = message(|| pool.assert_quiescent()).unwrap();
    assert!(text.starts_with("6 of the pool \"requests\" out"), "{text}");
    drop((unique, frozen, batch, outside));
    assert!(message(|| pool.assert_quiescent()).unwrap().starts_with("2 of the pool"));
    drop(clone);
    pool.close();
    assert!(message(|| pool.assert_quiescent()).unwrap().starts_with("1 of the pool"));
    assert_ne!(raw.as_u64(), 0);
    let values = Pool::<String>::new();
    let shared = values.get().freeze();
    assert!(message(|| values.assert_quiescent()).unwrap().starts_with("1 out"));
    drop(shared);
    let detached = values.get().detach();
    values.assert_quiescent();
    drop(detached);
}
