//! Types that borrow from what they own, and so must know that a move of it moves no bytes.

use std::ops::Deref;

use gimli::{EndianReader, LittleEndian, Reader};
use millpond::{BufferPool, Pool, PooledArc, PooledBytes};
use stable_deref_trait::{CloneStableDeref, StableDeref};
use yoke::Yoke;

/// A message whose fields borrow from its bytes.
#[derive(yoke::Yokeable)]
struct Fields<'a> {
    key: &'a str,
    value: &'a str,
}

fn parse(bytes: &[u8]) -> Fields<'_> {
    let (key, value) = std::str::from_utf8(bytes).unwrap().split_once('=').unwrap();
    Fields { key, value }
}

/// Parsed, and then moved about.
fn assert_parsed(cart: impl StableDeref<Target = [u8]> + Send + 'static) {
    let yoke = Yoke::<Fields<'static>, _>::attach_to_cart(cart, parse);
    let moved = Box::new([yoke]);
    std::thread::spawn(move || {
        let [yoke] = *moved;
        assert_eq!((yoke.get().key, yoke.get().value), ("colour", "blue"));
    })
    .join()
    .unwrap();
}

#[test]
fn yoked_messages_borrow_from_pooled_bytes() {
    let pool = BufferPool::new();
    let buf = || pool.copy_from(b"colour=blue");
    assert_parsed(buf());
    assert_parsed(buf().freeze());
    assert_parsed(pool.copy_from(b"..colour=blue..").freeze().slice(2..13));
    assert_parsed(PooledBytes::from_static(b"colour=blue"));
    assert_eq!(pool.stats().outstanding, 0);
}

#[test]
fn yoked_views_borrow_from_pooled_values() {
    let pool = Pool::<Vec<u8>>::new();
    let value = pool.get_with(|bytes| bytes.extend_from_slice(b"colour=blue"));
    assert_parsed(value.into_slice(11));
    let value = pool.get_with(|bytes| bytes.extend_from_slice(b"colour=blue"));
    let yoke = Yoke::<Fields<'static>, _>::attach_to_cart(value, |bytes| parse(bytes));
    let moved = Box::new(yoke);
    assert_eq!((moved.get().value, pool.stats().outstanding), ("blue", 1));
    drop(moved);
    assert_eq!(pool.stats().outstanding, 0);
}

#[test]
fn readers_of_frozen_bytes_are_cloned_and_split_without_a_copy() {
    let pool = BufferPool::new();
    let bytes = pool.copy_from(&[1, 0, 0, 0, 2, 0, 3]).freeze();
    let start = bytes.as_ptr();
    let mut reader = EndianReader::new(bytes, LittleEndian);
    let whole = reader.clone();
    assert_eq!(reader.read_u32().unwrap(), 1);
    let mut part = reader.split(2).unwrap();
    assert_eq!(whole.bytes().as_ptr(), start);
    assert_eq!(part.bytes().as_ptr(), start.wrapping_add(4));
    drop((whole, reader));
    assert_eq!(part.read_u16().unwrap(), 2);
    assert!(part.is_empty());
    drop(part);
    assert_eq!(pool.stats().outstanding, 0);
}

/// Where it derefs to, before and after a move.
fn assert_stable<H: StableDeref<Target: Sized>>(handle: H) -> H {
    let before = std::ptr::from_ref(&*handle);
    let moved = Box::new(Some(handle));
    let handle = moved.unwrap();
    assert_eq!(std::ptr::from_ref(&*handle), before);
    handle
}

#[test]
fn clones_deref_to_the_same_place() {
    fn assert_same<H: CloneStableDeref + Deref<Target: Sized>>(handle: &H) {
        let clone = handle.clone();
        assert!(std::ptr::eq(&raw const *clone, &raw const **handle));
    }
    let pool = Pool::<Vec<u8>>::new();
    let shared: PooledArc<_> = assert_stable(assert_stable(pool.get()).freeze());
    assert_same(&shared);
}
