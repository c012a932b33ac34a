//! `top` shows a running command on a terminal, lets it go, and leaves the terminal as it was.
#![cfg(unix)]

mod common;
#[path = "common/terminal.rs"]
mod terminal;

use std::fs;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use common::{LAB, stderr, stdout};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;
use terminal::Terminal;

/// A soak to look at, and the folder where it is found. It ends with the test, and by itself after a minute.
struct Soak {
    child: Child,
}

impl Soak {
    fn start(folder: &Path) -> Self {
        let mut command = Command::new(LAB);
        command.args(["soak", "--threads", "4", "--minutes", "1"]).env("XDG_RUNTIME_DIR", folder);
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let soak = Self { child };
        let deadline = Instant::now() + Duration::from_secs(30);
        // The file is there a moment before anybody listens.
        while UnixStream::connect(soak.socket(folder)).is_err() {
            assert!(Instant::now() < deadline, "nobody listens in {}", folder.display());
            thread::sleep(Duration::from_millis(5));
        }
        soak
    }

    fn socket(&self, folder: &Path) -> PathBuf {
        folder.join("millpond-lab").join(format!("{}.sock", self.child.id()))
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().try_into().unwrap()), signal).unwrap();
    }
}

impl Drop for Soak {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

fn top(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(LAB);
    command.arg("top").args(arguments).env("XDG_RUNTIME_DIR", folder).output().unwrap()
}

/// The figure behind a name on the screen, without the spaces between its digits.
fn figure(text: &str, name: &str) -> Option<f64> {
    let behind = text.split_once(name)?.1.split(['│', '\n']).next()?;
    let digits: String = behind.chars().filter(|c| c.is_ascii_digit() || *c == '.').collect();
    digits.parse().ok()
}

fn has_rates_and_memory(text: &str) -> bool {
    let is_there = |name: &str| figure(text, name).is_some_and(|value| value > 0.0);
    ["│all ", "│cache ", "│fresh ", "│footprint ", "│resident "].into_iter().all(is_there)
}

#[test]
fn it_shows_rates_and_memory_and_gives_the_terminal_back() {
    let folder = tempfile::tempdir().unwrap();
    let soak = Soak::start(folder.path());
    let mut terminal = Terminal::start(folder.path(), &["top"]);
    let process = format!("process {}", soak.child.id());
    let parts = [&process, "soak --threads 4", "hit ratio", "waiters", "root  ", "pages", "q: quit"];
    // All at once: what is there of a screen that is being painted may be its upper half.
    let is_whole = |text: &str| has_rates_and_memory(text) && parts.iter().all(|part| text.contains(part));
    let text = terminal.until("rates, memory, budgets and pools", is_whole);
    assert_eq!(terminal.is_taken(), [true; 3], "{text}");
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");

    terminal.resize(45, 140);
    terminal.until("the lowest line to be the last of 45, and room for all pools", |text| {
        let is_filled = text.lines().count() == 45 && text.lines().last().is_some_and(|line| line.contains("q: quit"));
        is_filled && text.contains("tokens") && text.contains("┌pools─")
    });
    terminal.resize(10, 40);
    terminal.until("lines without boxes", |text| text.contains("gets/s") && !text.contains('│'));
    terminal.resize(24, 80);
    terminal.until("boxes again", has_rates_and_memory);

    terminal.press("x");
    terminal.press("q");
    let (status, text) = terminal.end();
    assert_eq!(status, 0, "{text}");
    assert!(!text.contains("gets"), "{text}");
}

#[test]
fn the_last_state_stays_when_the_command_ends() {
    for signal in [Signal::SIGINT, Signal::SIGKILL] {
        let folder = tempfile::tempdir().unwrap();
        let mut soak = Soak::start(folder.path());
        let mut terminal = Terminal::start(folder.path(), &["top"]);
        terminal.until("rates and memory", has_rates_and_memory);
        soak.signal(signal);
        let text = terminal.until("that it has ended", |text| text.contains("ENDED: it has ended; its last state"));
        assert!(figure(&text, "│resident ").is_some_and(|value| value > 0.0), "{text}");
        soak.child.wait().unwrap();
        assert_eq!(soak.socket(folder.path()).exists(), signal == Signal::SIGKILL, "who can tidy up does");
        // Escape.
        terminal.press("\u{1b}");
        assert_eq!(terminal.end().0, 0);
    }
}

#[test]
fn ctrl_c_and_signals_end_it_and_not_the_command() {
    let folder = tempfile::tempdir().unwrap();
    let mut soak = Soak::start(folder.path());
    let mut terminal = Terminal::start(folder.path(), &["top", "--pid", &soak.child.id().to_string()]);
    terminal.until("rates and memory", has_rates_and_memory);
    terminal.press("\u{3}");
    let (status, text) = terminal.end();
    assert_eq!(status, 130, "{text}");
    assert!(text.contains("interrupted"), "{text}");
    assert!(soak.child.try_wait().unwrap().is_none(), "the soak goes on");
}

#[test]
fn a_panic_gives_the_terminal_back() {
    let folder = tempfile::tempdir().unwrap();
    let _soak = Soak::start(folder.path());
    let (status, text) = Terminal::start(folder.path(), &["top", "--panic"]).end();
    assert_eq!(status, 101, "{text}");
    assert!(text.contains("this was asked for"), "{text}");
}

#[test]
fn of_several_one_is_chosen() {
    let folder = tempfile::tempdir().unwrap();
    let [first, second] = [(); 2].map(|()| Soak::start(folder.path()));
    let processes = [&first, &second].map(|soak| soak.child.id());
    let mut terminal = Terminal::start(folder.path(), &["top", "--pid", &processes[0].to_string()]);
    let shows =
        |process: u32| move |text: &str| text.contains(&format!("process {process}, ")) && text.contains(" of 2: ");
    terminal.until("the one that was asked for", shows(processes[0]));
    terminal.press("\t");
    terminal.until("the other one", shows(processes[1]));
    terminal.press("\t");
    terminal.until("the first one again", shows(processes[0]));
    terminal.press("q");
    assert_eq!(terminal.end().0, 0);

    let wrong = top(folder.path(), &["--plain", "--pid", "1"]);
    assert_eq!(wrong.status.code(), Some(2));
    assert!(processes.iter().all(|process| stderr(&wrong).contains(&process.to_string())), "{}", stderr(&wrong));
}

#[test]
fn nobody_to_look_at_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let (status, text) = Terminal::start(folder.path(), &["top"]).end();
    assert_eq!(status, 2, "{text}");
    assert!(text.contains("no `run` or `soak` is running"), "{text}");
    let of_one = top(folder.path(), &["--plain", "--pid", "7"]);
    assert_eq!(of_one.status.code(), Some(2));
    assert!(stderr(&of_one).contains("process 7 is no `run` or `soak`"), "{}", stderr(&of_one));
    let at = top(folder.path(), &["--plain", "--socket", "/no/such.sock"]);
    assert_eq!(at.status.code(), Some(2));
    assert!(stderr(&at).contains("/no/such.sock"), "{}", stderr(&at));
}

#[test]
fn without_a_terminal_there_are_lines() {
    let folder = tempfile::tempdir().unwrap();
    let soak = Soak::start(folder.path());
    let refused = top(folder.path(), &[]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(stderr(&refused).contains("--plain"), "{}", stderr(&refused));

    let mut command = Command::new(LAB);
    command.args(["top", "--plain", "--socket"]).arg(soak.socket(folder.path()));
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    thread::sleep(Duration::from_secs(3));
    soak.signal(Signal::SIGTERM);
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let text = stdout(&output);
    let lines: Vec<_> = text.lines().collect();
    assert!((3..=6).contains(&lines.len()), "one a second, and one for the end: {text}");
    assert!(lines[0].contains(" gets/s") && lines[0].contains(" waiters"), "{text}");
    assert_eq!(lines[lines.len() - 1], format!("process {}: it has ended", soak.child.id()));
}

#[test]
fn a_run_can_be_seen_too() {
    let folder = tempfile::tempdir().unwrap();
    let tree = tree_for_a_while();
    let mut command = Command::new(LAB);
    command.arg("run").arg(tree.path()).args(["--rounds", "1000", "--pool", "millpond", "--max-memory", "8MiB"]);
    command.env("XDG_RUNTIME_DIR", folder.path()).stdout(Stdio::null()).stderr(Stdio::null());
    let run = Soak { child: command.spawn().unwrap() };
    let deadline = Instant::now() + Duration::from_secs(30);
    while !run.socket(folder.path()).exists() {
        assert!(Instant::now() < deadline);
        thread::sleep(Duration::from_millis(5));
    }
    let mut terminal = Terminal::start(folder.path(), &["top"]);
    terminal.until("rates and memory", |text| {
        let parts = ["chunks", "of 8MiB", "of 1000, millpond"];
        figure(text, "│all ").is_some_and(|value| value > 0.0) && parts.iter().all(|part| text.contains(part))
    });
    terminal.press("q");
    assert_eq!(terminal.end().0, 0);
}

/// 64 MiB, which a slow build reads in a tenth of a second or more.
fn tree_for_a_while() -> TempDir {
    let root = tempfile::tempdir().unwrap();
    for number in 0..16 {
        fs::write(root.path().join(format!("file{number}")), vec![number; 4 << 20]).unwrap();
    }
    root
}

#[test]
fn a_folder_that_is_not_ours_alone_is_not_used() {
    use std::os::unix::fs::PermissionsExt;
    let (folder, tree) = (tempfile::tempdir().unwrap(), common::tree(&[("file", 100)]));
    let open = folder.path().join("millpond-lab");
    fs::create_dir(&open).unwrap();
    fs::set_permissions(&open, fs::Permissions::from_mode(0o777)).unwrap();
    let mut command = Command::new(LAB);
    let output = command.arg("run").arg(tree.path()).env("XDG_RUNTIME_DIR", folder.path()).output().unwrap();
    assert!(output.status.success(), "the run goes on: {}", stderr(&output));
    assert!(stderr(&output).contains("`top` cannot look at this") && stderr(&output).contains("millpond-lab is not"));
    assert_eq!(fs::read_dir(open).unwrap().count(), 0);
}
