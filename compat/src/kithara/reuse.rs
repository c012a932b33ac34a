//! What becomes of a value when it is returned.

/// A value that can be used again.
///
/// ```
/// use millpond_compat::kithara::{Pool, Reuse};
///
/// #[derive(Default)]
/// struct Packet {
///     data: Vec<u8>,
///     stream: usize,
/// }
///
/// impl Reuse for Packet {
///     fn reuse(&mut self, trim: usize) -> bool {
///         self.stream = 0;
///         self.data.reuse(trim)
///     }
/// }
///
/// let pool = Pool::<4, Packet>::new(16, 1024);
/// drop(pool.get_with(|packet| packet.data.extend_from_slice(b"hello")));
/// assert!(pool.get().data.is_empty());
/// ```
pub trait Reuse: Send + 'static {
    /// Makes the value as good as new, and keeps room for `trim` elements at most. `false` discards it.
    ///
    /// Called once each time the value is returned, by the thread that returns it.
    fn reuse(&mut self, trim: usize) -> bool;
}

/// Empties it and shrinks it to `trim` elements. Without any room it is discarded.
impl<T: Send + 'static> Reuse for Vec<T> {
    #[inline]
    fn reuse(&mut self, trim: usize) -> bool {
        self.clear();
        self.shrink_to(trim);
        self.capacity() > 0
    }
}

/// A value as `millpond` keeps it, by the rules of this trait.
#[derive(Debug, Default)]
pub(super) struct Kept<T>(pub(super) T);

impl<T: Reuse> millpond::Reuse for Kept<T> {
    #[inline]
    fn reuse(&mut self, trim: usize) -> bool {
        self.0.reuse(trim)
    }
}
