//! Miri, and systems we know nothing of: there is nothing to ask for.

use std::ptr::NonNull;

use crate::memory::options::{Node, OsReason};

pub(in super::super) fn map_huge(_: usize) -> Result<NonNull<u8>, OsReason> {
    Err(OsReason::UNKNOWN)
}

pub(in super::super) unsafe fn allow_huge(_: NonNull<u8>, _: usize) -> Result<(), OsReason> {
    Err(OsReason::UNKNOWN)
}

pub(in super::super) unsafe fn lock(_: NonNull<u8>, _: usize) -> Result<(), OsReason> {
    Err(OsReason::UNKNOWN)
}

pub(in super::super) unsafe fn populate(_: NonNull<u8>, _: usize) -> Result<(), OsReason> {
    Err(OsReason::UNKNOWN)
}

pub(in super::super) unsafe fn exclude_from_dumps(_: NonNull<u8>, _: usize) -> Result<(), OsReason> {
    Err(OsReason::UNKNOWN)
}

pub(in super::super) unsafe fn wipe_on_fork(_: NonNull<u8>, _: usize) -> Result<(), OsReason> {
    Err(OsReason::UNKNOWN)
}

pub(in super::super) unsafe fn guard(_: NonNull<u8>, _: usize) -> Result<(), OsReason> {
    Err(OsReason::UNKNOWN)
}

pub(in super::super) unsafe fn place(_: NonNull<u8>, _: usize, _: Node) -> Result<(), OsReason> {
    Err(OsReason::UNKNOWN)
}
