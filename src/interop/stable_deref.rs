//! `stable_deref_trait` 1: handles whose bytes or values stay where they are while the handle moves.

// The traits are unsafe: who implements them promises that.
#![allow(unsafe_code)]

use stable_deref_trait::{CloneStableDeref, StableDeref};

use crate::object::reuse::Reuse;
use crate::{Pooled, PooledArc, PooledBuf, PooledBytes, PooledSlice};

// SAFETY: the bytes lie in the slot's block, apart from the handle, which holds a raw pointer to them and thus claims
// nothing about who else has one. A move of the handle touches neither. They leave the block only through `&mut`, by growth,
// and it only when the handle goes.
unsafe impl StableDeref for PooledBuf {}

// SAFETY: the bytes lie in a slot's block or live for ever; nothing changes or moves them while a handle is alive. Pointer
// and length are the handle's own fields, and change through `&mut` alone.
unsafe impl StableDeref for PooledBytes {}

// SAFETY: a clone has the same pointer and the same length.
unsafe impl CloneStableDeref for PooledBytes {}

// SAFETY: the value lies in the slot, whose header does not move as long as the pool's core lives, which the slot keeps. The
// handle holds a raw pointer to it.
unsafe impl<T: Reuse + Send> StableDeref for Pooled<T> {}

// SAFETY: as for `Pooled`.
unsafe impl<T: Reuse + Send> StableDeref for PooledArc<T> {}

// SAFETY: a clone is a handle on the same slot.
unsafe impl<T: Reuse + Send> CloneStableDeref for PooledArc<T> {}

// SAFETY: the elements lie in the vector's own allocation, which changes through `&mut` alone; the vector lies in the slot.
unsafe impl<T: Send> StableDeref for PooledSlice<T> {}
