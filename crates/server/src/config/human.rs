//! Lengths of time and sizes as people write them: `1h30m`, `500ms`, `4 MiB`.
//!
//! A bare number is no length of time: the unit is what makes it readable and what prevents a factor of 1000.
//! Sizes are binary; decimal units (`MB`) are refused rather than guessed.

use std::time::Duration;

/// Units of time, longest first, in milliseconds.
const TIME_UNITS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// Units of size, largest first, in bytes.
const SIZE_UNITS: [(&str, u64); 4] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

/// Reads whole numbers with units, longest unit first, each at most once: `1h30m`.
pub fn parse_duration(text: &str) -> Option<Duration> {
    let mut rest = text.trim();
    let mut units = TIME_UNITS.iter();
    let mut total = 0_u64;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let (number, after) = leading_number(rest)?;
        let end = after.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(after.len());
        let (unit, after) = after.split_at(end);
        let (_, millis) = units.find(|(name, _)| *name == unit)?;
        total = total.checked_add(number.checked_mul(*millis)?)?;
        rest = after.trim_start();
    }
    Some(Duration::from_millis(total))
}

/// Writes a length of time such that [`parse_duration`] reads it back, to the millisecond.
pub(super) fn format_duration(duration: Duration) -> String {
    let mut rest = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    if rest == 0 {
        return "0s".to_owned();
    }
    let mut text = String::new();
    for (name, millis) in TIME_UNITS {
        if rest >= millis {
            text.push_str(&format!("{}{name}", rest / millis));
            rest %= millis;
        }
    }
    text
}

/// Reads `4 MiB`, `512KiB` or a plain number of bytes.
pub fn parse_size(text: &str) -> Option<u64> {
    let (number, unit) = leading_number(text.trim())?;
    let unit = unit.trim_start();
    let (_, bytes) = SIZE_UNITS.iter().find(|(name, _)| *name == unit || (unit.is_empty() && *name == "B"))?;
    number.checked_mul(*bytes)
}

/// Writes a size in the largest unit that leaves no rest.
pub(super) fn format_size(bytes: u64) -> String {
    let whole = SIZE_UNITS.iter().find(|(_, unit)| bytes >= *unit && bytes.is_multiple_of(*unit));
    whole.map_or_else(|| format!("{bytes} B"), |(name, unit)| format!("{} {name}", bytes / unit))
}

fn leading_number(text: &str) -> Option<(u64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    Some((digits.parse().ok()?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_length_of_time_is_refused() {
        for text in
            ["", " ", "30", "s", "-1s", "1.5h", "30 parsecs", "30m1h", "1s1s", "1ms1s", "30S", "99999999999999d"]
        {
            assert_eq!(parse_duration(text), None, "{text:?}");
        }
    }

    #[test]
    fn a_length_of_time_is_read() {
        for (text, millis) in
            [("30s", 30_000), ("5m", 300_000), ("1h30m", 5_400_000), ("500ms", 500), ("1d 2h", 93_600_000), ("0s", 0)]
        {
            assert_eq!(parse_duration(text), Some(Duration::from_millis(millis)), "{text:?}");
        }
    }

    #[test]
    fn what_is_no_size_is_refused() {
        for text in ["", "MiB", "-1", "4 MB", "4 mib", "1.5 MiB", "4 MiB 2", "99999999999 GiB"] {
            assert_eq!(parse_size(text), None, "{text:?}");
        }
    }

    #[test]
    fn a_size_is_read() {
        for (text, bytes) in
            [("4 MiB", 4 << 20), ("512KiB", 512 << 10), ("65536", 65536), ("1 B", 1), ("1GiB", 1 << 30)]
        {
            assert_eq!(parse_size(text), Some(bytes), "{text:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn what_is_written_is_read_back(millis in 0..u64::MAX, bytes in 0..u64::MAX) {
            let duration = Duration::from_millis(millis);
            proptest::prop_assert_eq!(parse_duration(&format_duration(duration)), Some(duration));
            proptest::prop_assert_eq!(parse_size(&format_size(bytes)), Some(bytes));
        }

        #[test]
        fn no_text_makes_a_reader_panic(text in ".*") {
            parse_duration(&text);
            parse_size(&text);
        }
    }
}
