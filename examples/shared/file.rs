//! The memory: a file without a name, of which each region is a part.
#![allow(unsafe_code)] // System calls, and a source is an unsafe trait.

use std::alloc::Layout;
use std::collections::HashMap;
use std::error::Error;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::ptr::{self, NonNull};
use std::sync::Mutex;

use millpond::{MemorySource, Region, SourceMemory};

/// Regions in a file that grows. Parts that were given up are holes, and are not used again.
#[derive(Debug)]
pub(crate) struct SharedFile {
    file: File,
    parts: Mutex<Parts>,
}

#[derive(Debug, Default)]
struct Parts {
    end: u64,
    /// Where in the file a mapping starts, by its address.
    starts: HashMap<usize, u64>,
}

impl SharedFile {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(SharedFile { file: nameless()?, parts: Mutex::default() })
    }

    pub(crate) fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    /// Where in the file a region starts.
    pub(crate) fn start_of(&self, region: &Region) -> Option<u64> {
        self.parts.lock().ok()?.starts.get(&region.as_ptr().addr()).copied()
    }
}

#[cfg(target_os = "linux")]
fn nameless() -> io::Result<File> {
    use std::os::fd::FromRawFd;

    // SAFETY: the name ends with a zero.
    let file = unsafe { libc::memfd_create(c"millpond-shared".as_ptr(), libc::MFD_CLOEXEC) };
    if file < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: just opened, and nobody else's.
    Ok(unsafe { File::from_raw_fd(file) })
}

#[cfg(not(target_os = "linux"))]
fn nameless() -> io::Result<File> {
    let path = std::env::temp_dir().join(format!("millpond-shared-{}", std::process::id()));
    let file = File::options().read(true).write(true).create_new(true).open(&path)?;
    std::fs::remove_file(path)?;
    Ok(file)
}

/// Maps a part of a file, to be read and written, and shared.
pub(crate) fn map(file: BorrowedFd<'_>, start: u64, len: usize) -> io::Result<NonNull<u8>> {
    let start = libc::off_t::try_from(start).map_err(io::Error::other)?;
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: a new mapping, at an address of the system's choice.
    let at = unsafe { libc::mmap(ptr::null_mut(), len, protection, libc::MAP_SHARED, file.as_raw_fd(), start) };
    if at == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    NonNull::new(at.cast()).ok_or_else(|| io::Error::other("mapped at address 0"))
}

// SAFETY: 1: each part of the file is mapped once here, and nowhere but at a peer that keeps to the contract. 2: a file
// is zero where it was never written. 3: so is a hole.
unsafe impl MemorySource for SharedFile {
    fn allocate(&self, layout: Layout) -> Result<SourceMemory, Box<dyn Error + Send + Sync>> {
        let mut parts = self.parts.lock().map_err(|_| "a thread panicked here")?;
        let (start, end) = (parts.end, parts.end + layout.size() as u64);
        self.file.set_len(end)?;
        // What has to be aligned to more than an OS page is refused by the pool, which looks.
        let memory = map(self.file.as_fd(), start, layout.size())?;
        parts.end = end;
        parts.starts.insert(memory.addr().get(), start);
        Ok(SourceMemory::zeroed(memory))
    }

    unsafe fn release(&self, ptr: NonNull<u8>, layout: Layout) {
        if let Ok(mut parts) = self.parts.lock() {
            parts.starts.remove(&ptr.addr().get());
        }
        // SAFETY: the caller's: nobody uses the bytes, and a peer has them no more.
        unsafe { self.release_zeroes(ptr, layout.size()) };
        // SAFETY: mapped above with this length, and nobody uses it.
        unsafe { libc::munmap(ptr.as_ptr().cast(), layout.size()) };
    }

    #[cfg(target_os = "linux")]
    unsafe fn release_zeroes(&self, ptr: NonNull<u8>, len: usize) -> bool {
        // SAFETY: the caller's: pages of one mapping that nobody uses. They are holes of the file then.
        unsafe { libc::madvise(ptr.as_ptr().cast(), len, libc::MADV_REMOVE) == 0 }
    }
}
