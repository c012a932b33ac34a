//! Windows: large pages, locks and guards.

use std::ptr::{self, NonNull};

use windows_sys::Win32::Foundation::ERROR_WORKING_SET_QUOTA;
use windows_sys::Win32::System::Memory::{
    MEM_COMMIT, MEM_LARGE_PAGES, MEM_RESERVE, PAGE_NOACCESS, PAGE_READWRITE, VirtualAlloc, VirtualLock, VirtualProtect,
};
use windows_sys::Win32::System::Threading::{GetCurrentProcess, GetProcessWorkingSetSize, SetProcessWorkingSetSize};

use crate::memory::options::{Node, OsReason};

fn done(result: i32) -> Result<(), OsReason> {
    if result != 0 { Ok(()) } else { Err(OsReason::last()) }
}

/// Needs the right to lock pages in memory (`SeLockMemoryPrivilege`).
pub(in super::super) fn map_huge(len: usize) -> Result<NonNull<u8>, OsReason> {
    let kind = MEM_RESERVE | MEM_COMMIT | MEM_LARGE_PAGES;
    // SAFETY: the call makes a new reservation or fails; it touches no memory that exists.
    NonNull::new(unsafe { VirtualAlloc(ptr::null(), len, kind, PAGE_READWRITE) }.cast()).ok_or_else(OsReason::last)
}

pub(in super::super) unsafe fn allow_huge(_: NonNull<u8>, _: usize) -> Result<(), OsReason> {
    Err(OsReason::UNKNOWN)
}

/// A process may lock as much as its smallest working set holds, so that is made larger where it is too small.
pub(in super::super) unsafe fn lock(start: NonNull<u8>, len: usize) -> Result<(), OsReason> {
    let lock = || {
        // SAFETY: committed pages; changes no byte.
        done(unsafe { VirtualLock(start.as_ptr().cast(), len) })
    };
    match lock() {
        Err(reason) if reason.code() == Some(ERROR_WORKING_SET_QUOTA as i32) => {
            grow_working_set(len)?;
            lock()
        }
        locked => locked,
    }
}

fn grow_working_set(len: usize) -> Result<(), OsReason> {
    let (mut least, mut most) = (0, 0);
    // SAFETY: a handle that is always valid.
    let process = unsafe { GetCurrentProcess() };
    // SAFETY: two places for numbers.
    done(unsafe { GetProcessWorkingSetSize(process, &mut least, &mut most) })?;
    // SAFETY: numbers alone.
    done(unsafe { SetProcessWorkingSetSize(process, least + len, most + len) })
}

pub(in super::super) unsafe fn populate(start: NonNull<u8>, len: usize) -> Result<(), OsReason> {
    // SAFETY: the caller's.
    unsafe { super::touch(start, len) };
    Ok(())
}

pub(in super::super) unsafe fn exclude_from_dumps(_: NonNull<u8>, _: usize) -> Result<(), OsReason> {
    Err(OsReason::UNKNOWN)
}

/// Nobody forks here.
pub(in super::super) unsafe fn wipe_on_fork(_: NonNull<u8>, _: usize) -> Result<(), OsReason> {
    Ok(())
}

pub(in super::super) unsafe fn guard(start: NonNull<u8>, len: usize) -> Result<(), OsReason> {
    let mut before = 0;
    // SAFETY: the caller gives the pages up.
    done(unsafe { VirtualProtect(start.as_ptr().cast(), len, PAGE_NOACCESS, &mut before) })
}

pub(in super::super) unsafe fn place(_: NonNull<u8>, _: usize, _: Node) -> Result<(), OsReason> {
    Err(OsReason::UNKNOWN)
}
