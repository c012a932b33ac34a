//! Nothing is out, or the test fails.

use crate::engine::core::Core;
use crate::tell::Name;

/// Panics if something of this core is out, with what is known of it.
#[track_caller]
pub(crate) fn assert(core: &Core, name: &Name) {
    let out = core.outstanding();
    if out > 0 {
        let whose = name.get().map(|name| format!(" of the pool {name:?}")).unwrap_or_default();
        panic!("{out}{whose} out{}", table(core));
    }
}

#[cfg(feature = "track")]
fn table(core: &Core) -> String {
    format!(":\n{}", crate::policy::outstanding::Outstanding::of(core))
}

/// Who took them only slots with records know.
#[cfg(not(feature = "track"))]
fn table(_: &Core) -> &'static str {
    ""
}
