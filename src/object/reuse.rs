//! What becomes of a value when it is returned.

use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap, HashSet, VecDeque};
use std::ffi::OsString;
use std::hash::{BuildHasher, Hash};
use std::path::PathBuf;

/// A value that a [`Pool`](crate::Pool) can hand out again.
///
/// # Examples
///
/// ```
/// use millpond::{Pool, Reuse};
///
/// #[derive(Default)]
/// struct Request {
///     path: String,
///     body: Vec<u8>,
/// }
///
/// impl Reuse for Request {
///     fn reuse(&mut self, trim: usize) -> bool {
///         self.path.clear();
///         self.body.reuse(trim)
///     }
/// }
///
/// let pool = Pool::<Request>::new();
/// let mut request = pool.get();
/// request.body.extend_from_slice(b"hello");
/// drop(request);
/// assert!(pool.get().body.is_empty());
/// ```
pub trait Reuse {
    /// Makes the value as good as new. `false` discards it.
    ///
    /// Called once each time the value is returned, by the thread that returns it, and never when it is handed out.
    /// `trim` is the pool's [`trim_capacity`](crate::PoolBuilder::trim_capacity), in elements (bytes, for text):
    /// `usize::MAX` unless it was set. May use any pool. When it panics, the value is discarded and the panic goes on.
    fn reuse(&mut self, trim: usize) -> bool;
}

/// Whether a collection with room for this many keeps more than it may. Twice the limit is let pass: collections grow by
/// doubling, and one that is a little too small for every use would be shrunk after each.
fn is_above(capacity: usize, trim: usize) -> bool {
    capacity.div_ceil(2) > trim
}

/// Out of line: what a return hardly ever does should cost it no registers.
#[cold]
#[inline(never)]
fn rarely<C>(collection: &mut C, trim: usize, shrink: impl FnOnce(&mut C, usize)) {
    shrink(collection, trim);
}

macro_rules! reuse_collections {
    ($([$($parameters:tt)*] $collection:ty;)*) => {$(
        /// Empties it. Keeps its room, unless that is for more than twice `trim`: then room for `trim`. Without any room
        /// it is discarded.
        impl<$($parameters)*> Reuse for $collection {
            fn reuse(&mut self, trim: usize) -> bool {
                self.clear();
                if is_above(self.capacity(), trim) {
                    rarely(self, trim, Self::shrink_to);
                }
                self.capacity() > 0
            }
        }
    )*};
}

reuse_collections! {
    [T] Vec<T>;
    [T] VecDeque<T>;
    [T: Ord] BinaryHeap<T>;
    [K: Eq + Hash, V, S: BuildHasher] HashMap<K, V, S>;
    [T: Eq + Hash, S: BuildHasher] HashSet<T, S>;
    [] String;
    [] PathBuf;
    [] OsString;
}

/// Empties it; it has no room of its own to keep.
impl<K, V> Reuse for BTreeMap<K, V> {
    fn reuse(&mut self, _: usize) -> bool {
        self.clear();
        true
    }
}

/// Empties it; it has no room of its own to keep.
impl<T> Reuse for BTreeSet<T> {
    fn reuse(&mut self, _: usize) -> bool {
        self.clear();
        true
    }
}

/// Empties it. Room for more than twice `trim` bytes is exchanged for room for `trim`; without any room it is discarded.
#[cfg(feature = "bytes")]
impl Reuse for bytes::BytesMut {
    fn reuse(&mut self, trim: usize) -> bool {
        self.clear();
        if is_above(self.capacity(), trim) {
            *self = bytes::BytesMut::with_capacity(trim);
        }
        self.capacity() > 0
    }
}

/// As what is in the box.
impl<T: Reuse + ?Sized> Reuse for Box<T> {
    fn reuse(&mut self, trim: usize) -> bool {
        (**self).reuse(trim)
    }
}

/// As the value, if there is one; `None` stays.
impl<T: Reuse> Reuse for Option<T> {
    fn reuse(&mut self, trim: usize) -> bool {
        self.as_mut().is_none_or(|value| value.reuse(trim))
    }
}

macro_rules! reuse_tuples {
    ($(($($part:ident $index:tt),+);)*) => {$(
        /// All of them, each with the same `trim`; discarded if one says so.
        impl<$($part: Reuse),+> Reuse for ($($part,)+) {
            fn reuse(&mut self, trim: usize) -> bool {
                // All are made ready even if one refuses.
                [$(self.$index.reuse(trim)),+].into_iter().all(|keep| keep)
            }
        }
    )*};
}

reuse_tuples! {
    (A 0);
    (A 0, B 1);
    (A 0, B 1, C 2);
    (A 0, B 1, C 2, D 3);
}
