//! Every unix but Linux: locks and guards.

use std::ptr::NonNull;

use crate::memory::options::{Node, OsReason};

fn done(result: i32) -> Result<(), OsReason> {
    if result == 0 { Ok(()) } else { Err(OsReason::last()) }
}

pub(in super::super) fn map_huge(_: usize) -> Result<NonNull<u8>, OsReason> {
    Err(OsReason::UNKNOWN)
}

pub(in super::super) unsafe fn allow_huge(_: NonNull<u8>, _: usize) -> Result<(), OsReason> {
    Err(OsReason::UNKNOWN)
}

pub(in super::super) unsafe fn lock(start: NonNull<u8>, len: usize) -> Result<(), OsReason> {
    // SAFETY: changes no byte.
    done(unsafe { libc::mlock(start.as_ptr().cast(), len) })
}

pub(in super::super) unsafe fn populate(start: NonNull<u8>, len: usize) -> Result<(), OsReason> {
    // SAFETY: the caller's.
    unsafe { super::touch(start, len) };
    Ok(())
}

pub(in super::super) unsafe fn exclude_from_dumps(_: NonNull<u8>, _: usize) -> Result<(), OsReason> {
    Err(OsReason::UNKNOWN)
}

pub(in super::super) unsafe fn wipe_on_fork(_: NonNull<u8>, _: usize) -> Result<(), OsReason> {
    Err(OsReason::UNKNOWN)
}

pub(in super::super) unsafe fn guard(start: NonNull<u8>, len: usize) -> Result<(), OsReason> {
    // SAFETY: the caller gives the pages up.
    done(unsafe { libc::mprotect(start.as_ptr().cast(), len, libc::PROT_NONE) })
}

pub(in super::super) unsafe fn place(_: NonNull<u8>, _: usize, _: Node) -> Result<(), OsReason> {
    Err(OsReason::UNKNOWN)
}
