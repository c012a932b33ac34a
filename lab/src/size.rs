//! Sizes as people write them: `64KiB`, `1M`, `4096`.

use std::fmt;
use std::str::FromStr;

/// A number of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bytes(pub u64);

const UNITS: [(&str, u32); 4] = [("GiB", 30), ("MiB", 20), ("KiB", 10), ("B", 0)];

impl FromStr for Bytes {
    type Err = String;

    /// Digits, then nothing, `B`, or one of `K`, `M`, `G` with or without `B` or `iB`. Powers of 1024.
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is not a size; write 4096, 64KiB or 1MiB");
        let text = text.trim();
        let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = text.split_at(digits);
        let shift = match unit.trim().to_ascii_lowercase().as_str() {
            "" | "b" => 0,
            "k" | "kb" | "kib" => 10,
            "m" | "mb" | "mib" => 20,
            "g" | "gb" | "gib" => 30,
            _ => return Err(wrong()),
        };
        let number: u64 = number.parse().map_err(|_| wrong())?;
        number.checked_mul(1 << shift).map(Self).ok_or_else(wrong)
    }
}

impl fmt::Display for Bytes {
    /// Whole units where the size has them (`64KiB`), else one decimal (`1.5KiB`).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unit, shift) = UNITS.into_iter().find(|(_, shift)| self.0 >= 1 << shift).unwrap_or(("B", 0));
        let whole = self.0 >> shift;
        if whole << shift == self.0 {
            write!(f, "{whole}{unit}")
        } else {
            write!(f, "{:.1}{unit}", self.0 as f64 / (1u64 << shift) as f64)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Bytes;

    #[test]
    fn sizes_are_read_as_they_are_written() {
        for (text, bytes) in [("0", 0), ("4096", 4096), ("64KiB", 65536), ("1m", 1 << 20), ("2 GB", 2 << 30)] {
            assert_eq!(text.parse(), Ok(Bytes(bytes)), "{text}");
        }
    }

    #[test]
    fn what_is_no_size_is_refused_by_name() {
        for text in ["", "KiB", "-1", "1.5M", "12 parsecs", "99999999999G"] {
            let error = text.parse::<Bytes>().unwrap_err();
            assert!(error.contains(text), "{error}");
        }
    }

    #[test]
    fn sizes_are_printed_short() {
        for (bytes, text) in [(0, "0B"), (256, "256B"), (1536, "1.5KiB"), (65536, "64KiB"), (16 << 20, "16MiB")] {
            assert_eq!(Bytes(bytes).to_string(), text);
        }
    }
}
