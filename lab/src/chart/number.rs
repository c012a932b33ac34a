//! Numbers as charts and their tables show them.

use crate::size::Bytes;

/// Three digits that count; of what is less than one, two.
pub fn digits(value: f64) -> String {
    match value.abs() {
        below if below > 0.0 && below < 0.0995 => {
            let places = (1.0 - below.log10().floor()).min(12.0) as usize;
            format!("{value:.places$}")
        }
        below if below < 9.995 => format!("{value:.2}"),
        below if below < 99.95 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

/// A time of so many nanoseconds, in the unit that leaves it 1 or more.
pub fn time(nanoseconds: f64) -> String {
    let units = [(1e9, "s"), (1e6, "ms"), (1e3, "µs"), (1.0, "ns")];
    let (unit, name) = units.into_iter().find(|&(unit, _)| nanoseconds >= unit).unwrap_or((1.0, "ns"));
    format!("{} {name}", digits(nanoseconds / unit))
}

/// How many times as long.
pub fn times(ratio: f64) -> String {
    format!("{}×", digits(ratio))
}

pub fn bytes(bytes: u64) -> String {
    spaced(&Bytes(bytes).to_string())
}

/// `64KiB` as `64 KiB`.
fn spaced(size: &str) -> String {
    let unit = size.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(size.len());
    format!("{} {}", &size[..unit], &size[unit..])
}

/// A large count, in groups of three digits.
pub fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut grouped = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push(' ');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_digits_are_shown_with_their_unit() {
        assert_eq!([0.5, 9.999, 12.34, 999.4].map(digits), ["0.50", "10.0", "12.3", "999"]);
        assert_eq!(
            [0.0, 0.0712, 0.000_123, -0.05, 1e-300].map(digits),
            ["0.00", "0.071", "0.00012", "-0.050", "0.000000000000"]
        );
        assert_eq!([3.214, 1234.0, 5.6e7, 2e9].map(time), ["3.21 ns", "1.23 µs", "56.0 ms", "2.00 s"]);
        assert_eq!([0, 1536, 64 << 20].map(bytes), ["0 B", "1.5 KiB", "64 MiB"]);
        assert_eq!([7, 1000, 12_345_678].map(grouped), ["7", "1 000", "12 345 678"]);
    }
}
