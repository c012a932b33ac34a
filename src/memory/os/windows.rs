//! Windows: reservations that are committed whole, and a barrier that needs no registration.

use std::mem::MaybeUninit;
use std::ptr::{self, NonNull};

use windows_sys::Win32::System::Memory::{
    DiscardVirtualMemory, MEM_COMMIT, MEM_RELEASE, MEM_RESERVE, PAGE_READWRITE, VirtualAlloc, VirtualFree,
};
use windows_sys::Win32::System::SystemInformation::{GetSystemInfo, GlobalMemoryStatusEx, MEMORYSTATUSEX};
use windows_sys::Win32::System::Threading::FlushProcessWriteBuffers;

/// How often another thread may take an aligned address before we can.
const ATTEMPTS: usize = 16;

pub(super) fn page_size() -> usize {
    let mut info = MaybeUninit::uninit();
    // SAFETY: the call fills in the structure.
    unsafe { GetSystemInfo(info.as_mut_ptr()) };
    // SAFETY: filled in above.
    let info = unsafe { info.assume_init() };
    info.dwPageSize as usize
}

/// A reservation cannot be trimmed. Where the system's own alignment (64 KiB) does not do, this
/// finds an aligned address inside a larger reservation, gives that up and asks for the address.
///
/// `VirtualAlloc2` would align by itself, but a program that imports it does not start before
/// Windows 10 1803.
pub(super) fn map(len: usize, align: usize) -> Option<NonNull<u8>> {
    let base = map_at(ptr::null(), len, MEM_RESERVE | MEM_COMMIT)?;
    if base.addr().get() % align == 0 {
        return Some(base);
    }
    // SAFETY: mapped just now, and nobody knows it.
    unsafe { unmap(base, len, align) };
    let longer = len.checked_add(align)?;
    for _ in 0..ATTEMPTS {
        let reserved = map_at(ptr::null(), longer, MEM_RESERVE)?;
        let hint = reserved.as_ptr().wrapping_add(reserved.align_offset(align));
        // SAFETY: reserved just now, and nobody knows it.
        unsafe { unmap(reserved, longer, align) };
        if let Some(base) = map_at(hint, len, MEM_RESERVE | MEM_COMMIT) {
            return Some(base);
        }
    }
    None
}

fn map_at(address: *const u8, len: usize, kind: u32) -> Option<NonNull<u8>> {
    // SAFETY: the call makes a new reservation or fails; it touches no memory that exists.
    NonNull::new(unsafe { VirtualAlloc(address.cast(), len, kind, PAGE_READWRITE) }.cast())
}

pub(super) unsafe fn unmap(base: NonNull<u8>, _len: usize, _align: usize) {
    // A length of zero means the whole reservation.
    // SAFETY: `base` is the start of a reservation that the caller gives up.
    let freed = unsafe { VirtualFree(base.as_ptr().cast(), 0, MEM_RELEASE) };
    debug_assert!(freed != 0, "not the start of a reservation");
}

/// The pages leave the working set; their commit charge ends with the mapping.
pub(super) unsafe fn discard(start: NonNull<u8>, len: usize) -> bool {
    // SAFETY: whole committed pages that nobody uses. Should it fail, they stay as they are.
    unsafe { DiscardVirtualMemory(start.as_ptr().cast(), len) };
    false
}

pub(super) fn register_barrier() -> bool {
    true
}

pub(super) fn barrier() -> bool {
    // SAFETY: the call has no conditions.
    unsafe { FlushProcessWriteBuffers() };
    true
}

pub(super) fn usable_memory() -> Option<usize> {
    let mut status = MEMORYSTATUSEX { dwLength: size_of::<MEMORYSTATUSEX>() as u32, ..MEMORYSTATUSEX::default() };
    // SAFETY: the call fills in the structure, whose length is set.
    let known = unsafe { GlobalMemoryStatusEx(&mut status) } != 0;
    if known { usize::try_from(status.ullTotalPhys).ok() } else { None }
}

pub(super) fn cpu_here() -> Option<usize> {
    None
}

#[cfg(feature = "track")]
pub(super) fn thread_number() -> Option<u32> {
    // SAFETY: the call has no conditions.
    Some(unsafe { windows_sys::Win32::System::Threading::GetCurrentThreadId() })
}
