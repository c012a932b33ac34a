//! Where figures come from: what every file of results begins with.

use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use crate::process::Machine;

/// All of it is there in files that this version writes.
#[derive(Default, Serialize, Deserialize)]
pub struct Provenance {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine: Option<Machine>,
    /// Of this program.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// When the file was written: a date and a time as in RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when: Option<String>,
    /// The command line that gave these figures.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
}

impl Provenance {
    /// Of what this process has measured.
    pub fn this() -> Self {
        Self {
            machine: Some(Machine::this()),
            version: Some(env!("CARGO_PKG_VERSION").to_owned()),
            when: Some(humantime::format_rfc3339_seconds(SystemTime::now()).to_string()),
            command: Some(command()),
        }
    }
}

/// The command line of this process.
pub fn command() -> String {
    std::env::args_os().map(|argument| argument.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
}

/// A file of results: where they come from, and what they are.
#[derive(Serialize)]
pub struct Stamped<T> {
    #[serde(flatten)]
    pub provenance: Provenance,
    #[serde(flatten)]
    pub results: T,
}

impl<T> Stamped<T> {
    pub fn now(results: T) -> Self {
        Self { provenance: Provenance::this(), results }
    }
}
