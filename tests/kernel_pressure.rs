//! Idle memory goes when the kernel tells that tasks of the process' control group wait for memory: nobody calls anything.
#![cfg(all(target_os = "linux", feature = "pressure", not(miri)))]
#![allow(unsafe_code)] // System calls.

#[path = "support/child.rs"]
mod child;
#[path = "support/random.rs"]
mod random;

use std::fs::{self, File};
use std::io::Write;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::os::unix::process::parent_id;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};

use millpond::{BufferPool, Recycled};
use random::Random;

const MIB: usize = 1 << 20;
/// Beyond this the group's tasks take memory back instead of working.
const LIMIT: usize = 40 * MIB;
const IDLE: usize = 8 * MIB;
/// Used again and again, and never all in memory.
const FILE: usize = 64 * MIB;
const PAGE: usize = 4096;

/// A control group of version 2, and where version 1 has memory, one of that beside it. Removed in the end.
struct Group(Vec<PathBuf>);

impl Group {
    /// Where the group of the test in this process is, or would be.
    fn folders(process: u32) -> [PathBuf; 3] {
        let below = |mount: &str| Path::new(mount).join(format!("millpond-test-{process}"));
        ["/sys/fs/cgroup", "/sys/fs/cgroup/unified", "/sys/fs/cgroup/memory"].map(below)
    }

    /// A group with the limit, or why there is none.
    fn new() -> Result<Self, String> {
        let [alone, beside, memory] = Self::folders(process::id());
        let mut group = Group(Vec::new());
        let limited = if Path::new("/sys/fs/cgroup/cgroup.controllers").exists() {
            group.add(&alone, "memory.high")
        } else {
            group.add(&beside, "cgroup.procs").and_then(|()| group.add(&memory, "memory.limit_in_bytes"))
        };
        limited.map(|()| group)
    }

    fn add(&mut self, folder: &Path, limit: &str) -> Result<(), String> {
        let failed = |what: &str, error| format!("{}: {what}: {error}", folder.display());
        fs::create_dir(folder).map_err(|error| failed("not made", error))?;
        self.0.push(folder.into());
        if limit != "cgroup.procs" {
            fs::write(folder.join(limit), LIMIT.to_string()).map_err(|error| failed(limit, error))?;
        }
        fs::read(folder.join("cgroup.procs")).map_err(|error| failed("no processes", error)).map(drop)
    }

    /// Moves this process into the group that its parent has made.
    fn enter() {
        let folders = Self::folders(parent_id()).into_iter().filter(|folder| folder.is_dir());
        folders.for_each(|folder| fs::write(folder.join("cgroup.procs"), process::id().to_string()).unwrap());
    }

    /// Whether the kernel tells that the tasks of that group wait for a tenth of the time.
    fn is_pressed() -> bool {
        let told = Self::folders(parent_id()).map(|folder| fs::read_to_string(folder.join("memory.pressure")));
        let shares = told.iter().flatten().filter_map(|told| told.strip_prefix("some avg10=")?.split(' ').next());
        shares.filter_map(|share| share.parse().ok()).any(|share: f32| share >= 10.0)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        for folder in &self.0 {
            // The child's end may reach the group a little later than its parent.
            let is_removed = || fs::remove_dir(folder).is_ok();
            let removed = (0..100).any(|_| is_removed() || (thread::sleep(Duration::from_millis(20)), false).1);
            assert!(removed || thread::panicking(), "{} is still there", folder.display());
        }
    }
}

/// A file that is removed in the end, filled by this process, whose group is charged for it.
struct Scratch(PathBuf, File);

impl Scratch {
    fn new() -> Self {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("millpond-pressure-{}", process::id()));
        let mut file = File::options().read(true).write(true).create(true).truncate(true).open(&path).unwrap();
        (0..FILE / MIB).for_each(|_| file.write_all(&[1; MIB]).unwrap());
        file.sync_all().unwrap();
        // SAFETY: advice on a file of our own.
        assert_eq!(unsafe { libc::posix_fadvise(file.as_raw_fd(), 0, 0, libc::POSIX_FADV_RANDOM) }, 0);
        Scratch(path, file)
    }

    /// Reads and writes here and there, each place again after another: what is used twice the kernel takes for needed, so
    /// that having to fetch it again counts as waiting for memory and not only for the disk.
    fn thrash(&self, seed: u64, over: &AtomicBool) {
        let (mut page, mut random, mut last) = ([0; PAGE], Random::new(seed), 0);
        while !over.load(SeqCst) {
            let place = (random.below(FILE / PAGE) * PAGE) as u64;
            [place, last].into_iter().for_each(|place| self.1.read_exact_at(&mut page, place).unwrap());
            self.1.write_all_at(&page, place).unwrap();
            last = place;
        }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        drop(fs::remove_file(&self.0));
    }
}

#[test]
fn idle_memory_goes_when_the_group_waits_for_memory() {
    if child::is_child() {
        return wait_for_memory();
    }
    match Group::new() {
        Ok(group) => {
            assert!(child::run("idle_memory_goes_when_the_group_waits_for_memory").success());
            drop(group);
        }
        Err(why) => eprintln!("SKIPPED, there is no control group to be had: {why}"),
    }
}

fn wait_for_memory() {
    Group::enter();
    // By default it would keep an eighth of the limit.
    let pool = BufferPool::builder().max_idle(IDLE).decay(Duration::MAX).build().unwrap();
    drop(pool.get_many([Recycled(IDLE / 8); 8]));
    thread::sleep(Duration::from_secs(4));
    assert_eq!(pool.stats().footprint as usize, IDLE, "nothing went without pressure");
    let (file, over, begin) = (Scratch::new(), AtomicBool::new(false), Instant::now());
    let mut pressed = false;
    thread::scope(|scope| {
        let (file, over) = (&file, &over);
        let threads = Vec::from_iter((1..5).map(|seed| scope.spawn(move || file.thrash(seed, over))));
        while pool.stats().footprint > 0 && begin.elapsed() < Duration::from_secs(90) {
            thread::sleep(Duration::from_millis(100));
            pressed |= Group::is_pressed();
        }
        over.store(true, SeqCst);
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    });
    eprintln!("{} bytes are left after {:?}", pool.stats().footprint, begin.elapsed());
    if pool.stats().footprint > 0 && !pressed {
        return eprintln!("SKIPPED, all that this test did made nobody wait for a tenth of the time");
    }
    assert_eq!(pool.stats().footprint, 0);
    assert!(pressed, "it went although nobody waited");
}
