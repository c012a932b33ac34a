//! sharded-slab 0.1: `Pool`, whose values are cleared by key. `create_owned`, since what `create` gives cannot leave its
//! thread.

use std::sync::Arc;

use sharded_slab::pool::OwnedRefMut;
use sharded_slab::{Clear, Pool};

use crate::compare::contender::{Cannot, Kind, Plan};
use crate::compare::objects::{Kept, Objects};

pub struct ShardedSlab<T: Kept>(Arc<Pool<Fresh<T>>>);

/// A value by default as the rows want it.
pub struct Fresh<T>(T);

impl<T: Kept> Default for Fresh<T> {
    fn default() -> Self {
        Self(T::fresh())
    }
}

impl<T: Kept> Clear for Fresh<T> {
    #[inline]
    fn clear(&mut self) {
        self.0.reset();
    }
}

/// A value that is released and then cleared by its key, as the documentation does. Marked to be cleared by the release
/// it would take another slot each time.
pub struct Entry<'p, T: Kept> {
    pool: &'p Pool<Fresh<T>>,
    /// None once it is released.
    value: Option<OwnedRefMut<Fresh<T>>>,
}

impl<T: Kept> Drop for Entry<'_, T> {
    #[inline]
    fn drop(&mut self) {
        if let Some(value) = self.value.take() {
            let key = value.key();
            drop(value);
            self.pool.clear(key);
        }
    }
}

impl<T: Kept> Objects<T> for ShardedSlab<T> {
    const NAME: &'static str = "sharded-slab 0.1";
    const KIND: Kind = Kind::Pool;

    type Value = T;
    type Object<'p> = Entry<'p, T>;

    fn new(_: &Plan) -> Result<Self, Cannot> {
        Ok(Self(Arc::new(Pool::new())))
    }

    #[inline(always)]
    fn get(&self) -> Entry<'_, T> {
        let value = Arc::clone(&self.0).create_owned().expect("far fewer than fit");
        Entry { pool: &self.0, value: Some(value) }
    }

    #[inline(always)]
    fn value<'o>(object: &'o mut Entry<'_, T>) -> &'o mut T {
        &mut object.value.as_mut().expect("released by drop alone").0
    }
}
