//! Which memory is really there, for the tests that claim it went back.
#![allow(unsafe_code)] // Asks the system about raw memory.

use std::ptr::NonNull;

use super::os;

/// Bytes of `len` at `start` (whole OS pages) that are in memory.
pub(super) fn resident_bytes(start: NonNull<u8>, len: usize) -> usize {
    let page = os::page_size();
    let mut pages = vec![0u8; len / page];
    // SAFETY: the vector has a byte for each page asked about; the call fails where nothing is
    // mapped.
    let result = unsafe { libc::mincore(start.as_ptr().cast(), len, pages.as_mut_ptr()) };
    assert_eq!(result, 0, "mincore: {}", std::io::Error::last_os_error());
    pages.iter().filter(|&&page| page & 1 == 1).count() * page
}
