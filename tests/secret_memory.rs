//! What a pool of secrets holds is in no core dump, in no child of a fork, not swapped out, and behind guards.
#![cfg(all(target_os = "linux", not(miri)))]
#![allow(unsafe_code)] // Forks, and asks for a core dump.

#[path = "support/child.rs"]
mod child;
#[path = "support/smaps.rs"]
mod smaps;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{self, Command};
use std::thread;
use std::time::Duration;

use millpond::{BufferPool, MemoryOption, Need, PooledBuf};
use smaps::area_of;

/// What is hidden, and what is not; each is put together at run time, so that the program itself holds neither.
const HIDDEN: u8 = 0x17;
const PLAIN: u8 = 0x71;
const LEN: usize = 48;
const SIZES: [usize; 4] = [100, 4096, 70_000, 3 << 20];
/// Where a child leaves its core.
const PLACE: &str = "MILLPOND_TEST_PLACE";

fn needle(kind: u8) -> impl Iterator<Item = u8> {
    (0..LEN as u8).map(move |place| std::hint::black_box(place.wrapping_mul(kind) ^ 0xA5))
}

fn fill(buf: &mut PooledBuf, kind: u8) {
    let middle = buf.len() / 2;
    buf[middle..].iter_mut().zip(needle(kind)).for_each(|(place, byte)| *place = byte);
}

fn holds(bytes: &[u8], kind: u8) -> bool {
    let needle: Vec<u8> = needle(kind).collect();
    // SAFETY: reads both slices.
    let found = unsafe { libc::memmem(bytes.as_ptr().cast(), bytes.len(), needle.as_ptr().cast(), LEN) };
    !found.is_null()
}

#[test]
fn every_buffer_is_locked_guarded_undumped_and_wiped_on_fork() {
    let pool = BufferPool::secret().build().unwrap();
    for size in SIZES {
        let buf = pool.get(size);
        let area = area_of(buf.as_ptr());
        for flag in ["lo", "dd", "wf"] {
            assert!(area.has(flag), "a buffer of {size} bytes lacks {flag}");
        }
    }
    let stats = pool.stats();
    let options =
        [MemoryOption::ExcludeFromDumps, MemoryOption::WipeOnFork, MemoryOption::GuardPages, MemoryOption::Locked];
    assert!(stats.memory.iter().map(|asked| asked.option).eq(options));
    assert!(stats.memory.iter().all(|asked| asked.need == Need::Prefer && asked.got == asked.asked && asked.got > 0));
}

#[test]
fn the_child_of_a_fork_has_no_secret() {
    let pool = BufferPool::secret().build().unwrap();
    let mut bufs = SIZES.map(|size| pool.get(size));
    bufs.iter_mut().for_each(|buf| fill(buf, HIDDEN));
    // SAFETY: the child looks at memory, drops what it has and ends.
    let child = unsafe { libc::fork() };
    assert!(child >= 0);
    if child == 0 {
        let zero = bufs.iter().all(|buf| buf.iter().all(|&byte| byte == 0));
        // The handles work: what they say of the bytes holds for zero, too.
        bufs.iter_mut().for_each(|buf| buf.fill(1));
        drop(bufs);
        // SAFETY: ends the process without the parent's exit handlers.
        unsafe { libc::_exit(if zero { 0 } else { 1 }) }
    }
    let mut status = 0;
    // SAFETY: our own child.
    assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
    assert_eq!(status, 0, "the child found something");
    assert!(bufs.iter().all(|buf| holds(buf, HIDDEN)));
}

/// A child holds a secret and something plain when its memory is written to a file.
#[test]
fn no_core_dump_has_a_secret() {
    if child::is_child() {
        hold_a_secret();
    }
    let place = std::env::temp_dir().join(format!("millpond-{}", process::id()));
    fs::create_dir_all(&place).unwrap();
    // SAFETY: this test alone uses the variable, and reads it in its child.
    unsafe { std::env::set_var(PLACE, &place) };
    let ended = child::run("no_core_dump_has_a_secret");
    let cores: Vec<PathBuf> = fs::read_dir(&place).unwrap().map(|entry| entry.unwrap().path()).collect();
    let checked: Vec<_> = cores.iter().map(|core| (core, fs::read(core).unwrap())).collect();
    fs::remove_dir_all(&place).unwrap();
    if checked.is_empty() {
        eprintln!("SKIPPED: no core file was written here ({ended}), and there is no gcore");
    }
    for (core, bytes) in checked {
        eprintln!("looked into {}", core.display());
        assert!(holds(&bytes, PLAIN), "{}: not the child's memory", core.display());
        assert!(!holds(&bytes, HIDDEN), "{}: the secret", core.display());
    }
}

fn hold_a_secret() -> ! {
    let place = std::env::var_os(PLACE).unwrap();
    std::env::set_current_dir(&place).unwrap();
    let (secrets, plain) = (BufferPool::secret().build().unwrap(), BufferPool::new());
    let mut hidden = SIZES.map(|size| secrets.get(size));
    hidden.iter_mut().for_each(|buf| fill(buf, HIDDEN));
    // Wiped by now, wherever it is.
    drop(secrets.copy_from(&hidden[0]));
    let mut shown = plain.get(4096);
    fill(&mut shown, PLAIN);
    dump_by_debugger(Path::new(&place));
    let limit = libc::rlimit { rlim_cur: libc::RLIM_INFINITY, rlim_max: libc::RLIM_INFINITY };
    // SAFETY: a limit that lives long enough.
    unsafe { libc::setrlimit(libc::RLIMIT_CORE, &raw const limit) };
    std::hint::black_box((&hidden, &shown));
    process::abort()
}

/// Has `gcore` write this process' memory, where there is one.
fn dump_by_debugger(place: &Path) {
    let myself = process::id().to_string();
    // SAFETY: lets any process of this user look at this one.
    unsafe { libc::prctl(libc::PR_SET_PTRACER, libc::PR_SET_PTRACER_ANY, 0, 0, 0) };
    let Ok(mut gcore) = Command::new("gcore").arg("-o").arg(place.join("gcore")).arg(myself).spawn() else { return };
    // It stops all threads, and this one with them.
    for _ in 0..600 {
        if gcore.try_wait().unwrap().is_some() {
            return;
        }
        thread::sleep(Duration::from_millis(100));
    }
    gcore.kill().unwrap();
    gcore.wait().unwrap();
}
