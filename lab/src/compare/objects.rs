//! What a row asks of everything that keeps objects, as [`Contender`](super::contender::Contender) says it for buffers.

use std::borrow::BorrowMut;

use millpond::Reuse;

use super::contender::{Cannot, Kind, Plan};
use super::contenders::floor_objects::Stacked;

/// What rows do with a value.
pub trait Value {
    /// What it holds, for those who read it.
    type Content: ?Sized;
    /// What a change can be told from.
    type Part;

    /// Changes as little as possible, and says where.
    fn touch(&mut self) -> &mut Self::Part;

    /// Fills an empty value as a program would, and says where.
    fn fill(&mut self) -> &mut Self::Part;

    fn content(&self) -> &Self::Content;
}

/// A value that contenders make, reset and keep.
pub trait Kept: Value + Default + Reuse + Stacked + Send + Sync + 'static {
    /// What it is for a program without a pool: in a `Box` if it has no memory of its own.
    type Alone: From<Self> + BorrowMut<Self> + Send;
    /// kithara-bufpool has a buffer of its own for each kind of value that it knows.
    #[cfg(feature = "rivals")]
    type Kithara: Objects<Self>;

    /// An empty value with the room that [`fill`](Value::fill) needs; the default has none.
    fn fresh() -> Self;

    /// Empties the value and keeps its room.
    fn reset(&mut self);

    /// The bytes that it takes, its room included.
    fn weight(&self) -> usize;
}

/// A way to have values of type `T`, empty but with their room, used as its documentation recommends.
pub trait Objects<T: Kept>: Sized + Sync + 'static {
    const NAME: &'static str;
    const KIND: Kind;

    /// What rows work on: `T`, or what stands for it where the contender chooses the type.
    type Value: Value<Content = T::Content>;
    /// Holds an empty value; dropping it gives it back. May be dropped by another thread.
    type Object<'p>: Send
    where
        Self: 'p;

    /// Sets up for `plan`, which has no sizes.
    fn new(plan: &Plan) -> Result<Self, Cannot>;

    fn get(&self) -> Self::Object<'_>;

    fn value<'o>(object: &'o mut Self::Object<'_>) -> &'o mut Self::Value;

    /// Called by threads of the row before they end. Only what has no destructor of its own needs it.
    fn leave_thread() {}
}

/// Something done with each contender for values of type `T` in turn.
pub trait VisitObjects<T: Kept> {
    fn visit<C: Objects<T>>(&mut self);
}
