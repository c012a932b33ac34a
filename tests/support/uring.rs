//! Rings, where the system lets a process have them.

use io_uring::{IoUring, cqueue, squeue};

/// A ring; or none, and says so, where the kernel has none or forbids it.
pub(crate) fn ring() -> Option<IoUring> {
    match IoUring::new(64) {
        Ok(ring) => Some(ring),
        Err(error) if matches!(error.raw_os_error(), Some(libc::EPERM | libc::EACCES | libc::ENOSYS)) => {
            eprintln!("SKIPPED, there is no io_uring to be had: {error}");
            None
        }
        Err(error) => panic!("{error}"),
    }
}

/// Pushes an operation, whose memory and file the test keeps until it has ended.
pub(crate) fn push(ring: &mut IoUring, entry: &squeue::Entry) {
    // SAFETY: the tests keep buffers and groups in the types that are tested, and files open.
    unsafe { ring.submission().push(entry) }.unwrap();
}

/// What comes out of the ring, one at least.
pub(crate) fn completions(ring: &mut IoUring) -> Vec<cqueue::Entry> {
    ring.submit_and_wait(1).unwrap();
    ring.completion().collect()
}

/// Does one operation, when no other is under way.
pub(crate) fn run(ring: &mut IoUring, entry: &squeue::Entry) -> cqueue::Entry {
    push(ring, entry);
    let [entry] = &completions(ring)[..] else { panic!("one completion") };
    entry.clone()
}
