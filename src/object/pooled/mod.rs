//! The handles over a pooled value: unique, and shared.

// A handle owns a value through its slot.
#![allow(unsafe_code)]

mod arc;
mod held;
pub(in crate::object) mod taken;

use std::borrow::{Borrow, BorrowMut};
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::mem::ManuallyDrop;
use std::ops::{Deref, DerefMut};
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::ptr::NonNull;

use crate::engine::core::Core;
use crate::engine::lanes::Lane;
use crate::engine::slot::{Slot, SlotPtr};
use crate::engine::track::Checkout;
use crate::object::reuse::Reuse;

pub use arc::PooledArc;
pub(in crate::object) use held::{Held, MAX_WEIGHT};

/// A value of a [`Pool`](crate::Pool). Dropped, it is made ready for reuse and goes home.
///
/// Two words. Dereferences to the value, which does not move while it is pooled. Dropping costs the value's
/// [`reuse`](Reuse::reuse) and, while the thread's cache has room, no lock, no allocation, no system call and no atomic
/// read-modify-write. What is lost by [`mem::forget`](std::mem::forget) is the value alone; the pool goes on.
///
/// # Examples
///
/// ```
/// let pool = millpond::Pool::<Vec<f32>>::new();
/// let mut samples = pool.get();
/// samples.extend([0.5; 512]);
/// assert_eq!(samples.len(), 512);
/// ```
pub struct Pooled<T: Reuse + Send + 'static> {
    slot: NonNull<Slot<Held<T>>>,
    /// Where the slot is cached.
    lane: Lane,
}

// SAFETY: the handle owns the value, and what else is in the slot is touched by value alone.
unsafe impl<T: Reuse + Send> Send for Pooled<T> {}
// SAFETY: `&Pooled<T>` gives `&T` and nothing else.
unsafe impl<T: Reuse + Send + Sync> Sync for Pooled<T> {}
// As `Box`.
impl<T: Reuse + Send + UnwindSafe> UnwindSafe for Pooled<T> {}
impl<T: Reuse + Send + RefUnwindSafe> RefUnwindSafe for Pooled<T> {}

impl<T: Reuse + Send + 'static> Pooled<T> {
    /// # Safety
    /// The caller holds the slot, one of a pool of `T` that has a value, and passes it on to the handle.
    #[inline(always)]
    unsafe fn new(slot: SlotPtr, lane: Lane) -> Self {
        Pooled { slot: slot.cast(), lane }
    }

    fn slot(&self) -> SlotPtr {
        SlotPtr::new(self.slot)
    }

    /// Has the slot remember who has it.
    #[inline(always)]
    pub(in crate::object) fn check_out(&self, checkout: Checkout) {
        // SAFETY: the handle holds the slot.
        unsafe { self.slot().check_out(checkout) };
    }

    #[inline(always)]
    fn held(&self) -> &Held<T> {
        // SAFETY: the handle holds the slot.
        unsafe { self.slot.as_ref() }.content()
    }

    /// The value, which leaves the pool for good. It no longer counts as one of the pool's.
    ///
    /// # Examples
    ///
    /// ```
    /// let pool = millpond::Pool::<String>::new();
    /// let name: String = pool.get_with(|name| name.push_str("mill")).detach();
    /// assert_eq!((name.as_str(), pool.stats().footprint), ("mill", 0));
    /// ```
    #[must_use = "dropping the handle returns the value to the pool"]
    pub fn detach(self) -> T {
        let this = ManuallyDrop::new(self);
        // SAFETY: the handle held the slot and is gone; as long as it is out, there is a value.
        let value = unsafe { this.held().take() };
        // SAFETY: as above; the slot is not used again.
        unsafe { Core::retire(this.slot()) };
        value
    }

    /// The value, to be read and shared by any number of handles. Allocates nothing.
    ///
    /// # Examples
    ///
    /// ```
    /// let pool = millpond::Pool::<Vec<u32>>::new();
    /// let table = pool.get_with(|table| table.extend(0..100)).freeze();
    /// let reader = std::thread::spawn({
    ///     let table = table.clone();
    ///     move || table[42]
    /// });
    /// assert_eq!(reader.join().unwrap(), table[42]);
    /// ```
    #[must_use]
    pub fn freeze(self) -> PooledArc<T> {
        let this = ManuallyDrop::new(self);
        this.held().count.freeze();
        PooledArc::first(this.slot, this.lane)
    }
}

impl<T: Reuse + Send + 'static> Drop for Pooled<T> {
    #[inline(always)]
    fn drop(&mut self) {
        // SAFETY: the handle holds the slot and does not use it again.
        unsafe { taken::go_home(self.slot, self.lane) };
    }
}

impl<T: Reuse + Send + 'static> Deref for Pooled<T> {
    type Target = T;

    #[inline(always)]
    fn deref(&self) -> &T {
        // SAFETY: there is a value, and it is this handle's.
        unsafe { &*self.held().value() }
    }
}

impl<T: Reuse + Send + 'static> DerefMut for Pooled<T> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as in `deref`, borrowed exclusively.
        unsafe { &mut *self.held().value() }
    }
}

impl<T: Reuse + Send + 'static> AsRef<T> for Pooled<T> {
    fn as_ref(&self) -> &T {
        self
    }
}

impl<T: Reuse + Send + 'static> AsMut<T> for Pooled<T> {
    fn as_mut(&mut self) -> &mut T {
        self
    }
}

impl<T: Reuse + Send + 'static> Borrow<T> for Pooled<T> {
    fn borrow(&self) -> &T {
        self
    }
}

impl<T: Reuse + Send + 'static> BorrowMut<T> for Pooled<T> {
    fn borrow_mut(&mut self) -> &mut T {
        self
    }
}

/// What both handles do as their value does.
macro_rules! through_the_value {
    ($handle:ident) => {
        impl<T: Reuse + Send + fmt::Debug + 'static> fmt::Debug for $handle<T> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&**self, f)
            }
        }

        impl<T: Reuse + Send + fmt::Display + 'static> fmt::Display for $handle<T> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&**self, f)
            }
        }

        impl<T: Reuse + Send + PartialEq + 'static> PartialEq for $handle<T> {
            fn eq(&self, other: &Self) -> bool {
                **self == **other
            }
        }

        impl<T: Reuse + Send + Eq + 'static> Eq for $handle<T> {}

        impl<T: Reuse + Send + PartialOrd + 'static> PartialOrd for $handle<T> {
            fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
                (**self).partial_cmp(&**other)
            }
        }

        impl<T: Reuse + Send + Ord + 'static> Ord for $handle<T> {
            fn cmp(&self, other: &Self) -> Ordering {
                (**self).cmp(&**other)
            }
        }

        impl<T: Reuse + Send + Hash + 'static> Hash for $handle<T> {
            fn hash<H: Hasher>(&self, state: &mut H) {
                (**self).hash(state);
            }
        }
    };
}

through_the_value!(Pooled);
through_the_value!(PooledArc);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handle_is_two_words_with_a_niche() {
        assert_eq!(size_of::<Pooled<Vec<u8>>>(), 2 * size_of::<usize>());
        assert_eq!(size_of::<Option<Pooled<Vec<u8>>>>(), 2 * size_of::<usize>());
        assert_eq!(size_of::<Option<PooledArc<Vec<u8>>>>(), 2 * size_of::<usize>());
    }
}
