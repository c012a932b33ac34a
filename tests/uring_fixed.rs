//! Fixed buffers: what is read and written is right whatever is registered, memory that came or went is not mistaken
//! for what was registered before, and who cannot register is told so and goes on.
#![cfg(all(target_os = "linux", feature = "io-uring-07", not(miri)))]
#![allow(unsafe_code)] // Operations are pushed.

#[path = "support/child.rs"]
mod child;
#[path = "support/limits.rs"]
mod limits;
#[path = "support/random.rs"]
mod random;
#[path = "support/uring.rs"]
mod uring;

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread;

use io_uring::opcode::{self, AsyncCancel};
use io_uring::types::{Fd, Fixed};
use io_uring::{IoUring, squeue};
use millpond::io_uring_07::FixedBuffers;
use millpond::{Budget, BufferPool, Memory, Need, PooledBuf, Recycled, Zeroing};
use random::Random;
use uring::{completions, push, ring, run};

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

/// A file that is removed in the end.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        Scratch(Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("millpond-uring-{name}-{}", process::id())))
    }

    fn options() -> fs::OpenOptions {
        let mut options = File::options();
        options.read(true).write(true).create(true);
        options
    }

    fn open(&self) -> File {
        Self::options().open(&self.0).unwrap()
    }

    /// Past the page cache, or not and says so, where the file system has nothing else.
    fn open_direct(&self) -> File {
        match Self::options().custom_flags(libc::O_DIRECT).open(&self.0) {
            Ok(file) => file,
            Err(error) => {
                eprintln!("WITHOUT O_DIRECT, which {} refuses: {error}", self.0.display());
                self.open()
            }
        }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        drop(fs::remove_file(&self.0));
    }
}

/// What stands in files at a place: nothing repeats, so what comes from elsewhere is seen.
fn fill(bytes: &mut [u8], offset: usize) {
    for (at, word) in bytes.chunks_mut(8).enumerate() {
        let value = ((offset + at * 8) as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15).to_le_bytes();
        word.copy_from_slice(&value[..word.len()]);
    }
}

#[track_caller]
fn check(bytes: &[u8], offset: usize) {
    let mut expected = vec![0; bytes.len()];
    fill(&mut expected, offset);
    let first_wrong = || bytes.iter().zip(&expected).position(|(is, should)| is != should);
    assert!(bytes == expected, "from {:?} on of {} bytes at {offset}", first_wrong(), bytes.len());
}

/// A file of so many bytes.
fn write_file(scratch: &Scratch, len: usize) {
    let (mut file, mut chunk) = (scratch.open(), vec![0; MIB]);
    for offset in (0..len).step_by(MIB) {
        fill(&mut chunk, offset);
        file.write_all(&chunk).unwrap();
    }
}

/// What stands in a large file: the same in each MiB but for the places of its blocks of 4 KiB, so that it is made at the speed of
/// a copy in debug builds, too.
struct Sheet(Vec<u8>);

impl Sheet {
    fn new() -> Self {
        let mut bytes = vec![0; MIB];
        fill(&mut bytes, 0);
        Sheet(bytes)
    }

    fn at(&mut self, offset: usize) -> &[u8] {
        for (at, block) in self.0.chunks_mut(4 * KIB).enumerate() {
            block[..8].copy_from_slice(&((offset + at * 4 * KIB) as u64).to_le_bytes());
        }
        &self.0
    }
}

fn is_fixed(entry: &squeue::Entry) -> bool {
    [opcode::ReadFixed::CODE, opcode::WriteFixed::CODE].map(u32::from).contains(&entry.get_opcode())
}

/// Reads with one operation, which completes.
fn read(ring: &mut IoUring, fixed: &mut FixedBuffers, file: &File, buf: PooledBuf, offset: usize) -> PooledBuf {
    let len = buf.len();
    let entry = fixed.read(Fd(file.as_raw_fd()), buf, offset as u64);
    let (buf, read) = fixed.complete(&run(ring, &entry)).unwrap();
    assert_eq!((read.unwrap(), buf.len()), (len, len));
    buf
}

#[test]
fn a_file_is_copied_past_the_page_cache() {
    const CHUNK: usize = 256 * KIB;
    const DEPTH: usize = 16;
    const LEN: usize = 1 << 30;
    let Some(mut ring) = ring() else { return };
    let (from, to) = (Scratch::new("from"), Scratch::new("to"));
    let (mut sheet, mut file) = (Sheet::new(), from.open());
    (0..LEN).step_by(MIB).for_each(|offset| file.write_all(sheet.at(offset)).unwrap());
    let (source, target) = (from.open_direct(), to.open_direct());
    let pool = BufferPool::builder().alignment(4096).size_classes([CHUNK]).build().unwrap();
    let mut free: Vec<PooledBuf> = pool.get_many([Recycled(CHUNK); DEPTH]).into_iter().collect();
    let mut fixed = FixedBuffers::register(&ring.submitter(), &pool, 64);
    eprintln!("{}", fixed.report());
    assert!(free.iter().all(|buf| fixed.is_registered(buf)), "{}", fixed.report());
    let [source, target] = [&source, &target].map(|file| Fd(file.as_raw_fd()));
    let (mut next, mut copied, mut places) = (0, 0, HashMap::new());
    while copied < LEN {
        while let Some(buf) = if next < LEN { free.pop() } else { None } {
            let entry = fixed.read(source, buf, next as u64);
            assert!(is_fixed(&entry));
            places.insert(entry.get_user_data(), (next, true));
            push(&mut ring, &entry);
            next += CHUNK;
        }
        for entry in completions(&mut ring) {
            let (place, is_read) = places.remove(&entry.user_data()).unwrap();
            let (buf, done) = fixed.complete(&entry).unwrap();
            assert_eq!(done.unwrap(), CHUNK);
            if is_read {
                let entry = fixed.write(target, buf, place as u64);
                assert!(is_fixed(&entry));
                places.insert(entry.get_user_data(), (place, false));
                push(&mut ring, &entry);
            } else {
                copied += CHUNK;
                free.push(buf);
            }
        }
    }
    assert_eq!(fixed.in_flight(), 0);
    fixed.unregister(&ring.submitter()).unwrap();
    let (mut copy, mut chunk) = (to.open(), vec![0; MIB]);
    for offset in (0..LEN).step_by(MIB) {
        copy.read_exact(&mut chunk).unwrap();
        assert!(chunk == sheet.at(offset), "in the MiB at {offset}");
    }
    assert_eq!(copy.metadata().unwrap().len(), LEN as u64);
}

/// Ends another thread, also when this one panics.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, SeqCst);
    }
}

/// The ring's owner reads into buffers of all sizes while another thread takes memory and gives it back.
#[test]
fn regions_come_and_go_while_files_are_read() {
    const LEN: usize = 4 * MIB;
    let rounds = if cfg!(debug_assertions) { 500 } else { 10_000 };
    let Some(mut ring) = ring() else { return };
    let scratch = Scratch::new("regions");
    write_file(&scratch, LEN);
    let file = scratch.open();
    // What comes home goes back to the system at once, regions with it.
    let pool = BufferPool::builder().max_idle(0).thread_cache(0).size_classes([4 * KIB, 64 * KIB, 2 * MIB]).build();
    let pool = pool.unwrap();
    let mut fixed = FixedBuffers::register(&ring.submitter(), &pool, 8);
    let (over, mut random, mut kept) = (AtomicBool::new(false), Random::new(3), Vec::new());
    let (mut with_fixed, mut with_others) = (0, 0);
    thread::scope(|scope| {
        scope.spawn(|| {
            let (mut random, mut kept) = (Random::new(5), Vec::new());
            while !over.load(SeqCst) {
                let size = [4 * KIB, 64 * KIB, 2 * MIB][random.below(3)];
                kept.push(pool.get(Recycled(size)));
                if random.below(4) == 0 {
                    kept.clear();
                }
                thread::yield_now();
            }
        });
        let _over = Over(&over);
        for _ in 0..rounds {
            if random.below(3) == 0 {
                fixed.update(&ring.submitter());
            }
            let size = [4 * KIB, 64 * KIB, 2 * MIB][random.below(40).saturating_sub(37)];
            let offset = random.below((LEN - size) / 8) * 8;
            let mut buf = pool.get(Recycled(size));
            buf.fill(0xEE);
            let entry = fixed.read(Fd(file.as_raw_fd()), buf, offset as u64);
            *(if is_fixed(&entry) { &mut with_fixed } else { &mut with_others }) += 1;
            let (buf, read) = fixed.complete(&run(&mut ring, &entry)).unwrap();
            assert_eq!(read.unwrap(), size);
            check(&buf, offset);
            kept.push(buf);
            if random.below(3) == 0 {
                kept.clear();
            }
        }
    });
    eprintln!("{with_fixed} with registered memory, {with_others} without; {}", fixed.report());
    assert!(with_fixed > rounds / 20 && with_others > rounds / 20);
    kept.clear();
    fixed.update(&ring.submitter());
    assert_eq!((fixed.report().regions, fixed.report().registered), (0, 0));
    fixed.unregister(&ring.submitter()).unwrap();
}

/// The place of a region that went is not used for the one that has its number now, although it may have the address,
/// too.
#[test]
fn what_was_registered_before_is_not_used_for_what_came_after() {
    let Some(mut ring) = ring() else { return };
    let scratch = Scratch::new("before");
    write_file(&scratch, 4 * MIB);
    let file = scratch.open();
    let pool = BufferPool::builder().max_idle(0).thread_cache(0).build().unwrap();
    let first = pool.get(Recycled(3 * MIB));
    let mut fixed = FixedBuffers::register(&ring.submitter(), &pool, 8);
    assert!(fixed.is_registered(&first));
    let (place, region) = (first.as_ptr(), first.region());
    drop(first);
    let second = pool.get(Recycled(3 * MIB));
    assert_eq!(second.region(), region);
    eprintln!("the same address: {}", second.as_ptr() == place);
    assert!(!fixed.is_registered(&second), "it is other memory");
    let second = read(&mut ring, &mut fixed, &file, second, 8);
    check(&second, 8);
    fixed.update(&ring.submitter());
    assert!(fixed.is_registered(&second));
    check(&read(&mut ring, &mut fixed, &file, second, 800), 800);
    fixed.unregister(&ring.submitter()).unwrap();
}

#[test]
fn what_is_not_in_the_table_is_used_all_the_same() {
    let Some(mut ring) = ring() else { return };
    let scratch = Scratch::new("others");
    write_file(&scratch, 4 * MIB);
    let file = scratch.open();
    ring.submitter().register_files(&[file.as_raw_fd()]).unwrap();
    let pool = BufferPool::new();
    let bufs = [1000, 100 * KIB, 3 * MIB].map(|size| pool.get(Recycled(size)));
    // There is no room for the third.
    let mut fixed = FixedBuffers::register(&ring.submitter(), &pool, 2);
    let report = fixed.report();
    assert_eq!((report.regions, report.registered, report.capacity, report.reason), (3, 2, 2, None));
    assert_eq!(report.to_string(), "2 of 3 regions are registered, of 2 that could be");
    assert_eq!(bufs.each_ref().map(|buf| fixed.is_registered(buf)), [true, true, false]);
    let others = [
        BufferPool::new(),
        BufferPool::builder().memory(Memory::heap()).build().unwrap(),
        BufferPool::builder().memory(Memory::mapped().guard_pages(Need::Prefer)).build().unwrap(),
    ];
    for buf in bufs.into_iter().chain(others.iter().map(|pool| pool.get(Recycled(1000)))) {
        let (is_registered, len) = (fixed.is_registered(&buf), buf.len());
        let entry = fixed.read(Fixed(0), buf, 4096);
        assert_eq!(is_fixed(&entry), is_registered);
        let (mut buf, done) = fixed.complete(&run(&mut ring, &entry)).unwrap();
        assert_eq!(done.unwrap(), len);
        check(&buf, 4096);
        fill(&mut buf, 77);
        let entry = fixed.write(Fixed(0), buf, 10);
        assert_eq!(is_fixed(&entry), is_registered);
        let (buf, done) = fixed.complete(&run(&mut ring, &entry)).unwrap();
        assert_eq!((done.unwrap(), buf.len()), (len, len));
        check(&read(&mut ring, &mut fixed, &file, buf, 10), 77);
        write_file(&scratch, 4 * MIB);
    }
    fixed.unregister(&ring.submitter()).unwrap();
}

/// The kernel takes no more at once.
#[test]
fn a_region_above_a_gibibyte_is_used_all_the_same() {
    let Some(mut ring) = ring() else { return };
    let scratch = Scratch::new("gibibyte");
    write_file(&scratch, MIB);
    let pool = BufferPool::builder().budget(&Budget::new(usize::MAX)).build().unwrap();
    // Nothing of it is touched but what is read.
    let (mut large, small) = (pool.get(Recycled((1 << 30) + MIB)), pool.get(Recycled(4 * KIB)));
    let mut fixed = FixedBuffers::register(&ring.submitter(), &pool, 8);
    let report = fixed.report();
    assert_eq!((report.regions, report.registered), (2, 1));
    assert_eq!(report.reason.and_then(|reason| reason.code()), Some(libc::EFAULT));
    assert_eq!([&large, &small].map(|buf| fixed.is_registered(buf)), [false, true]);
    large.truncate(8 * KIB);
    check(&read(&mut ring, &mut fixed, &scratch.open(), large, 16), 16);
    fixed.unregister(&ring.submitter()).unwrap();
}

#[test]
fn a_ring_that_has_a_table_gets_no_other() {
    let Some(mut ring) = ring() else { return };
    let scratch = Scratch::new("table");
    write_file(&scratch, MIB);
    ring.submitter().register_buffers_sparse(4).unwrap();
    let pool = BufferPool::new();
    let mut fixed = FixedBuffers::register(&ring.submitter(), &pool, 8);
    let report = fixed.report();
    assert_eq!((report.capacity, report.reason.and_then(|reason| reason.code())), (0, Some(libc::EBUSY)));
    assert!(report.to_string().contains("busy"), "{report}");
    let buf = read(&mut ring, &mut fixed, &scratch.open(), pool.get(Recycled(5000)), 16);
    check(&buf, 16);
    fixed.unregister(&ring.submitter()).unwrap();
    ring.submitter().unregister_buffers().expect("theirs is there still");
}

#[test]
fn the_end_of_a_file_and_an_error_say_how_long_the_buffer_is() {
    let Some(mut ring) = ring() else { return };
    let scratch = Scratch::new("end");
    write_file(&scratch, MIB);
    let (file, pool) = (scratch.open(), BufferPool::builder().zeroing(Zeroing::OnReturn).build().unwrap());
    let mut fixed = FixedBuffers::register(&ring.submitter(), &pool, 8);
    let entry = fixed.read(Fd(file.as_raw_fd()), pool.get(8192), (MIB - 1000) as u64);
    let (buf, done) = fixed.complete(&run(&mut ring, &entry)).unwrap();
    assert_eq!((done.unwrap(), buf.len()), (1000, 1000));
    check(&buf, MIB - 1000);
    let place = buf.as_ptr();
    drop(buf);
    let buf = pool.get(Recycled(8192));
    assert!(buf.as_ptr() == place && buf.iter().all(|&byte| byte == 0), "wiped");
    let folder = File::open("/").unwrap();
    let entry = fixed.read(Fd(folder.as_raw_fd()), buf, 0);
    let (buf, done) = fixed.complete(&run(&mut ring, &entry)).unwrap();
    assert_eq!((done.unwrap_err().raw_os_error(), buf.len()), (Some(libc::EISDIR), 0));
    let full = File::options().write(true).open("/dev/full").unwrap();
    let entry = fixed.write(Fd(full.as_raw_fd()), pool.copy_from(b"no room"), 0);
    let (buf, done) = fixed.complete(&run(&mut ring, &entry)).unwrap();
    assert_eq!((done.unwrap_err().kind(), &buf[..]), (io::ErrorKind::StorageFull, &b"no room"[..]));
    fixed.unregister(&ring.submitter()).unwrap();
}

#[test]
fn a_completion_is_worth_one_buffer_of_its_instance() {
    let Some(mut ring) = ring() else { return };
    let scratch = Scratch::new("once");
    write_file(&scratch, MIB);
    let (file, pool) = (scratch.open(), BufferPool::new());
    let mut fixed = FixedBuffers::register(&ring.submitter(), &pool, 8);
    let mut other = FixedBuffers::register(&ring.submitter(), &pool, 8);
    let entry = fixed.read(Fd(file.as_raw_fd()), pool.get(Recycled(100)), 0);
    assert!(fixed.is_in_flight(entry.get_user_data()) && !other.is_in_flight(entry.get_user_data()));
    let nothing = run(&mut ring, &opcode::Nop::new().build().user_data(5));
    assert!(fixed.complete(&nothing).is_none());
    let done = run(&mut ring, &entry);
    assert!(other.complete(&done).is_none());
    assert_eq!(fixed.complete(&done).unwrap().0.len(), 100);
    assert!(fixed.complete(&done).is_none());
    // The next has its place.
    let next = fixed.read(Fd(file.as_raw_fd()), pool.get(Recycled(200)), 0);
    assert!(fixed.complete(&done).is_none());
    let mut forged = done.clone();
    forged.set_user_data(next.get_user_data() ^ 1);
    assert!(fixed.complete(&forged).is_none());
    assert_eq!(fixed.in_flight(), 1);
    assert_eq!(fixed.withdraw(&next).unwrap().len(), 200);
    assert!(fixed.withdraw(&next).is_none());
    fixed.unregister(&ring.submitter()).unwrap();
    other.unregister(&ring.submitter()).unwrap();
    assert_eq!(pool.stats().outstanding, 0);
}

/// Operations on a socket to which nothing comes.
fn wait_for_input(ring: &mut IoUring, fixed: &mut FixedBuffers, socket: Fd, bufs: Vec<PooledBuf>) -> Vec<u64> {
    let start = |buf| {
        let entry = fixed.read(socket, buf, 0);
        assert!(is_fixed(&entry));
        push(ring, &entry);
        entry.get_user_data()
    };
    let user_data = bufs.into_iter().map(start).collect();
    assert_eq!(ring.submit().unwrap(), 8);
    user_data
}

#[test]
fn buffers_in_flight_come_home_when_they_are_cancelled() {
    let Some(mut ring) = ring() else { return };
    let (input, _output) = UnixStream::pair().unwrap();
    let pool = BufferPool::builder().max_idle(0).thread_cache(0).build().unwrap();
    let bufs = pool.get_many([Recycled(4096); 8]).into_iter().collect();
    let mut fixed = FixedBuffers::register(&ring.submitter(), &pool, 8);
    let user_data = wait_for_input(&mut ring, &mut fixed, Fd(input.as_raw_fd()), bufs);
    let refused = fixed.unregister(&ring.submitter()).unwrap_err();
    assert_eq!(refused.reason().kind(), io::ErrorKind::ResourceBusy);
    assert_eq!(refused.to_string(), "buffers stay registered: 8 operations are in flight");
    fixed = refused.into_inner();
    assert_eq!((fixed.in_flight(), pool.stats().outstanding), (8, 8 * 4096));
    user_data.iter().for_each(|&user_data| push(&mut ring, &AsyncCancel::new(user_data).build()));
    let mut cancelled = 0;
    while cancelled < 8 {
        for entry in completions(&mut ring) {
            let Some((buf, done)) = fixed.complete(&entry) else { continue };
            assert_eq!((done.unwrap_err().raw_os_error(), buf.len()), (Some(libc::ECANCELED), 0));
            cancelled += 1;
        }
    }
    assert_eq!((pool.stats().outstanding, pool.stats().footprint, pool.regions().len()), (0, 0, 0));
    fixed.unregister(&ring.submitter()).unwrap();
}

#[test]
fn buffers_in_flight_are_lost_with_the_instance_and_not_used_again() {
    let Some(mut ring) = ring() else { return };
    let (input, mut output) = UnixStream::pair().unwrap();
    let pool = BufferPool::builder().max_memory(8 * 4096).size_classes([4096]).build().unwrap();
    let bufs = pool.get_many([Recycled(4096); 8]).into_iter().collect();
    let mut fixed = FixedBuffers::register(&ring.submitter(), &pool, 8);
    wait_for_input(&mut ring, &mut fixed, Fd(input.as_raw_fd()), bufs);
    drop(fixed);
    assert_eq!(pool.stats().outstanding, 8 * 4096);
    assert!(pool.try_get(1).is_err());
    output.write_all(&[1; 100]).unwrap();
    assert_eq!(completions(&mut ring)[0].result(), 100);
}

#[test]
fn who_may_lock_no_memory_is_told_and_goes_on() {
    if child::is_child() {
        limits::limit_locked_memory(4 * MIB);
        let Some(mut ring) = ring() else { return };
        let scratch = Scratch::new("limit");
        write_file(&scratch, 4 * MIB);
        let (file, pool) = (scratch.open(), BufferPool::builder().max_idle(0).thread_cache(0).build().unwrap());
        // Two regions of 3 MiB.
        let bufs = [3 * MIB; 2].map(|size| pool.get(Recycled(size)));
        let mut fixed = FixedBuffers::register(&ring.submitter(), &pool, 64);
        let report = fixed.report();
        eprintln!("{report}");
        assert_eq!((report.regions, report.registered), (2, 1));
        assert_eq!(report.reason.unwrap().code(), Some(libc::ENOMEM));
        assert!(report.to_string().contains("the system says: Cannot allocate memory"), "{report}");
        let of_which = bufs.each_ref().map(|buf| fixed.is_registered(buf));
        assert!(of_which.contains(&true) && of_which.contains(&false));
        for buf in bufs {
            let buf = read(&mut ring, &mut fixed, &file, buf, 24);
            check(&buf, 24);
        }
        // Both have gone. A third is within the limit, once the kernel has let go of the first.
        let large = pool.get(Recycled(3 * MIB));
        for _ in 0..500 {
            let other = pool.get(Recycled(KIB));
            fixed.update(&ring.submitter());
            drop(other);
            fixed.update(&ring.submitter());
            if fixed.is_registered(&large) {
                break;
            }
            thread::sleep(std::time::Duration::from_millis(10));
        }
        assert!(fixed.is_registered(&large), "{}", fixed.report());
        assert_eq!(fixed.report().reason, None);
        check(&read(&mut ring, &mut fixed, &file, large, 32), 32);
        return fixed.unregister(&ring.submitter()).unwrap();
    }
    assert!(child::run("who_may_lock_no_memory_is_told_and_goes_on").success());
}
