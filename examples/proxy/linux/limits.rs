//! File descriptors: as many as the proxy needs, or an error that says how many there are.

use rustix::process::{Resource, getrlimit, setrlimit};

use crate::linux::Result;

/// What a process has open besides: standard streams, the runtime's, listeners, `/proc`.
const BESIDES: u64 = 64;

/// The proxy has two sockets for each connection.
fn needed(connections: usize) -> u64 {
    connections as u64 * 2 + BESIDES
}

/// Raises the limit of this process, and of those that it starts, to the hard limit.
pub(crate) fn raise(connections: usize) -> Result<()> {
    let mut limit = getrlimit(Resource::Nofile);
    check(connections, limit.maximum)?;
    // Where nothing is forbidden, what is needed is enough.
    limit.current = limit.current.max(limit.maximum.or(Some(needed(connections))));
    setrlimit(Resource::Nofile, limit).map_err(|error| format!("the limit of file descriptors stays: {error}").into())
}

/// None: there is no limit.
fn check(connections: usize, hard: Option<u64>) -> Result<()> {
    let (needed, hard) = (needed(connections), hard.unwrap_or(u64::MAX));
    if needed <= hard {
        return Ok(());
    }
    let possible = hard.saturating_sub(BESIDES) / 2;
    Err(format!(
        "{connections} connections need {needed} file descriptors in the proxy, and the hard limit is {hard} (ulimit -Hn), \
         which is enough for --connections {possible}"
    )
    .into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_few_descriptors_are_an_error_with_the_numbers() {
        assert!(check(4000, Some(8064)).is_ok() && check(4000, None).is_ok());
        let error = check(4000, Some(8063)).unwrap_err().to_string();
        for number in ["4000 connections", "need 8064", "limit is 8063", "--connections 3999"] {
            assert!(error.contains(number), "{error}");
        }
        assert!(check(1, Some(3)).unwrap_err().to_string().contains("--connections 0"));
    }

    #[test]
    fn the_limit_becomes_the_hard_one() {
        raise(10).unwrap();
        let limit = getrlimit(Resource::Nofile);
        assert!(limit.maximum.is_none_or(|hard| limit.current == Some(hard)), "{limit:?}");
    }
}
