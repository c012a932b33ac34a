//! A handle that is forgotten loses its own value and nothing else.

#[path = "support/values.rs"]
mod values;

use std::mem::forget;
use std::sync::Arc;

use millpond::{Error, Pool};
use values::{Fate, Value};

#[test]
fn only_the_forgotten_value_is_lost() {
    let fate: Arc<Fate> = Arc::default();
    let make = fate.clone();
    let pool = Pool::builder().create(move || Value::new(&make)).max_objects(3).build().unwrap();
    forget(pool.get());
    let frozen = pool.get().freeze();
    forget(frozen.clone());
    drop(frozen);
    drop(pool.get());
    assert_eq!((pool.stats().outstanding, pool.stats().footprint), (2, 3));
    assert_eq!(pool.try_get_many(2).unwrap_err(), Error::Exhausted { limit: 3 }, "what is forgotten stays out");
    drop(pool);
    assert_eq!(fate.alive(), 2);
}
