//! The pattern that says whose bytes these are.
//!
//! A byte depends on the owner and on its place, so what another owner wrote shows, and so does what was moved. A few
//! bytes of each OS page and the last ones are stamped: enough to touch all of the memory, and to find who reaches into
//! it.

/// Bytes from one group of stamped ones to the next.
const STRIDE: usize = 4096;
const GROUP: usize = 8;

fn byte(owner: u64, place: usize) -> u8 {
    let mixed = (owner ^ (place as u64).rotate_left(20)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed >> 56) as u8
}

/// The stamped places of so many bytes.
fn places(len: usize) -> impl Iterator<Item = usize> {
    let groups = (0..len).step_by(STRIDE).flat_map(move |start| start..(start + GROUP).min(len));
    groups.chain(len.saturating_sub(GROUP)..len)
}

/// Makes these bytes `owner`'s.
pub fn set(bytes: &mut [u8], owner: u64) {
    for place in places(bytes.len()) {
        bytes[place] = byte(owner, place);
    }
}

/// Whether `bytes`, which begin at `at` of what was `len` bytes when it was stamped, are `owner`'s still.
pub fn check(bytes: &[u8], at: usize, len: usize, owner: u64) -> Result<(), String> {
    for place in places(len).filter(|place| (at..at + bytes.len()).contains(place)) {
        let (found, expected) = (bytes[place - at], byte(owner, place));
        if found != expected {
            return Err(format!(
                "byte {place} of {len} of owner {owner} is {found:#04x}, was stamped {expected:#04x}: two hands on one buffer"
            ));
        }
    }
    Ok(())
}

/// Whether all of these bytes are zero; by `memcmp`, for there are many of them.
pub fn check_zero(bytes: &[u8], what: &str) -> Result<(), String> {
    const ZERO: [u8; 4096] = [0; 4096];
    if bytes.chunks(ZERO.len()).all(|chunk| *chunk == ZERO[..chunk.len()]) {
        return Ok(());
    }
    let place = bytes.iter().position(|&byte| byte != 0).unwrap_or(0);
    Err(format!("byte {place} of {} {what} is {:#04x}, not zero", bytes.len(), bytes[place]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_is_the_owners_alone_and_parts_of_it_too() {
        for len in [0, 1, 7, 8, 15, 4096, 4097, 70_000] {
            let mut bytes = vec![0; len];
            set(&mut bytes, 7);
            assert_eq!(check(&bytes, 0, len, 7), Ok(()));
            assert_eq!(check(&bytes[len / 3..], len / 3, len, 7), Ok(()));
            assert!(len < 8 || check(&bytes, 0, len, 8).is_err());
        }
    }

    #[test]
    fn a_changed_byte_is_named() {
        let mut bytes = vec![0; 9000];
        set(&mut bytes, 1);
        bytes[8192] ^= 1;
        assert!(check(&bytes, 0, 9000, 1).unwrap_err().contains("byte 8192 of 9000"));
    }

    #[test]
    fn a_byte_that_is_not_zero_is_named() {
        let mut bytes = vec![0; 9000];
        assert_eq!(check_zero(&bytes, "zero bytes"), Ok(()));
        bytes[5000] = 1;
        assert_eq!(check_zero(&bytes, "zero bytes").unwrap_err(), "byte 5000 of 9000 zero bytes is 0x01, not zero");
    }
}
