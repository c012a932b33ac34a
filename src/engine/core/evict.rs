//! What gives way when stores compete: the clock's choice.

use super::{Core, MAX_STORES};
use crate::engine::clock::Clock;
use crate::engine::store::Store;
use crate::sync::try_locked;

impl Core {
    /// Retires idle slots of so many bytes, as the clock chooses; how many bytes. It may find fewer, and finds none where
    /// there is no clock, or another thread is at it. What it chooses of `coming`, which comes into that store's depot just
    /// now, stays for the caller to refuse.
    pub(in crate::engine) fn give_way(&self, wanted: usize, coming: Option<&Store>) -> usize {
        let chosen = self.choose(wanted);
        let of_others = |store: &&Store| coming.is_none_or(|coming| !std::ptr::eq(coming, *store));
        // Without the lock, because retiring runs user code.
        self.stores.iter().filter(of_others).map(|store| store.make_way(chosen[store.class()])).sum()
    }

    fn choose(&self, wanted: usize) -> [usize; MAX_STORES] {
        let mut chosen = [0; MAX_STORES];
        if let Some(mut clock) = self.clock.as_ref().and_then(try_locked) {
            self.show_all(&mut clock);
            clock.choose(wanted, |store, slots| chosen[store] += slots);
        }
        chosen
    }

    fn show_all(&self, clock: &mut Clock) {
        self.stores.iter().for_each(|store| clock.see(store.class(), store.sight()));
    }

    /// Has the clock, if it was ever asked, forget what has gone without it.
    pub(super) fn wind_clock(&self) {
        if let Some(mut clock) = self.clock.as_ref().and_then(try_locked).filter(|clock| !clock.is_empty()) {
            self.show_all(&mut clock);
        }
    }
}
