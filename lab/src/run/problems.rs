//! What could not be read: said once on stderr, counted, and no reason to leave the rest undone.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use indicatif::ProgressBar;

use crate::failure::complain;

/// The problems of one command. Rounds meet the same files again, so each path counts once.
#[derive(Default)]
pub struct Problems {
    paths: Mutex<BTreeSet<PathBuf>>,
}

impl Problems {
    /// Reports `what` is wrong with `path`, above the progress bar.
    pub fn report(&self, bar: &ProgressBar, path: &Path, what: impl Display) {
        if self.paths.lock().expect("no reporter panics").insert(path.to_owned()) {
            bar.suspend(|| complain(format_args!("{}: {what}", path.display())));
        }
    }

    pub fn count(&self) -> usize {
        self.paths.lock().expect("no reporter panics").len()
    }
}
