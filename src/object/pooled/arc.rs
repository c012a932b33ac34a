//! The shared handle on a pooled value.

use std::borrow::Borrow;
use std::mem::ManuallyDrop;
use std::ops::Deref;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::ptr::NonNull;

use crate::engine::lanes::Lane;
use crate::engine::slot::Slot;
use crate::object::pooled::{Held, Pooled, taken};
use crate::object::reuse::Reuse;

/// A pooled value that any number of handles share; it goes home with the last of them.
///
/// Made by [`Pooled::freeze`]. The count lies in the slot, so neither freezing nor cloning allocates.
///
/// # Examples
///
/// ```
/// let pool = millpond::Pool::<String>::new();
/// let name = pool.get_with(|name| name.push_str("weir")).freeze();
/// let again = name.clone();
/// assert_eq!((name.as_str(), again.len()), ("weir", 4));
/// ```
pub struct PooledArc<T: Reuse + Send + 'static> {
    slot: NonNull<Slot<Held<T>>>,
    lane: Lane,
}

// SAFETY: handles share the value (`Sync`), and the last of them, on any thread, prepares or drops it (`Send`, which the
// type demands). The count is atomic.
unsafe impl<T: Reuse + Send + Sync> Send for PooledArc<T> {}
// SAFETY: as above: from `&PooledArc` a handle can be cloned.
unsafe impl<T: Reuse + Send + Sync> Sync for PooledArc<T> {}
// As `Arc`.
impl<T: Reuse + Send + RefUnwindSafe> UnwindSafe for PooledArc<T> {}
impl<T: Reuse + Send + RefUnwindSafe> RefUnwindSafe for PooledArc<T> {}

impl<T: Reuse + Send + 'static> PooledArc<T> {
    /// The handle for which the count was made 1.
    pub(super) fn first(slot: NonNull<Slot<Held<T>>>, lane: Lane) -> Self {
        PooledArc { slot, lane }
    }

    fn held(&self) -> &Held<T> {
        // SAFETY: the handle counts, so the slot is held.
        unsafe { self.slot.as_ref() }.content()
    }

    /// Whether no other handle shares the value.
    #[must_use]
    pub fn is_unique(&self) -> bool {
        self.held().count.is_one()
    }

    /// The value, writable again, if no other handle shares it. Costs nothing.
    ///
    /// # Errors
    /// This handle, as it was, when the value is shared.
    ///
    /// # Examples
    ///
    /// ```
    /// let pool = millpond::Pool::<String>::new();
    /// let name = pool.get_with(|name| name.push_str("mill")).freeze();
    /// let copy = name.clone();
    /// let name = name.try_into_mut().unwrap_err();
    /// drop(copy);
    /// name.try_into_mut().unwrap().push_str("pond");
    /// ```
    pub fn try_into_mut(self) -> Result<Pooled<T>, Self> {
        if !self.is_unique() {
            return Err(self);
        }
        let this = ManuallyDrop::new(self);
        this.held().count.thaw();
        Ok(Pooled { slot: this.slot, lane: this.lane })
    }
}

impl<T: Reuse + Send + 'static> Clone for PooledArc<T> {
    /// Costs one atomic addition.
    fn clone(&self) -> Self {
        self.held().count.add();
        PooledArc { slot: self.slot, lane: self.lane }
    }
}

impl<T: Reuse + Send + 'static> Drop for PooledArc<T> {
    fn drop(&mut self) {
        if self.held().count.remove() {
            // SAFETY: the last handle, which does not use the slot again.
            unsafe { taken::go_home(self.slot, self.lane) };
        }
    }
}

impl<T: Reuse + Send + 'static> Deref for PooledArc<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: there is a value, and nobody writes it while a handle is alive.
        unsafe { &*self.held().value() }
    }
}

impl<T: Reuse + Send + 'static> AsRef<T> for PooledArc<T> {
    fn as_ref(&self) -> &T {
        self
    }
}

impl<T: Reuse + Send + 'static> Borrow<T> for PooledArc<T> {
    fn borrow(&self) -> &T {
        self
    }
}

impl<T: Reuse + Send + 'static> From<Pooled<T>> for PooledArc<T> {
    fn from(pooled: Pooled<T>) -> Self {
        pooled.freeze()
    }
}
