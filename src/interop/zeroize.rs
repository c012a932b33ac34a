//! `zeroize` 1: wiping what a handle has, before it goes home.
//!
//! No handle is `ZeroizeOnDrop`: whether memory is wiped as it comes home is the pool's option, and not the type's.
//! Shared handles are not `Zeroize`, since one of them alone must not change what the others read.

use zeroize::Zeroize;

use crate::engine::batch::{PooledBatch, Return};
use crate::object::reuse::Reuse;
use crate::{Pooled, PooledBuf};

/// Wipes all bytes of the buffer that anybody may have written, behind the length, too, and empties it. The capacity stays.
///
/// A buffer that has grown has left bytes in the smaller one it grew out of, as a `Vec` does. A pool with
/// [`Zeroing::OnReturn`](crate::Zeroing::OnReturn) wipes those as well, and needs no `Zeroize` to do so.
///
/// # Cost
/// A `memset` of what may have been written since the memory was last zero.
impl Zeroize for PooledBuf {
    fn zeroize(&mut self) {
        self.wipe();
    }
}

/// Wipes the value, as its own type says.
impl<T: Zeroize + Reuse + Send + 'static> Zeroize for Pooled<T> {
    fn zeroize(&mut self) {
        (**self).zeroize();
    }
}

/// Wipes each of them.
impl<H: Zeroize + Return> Zeroize for PooledBatch<H> {
    fn zeroize(&mut self) {
        self.iter_mut().for_each(Zeroize::zeroize);
    }
}
