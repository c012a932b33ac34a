//! Are these bytes zero? By `memcmp`, because these tests ask it of gigabytes in debug builds.

pub(crate) fn is_zero(bytes: &[u8]) -> bool {
    const ZERO: [u8; 4096] = [0; 4096];
    bytes.chunks(ZERO.len()).all(|chunk| *chunk == ZERO[..chunk.len()])
}
