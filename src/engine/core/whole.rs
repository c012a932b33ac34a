//! A hold on a core for who knows its face and looks at it from outside.

use std::marker::PhantomData;
use std::ops::Deref;

use super::{Core, CoreOf, CoreRef, Handle, Keeper};
use crate::sync::Ordering::*;

/// Keeps the core in memory, and does not keep it from being shut.
pub(crate) struct WholeRef<K> {
    core: CoreRef,
    face: PhantomData<fn() -> K>,
}

impl<K: Keeper> Handle<K> {
    pub(crate) fn hold_whole(&self) -> WholeRef<K> {
        WholeRef { core: self.core().hold(), face: PhantomData }
    }
}

impl<K> Deref for WholeRef<K> {
    type Target = CoreOf<K>;

    fn deref(&self) -> &CoreOf<K> {
        let whole = self.core.whole().cast();
        // SAFETY: held here; a handle of this face gave the core, whose pointer was made from one to the whole.
        unsafe { &*whole }
    }
}

impl Core {
    /// Whether no handle is left.
    pub(crate) fn is_abandoned(&self) -> bool {
        // Relaxed: whoever asks may be late.
        self.counts.handles.load(Relaxed) == 0
    }
}
