//! On which machine of `ci/vm` the tests run.

/// The machine's name. Tells that this is none of these machines, and that the caller has nothing to do therefore.
pub(crate) fn name() -> Option<String> {
    let name = std::env::var("MILLPOND_VM").ok();
    if name.is_none() {
        eprintln!("SKIPPED, this needs one of the machines that `ci/vm` boots");
    }
    name
}
