//! Nothing is out, or the test fails.

use crate::engine::core::Core;
use crate::tell::Name;

/// Panics if something of this core is out, with what is known of it.
#[track_caller]
pub(crate) fn assert(core: &Core, name: &Name) {
    let out = core.outstanding();
    if out > 0 {
        let whose = name.get().map(|name| format!(" of the pool {name:?}")).unwrap_or_default();
        panic!("{out}{whose} out{}", who_has_them(core));
    }
}

#[cfg(feature = "track")]
fn who_has_them(core: &Core) -> String {
    if core.tracks() {
        format!(":\n{}", crate::policy::outstanding::Outstanding::of(core))
    } else {
        "; the builder's `track(true)` would tell who took them".to_owned()
    }
}

/// Only slots with records know.
#[cfg(not(feature = "track"))]
fn who_has_them(_: &Core) -> &'static str {
    "; the feature `track` and the builder's `track(true)` would tell who took them"
}
