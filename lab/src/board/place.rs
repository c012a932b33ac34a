//! Where running commands are found: a folder that is the user's alone, with something in it for each of them.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::door;

/// What is younger may be somebody who has not quite begun to listen.
const SETTLED: Duration = Duration::from_secs(10);

/// A command that runs, and where it listens.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Running {
    pub process: u32,
    pub path: PathBuf,
}

/// The folder, made where there was none.
pub fn folder() -> io::Result<PathBuf> {
    let folder = path();
    door::make_folder(&folder)?;
    Ok(folder)
}

/// Where the folder is, or would be.
pub fn path() -> PathBuf {
    let of_the_session = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|path| path.is_absolute());
    match of_the_session {
        Some(folder) if folder.is_dir() => folder.join("millpond-lab"),
        _ => std::env::temp_dir().join(format!("millpond-lab{}", door::user())),
    }
}

/// Those that answer, by their numbers.
pub fn running() -> io::Result<Vec<Running>> {
    let mut running = all(&path())?;
    running.retain(|running| door::connect(&running.path).is_ok());
    running.sort();
    Ok(running)
}

/// Everything in the folder that is named as if somebody listened there. There need be no folder.
fn all(folder: &Path) -> io::Result<Vec<Running>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let running = entries.flatten().filter_map(|entry| {
        let path = entry.path();
        let name = path.file_name()?.to_str()?.strip_suffix(door::ENDING)?;
        Some(Running { process: name.parse().ok()?, path })
    });
    Ok(running.collect())
}

/// Removes what processes left that were killed.
pub fn tidy(folder: &Path) {
    let is_left = |path: &Path| {
        let age = fs::symlink_metadata(path).and_then(|found| found.modified()).map(|made| made.elapsed());
        let is_settled = age.is_ok_and(|age| age.is_ok_and(|age| age > SETTLED));
        is_settled && door::connect(path).is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused)
    };
    for left in all(folder).into_iter().flatten().filter(|found| is_left(&found.path)) {
        // Another process may have been faster; and what stays is in nobody's way.
        fs::remove_file(left.path).ok();
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::time::SystemTime;

    use super::*;

    #[test]
    fn what_is_left_of_the_dead_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let old = SystemTime::now() - 2 * SETTLED;
        let living = door::listen(folder.path(), 1).unwrap();
        for process in [2, 3] {
            drop(door::listen(folder.path(), process).unwrap());
        }
        let place = |process: u32| folder.path().join(format!("{process}{}", door::ENDING));
        for process in [1, 2] {
            // Times of a socket can be set by its path alone.
            let time = old.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs().to_string();
            let set =
                std::process::Command::new("touch").args(["-d", &format!("@{time}")]).arg(place(process)).status();
            assert!(set.unwrap().success());
        }
        fs::write(folder.path().join("notes"), "of somebody else").unwrap();
        tidy(folder.path());
        let there = [1, 2, 3].map(|process| place(process).exists());
        assert_eq!(there, [true, false, true], "one listens, one was killed, one has only just come");
        assert!(folder.path().join("notes").exists());
        drop(living);
    }

    #[test]
    fn a_folder_that_others_could_have_made_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let made = folder.path().join("made");
        door::make_folder(&made).unwrap();
        door::make_folder(&made).unwrap();
        assert_eq!(fs::metadata(&made).unwrap().permissions().mode() & 0o777, 0o700);

        let open = folder.path().join("open");
        fs::create_dir(&open).unwrap();
        fs::set_permissions(&open, fs::Permissions::from_mode(0o777)).unwrap();
        let link = folder.path().join("link");
        symlink(&made, &link).unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        for path in [open, link, file] {
            let refusal = door::make_folder(&path).unwrap_err().to_string();
            assert!(refusal.contains(path.to_str().unwrap()), "{refusal}");
        }
    }
}
