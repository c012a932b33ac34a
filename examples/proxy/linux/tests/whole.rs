//! Runs with processes of their own: this program, started again.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::LONG;
use crate::linux::mark::Mark;
use crate::linux::options::Options;
use crate::linux::server::ENDS;
use crate::linux::turn::Turn;
use crate::linux::way::Way;
use crate::linux::{roles, run};

const PART: &str = "MILLPOND_PROXY_PART";
/// A part of a test: all of a run.
const RUN: &str = "run";

fn options() -> Options {
    Options { connections: 300, slow: 60, seconds: 1, rounds: 1, budget: 1 << 20 }
}

/// What the other processes run, in tests. In this one it does nothing.
#[test]
fn part() {
    let Ok(words) = std::env::var(PART) else { return };
    if words == RUN {
        run::run(&this_test, &Options { seconds: 60, ..options() }, &mut std::io::sink()).unwrap();
        return;
    }
    let words: Vec<_> = words.split(' ').map(str::to_owned).collect();
    assert!(roles::is_part(&words));
    // How it ends is for the one that started it to say.
    drop(roles::play(&words));
}

fn this_test(words: &[String]) -> std::io::Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    let (_crate, here) = module_path!().split_once("::").expect("a module of the crate");
    command.args([&format!("{here}::part"), "--exact", "--nocapture"]).env(PART, words.join(" "));
    command.stdout(Stdio::null());
    Ok(command)
}

#[test]
fn three_hundred_connections_stay_within_a_mebibyte_and_their_memory_comes_back() {
    let mut text = Vec::new();
    let turns = run::run(&this_test, &options(), &mut text).unwrap();
    let text = String::from_utf8(text).unwrap();
    for words in ["| pool ", "| BytesMut ", "| Vec ", "MiB/s", "1.00 MiB, of which 0.", "900, all ended in order"] {
        assert!(text.contains(words), "{words} in {text}");
    }
    assert_eq!(turns.iter().map(|turn| turn.way).collect::<Vec<_>>(), Way::ALL);
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    let [pool, kept, _] = &turns[..] else { panic!("three turns") };

    // Slow readers had half of the budget, which had the others wait for room.
    assert!((0.4..=1.0).contains(&mib(pool.ended.peak)), "{text}");
    // Other memory is that of threads and tasks.
    let grown = |turn: &Turn, mark: &Mark| mib(mark.resident) - mib(turn.connected.resident);
    assert!(mib(pool.busy.resident_peak) - mib(pool.connected.resident) < 3.0, "{text}");
    assert!(grown(pool, &pool.silent) < 1.0, "{text}");
    // Two buffers of 16 KiB each.
    assert!(mib(kept.busy.resident_peak) > 9.0, "{text}");
    assert!(mib(kept.silent.resident) > mib(pool.silent.resident) + 5.0, "{text}");
}

#[test]
fn a_turn_that_went_wrong_is_an_error() {
    let options = options();
    let mut ended = Mark { peak: 1 << 20, ..Mark::default() };
    ended.ends[0] = 300;
    let tally = crate::linux::load::Tally { messages: 1, ..Default::default() };
    let mark = Mark::default();
    let (cpu, way) = (Duration::ZERO, Way::Pool);
    let good = Turn { way, tally, cpu, started: mark, connected: mark, busy: mark, silent: mark, ended };
    good.check(&options).unwrap();
    let wrong = |change: fn(&mut Turn)| {
        let mut turn = good.clone();
        change(&mut turn);
        turn.check(&options).unwrap_err().to_string()
    };
    assert!(wrong(|turn| turn.tally.lost = 1).contains("1 connections are lost"));
    assert!(wrong(|turn| turn.ended.ends = [299, 0, 0, 1, 0, 0]).contains("299 ended in order"));
    assert!(wrong(|turn| turn.tally.messages = 0).contains("no message"));
    assert!(wrong(|turn| turn.ended.peak += 1).contains("1048577 bytes in use, of a budget of 1048576"));
    assert!(wrong(|turn| turn.silent.out = 16384).contains("idle connections hold buffers of 16384 bytes"));
    assert_eq!(good.ended.ends.len(), ENDS);
}

/// Processes that this one has started and that run.
fn children(parent: u32) -> Vec<u32> {
    let entries = fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    let ids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    ids.filter(|&id| parent_of(id) == Some(parent)).collect()
}

/// None: it has ended.
fn parent_of(id: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    // After the name, which may contain anything: the state and the parent.
    let mut words = stat.rsplit(')').next()?.split_whitespace();
    let state = words.next()?;
    (!["Z", "X"].contains(&state)).then(|| words.next()?.parse().ok())?
}

fn wait_for(what: &str, so: impl Fn() -> bool) {
    let begun = Instant::now();
    while !so() {
        assert!(begun.elapsed() < LONG, "not in time: {what}");
        sleep(Duration::from_millis(5));
    }
}

/// Ends the process that measures, while there is traffic. All that it has started end, too.
fn ends_all(signal: Signal) {
    let mut main: Child = this_test(&[RUN.to_owned()]).unwrap().spawn().unwrap();
    wait_for("three processes", || children(main.id()).len() == 3);
    let parts = children(main.id());
    kill_process(Pid::from_child(&main), signal).unwrap();
    assert!(!main.wait().unwrap().success());
    wait_for("all have ended", || parts.iter().all(|&id| parent_of(id).is_none()));
}

#[test]
fn an_interrupt_leaves_no_process_behind() {
    ends_all(Signal::INT);
}

#[test]
fn a_kill_leaves_no_process_behind() {
    ends_all(Signal::KILL);
}
