//! Points in time and lengths of time, in milliseconds.
//!
//! The wire speaks RFC 3339: we write milliseconds and `Z`, and read any offset and up to nine fractional digits.
//! Nothing here reads a clock.

use std::fmt;
use std::ops::Add;
use std::str::FromStr;
use std::time::Duration;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// A length of time in whole milliseconds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Millis(u64);

impl Millis {
    /// No time at all.
    pub const ZERO: Self = Self(0);

    /// This many milliseconds.
    pub const fn new(millis: u64) -> Self {
        Self(millis)
    }

    /// This many seconds; the longest length of time if that overflows.
    pub const fn from_secs(secs: u64) -> Self {
        Self(secs.saturating_mul(1_000))
    }

    /// The number of milliseconds.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// As the standard library has it.
    pub const fn as_duration(self) -> Duration {
        Duration::from_millis(self.0)
    }
}

impl From<Duration> for Millis {
    fn from(duration: Duration) -> Self {
        Self(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
    }
}

/// A point in time: milliseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Timestamp(u64);

/// Why a text is not a point in time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TimestampError {
    /// Not RFC 3339.
    #[error("must be an RFC 3339 timestamp such as 2026-05-13T19:42:13Z")]
    Format,
    /// Before 1970 or after the year 9999.
    #[error("must lie between the years 1970 and 9999")]
    Range,
}

impl Timestamp {
    /// 9999-12-31T23:59:59.999Z: RFC 3339 has no later one.
    pub const MAX: Self = Self(253_402_300_799_999);

    /// The point this many milliseconds after the Unix epoch; [`Self::MAX`] for any later one.
    pub const fn from_unix_millis(millis: u64) -> Self {
        if millis > Self::MAX.0 { Self::MAX } else { Self(millis) }
    }

    /// Milliseconds since the Unix epoch.
    pub const fn as_unix_millis(self) -> u64 {
        self.0
    }

    /// How long after `earlier` this is; zero if it is not.
    pub const fn since(self, earlier: Self) -> Millis {
        Millis(self.0.saturating_sub(earlier.0))
    }

    /// What [`fmt::Display`] writes, without going through it: every event has its time written once.
    pub fn to_text(self) -> TimestampText {
        let (days, of_day) = (self.0 / DAY, self.0 % DAY);
        let (year, month, day) = civil(days);
        let mut text = *b"0000-00-00T00:00:00.000Z";
        for (place, digits, number) in [
            (0, 4, year),
            (5, 2, month),
            (8, 2, day),
            (11, 2, of_day / 3_600_000),
            (14, 2, of_day / 60_000 % 60),
            (17, 2, of_day / 1_000 % 60),
            (20, 3, of_day % 1_000),
        ] {
            let mut rest = number;
            for digit in text[place..place + digits].iter_mut().rev() {
                // A remainder of ten is a digit.
                *digit = b'0' + u8::try_from(rest % 10).unwrap_or_default();
                rest /= 10;
            }
        }
        TimestampText(text)
    }
}

/// Milliseconds of a day.
const DAY: u64 = 86_400_000;

/// A [`Timestamp`] as the wire has it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TimestampText([u8; 24]);

impl TimestampText {
    /// The text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

/// Year, month and day, so many days after the first of January 1970. Years are counted from March, whose first day is
/// the one after the leap day, if there is one; 400 of them have the same number of days each time.
const fn civil(days: u64) -> (u64, u64, u64) {
    // From the first of March of the year 0.
    let days = days + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let is_next = month >= 10;
    (era * 400 + year + is_next as u64, if is_next { month - 9 } else { month + 3 }, day)
}

impl Add<Millis> for Timestamp {
    type Output = Self;

    fn add(self, length: Millis) -> Self {
        Self::from_unix_millis(self.0.saturating_add(length.0))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.to_text().as_str())
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Timestamp {
    type Err = TimestampError;

    fn from_str(text: &str) -> Result<Self, TimestampError> {
        let parsed = OffsetDateTime::parse(text, &Rfc3339).map_err(|_| TimestampError::Format)?;
        let millis = parsed.unix_timestamp_nanos().div_euclid(1_000_000);
        u64::try_from(millis).ok().filter(|millis| *millis <= Self::MAX.0).map(Self).ok_or(TimestampError::Range)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timestamp_is_written_with_milliseconds_and_z() {
        assert_eq!(Timestamp::from_unix_millis(0).to_string(), "1970-01-01T00:00:00.000Z");
        assert_eq!(Timestamp::from_unix_millis(1_778_701_333_020).to_string(), "2026-05-13T19:42:13.020Z");
        assert_eq!(Timestamp::MAX.to_string(), "9999-12-31T23:59:59.999Z");
    }

    #[test]
    fn every_day_is_written_as_the_library_writes_it() {
        let format =
            time::macros::format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");
        // Every day to the year 9999, each at another time.
        for day in 0..=Timestamp::MAX.as_unix_millis() / DAY {
            let millis = (day * DAY + day * 7_919_317 % DAY).min(Timestamp::MAX.as_unix_millis());
            let expected = OffsetDateTime::from_unix_timestamp_nanos(i128::from(millis) * 1_000_000).unwrap();
            assert_eq!(Timestamp::from_unix_millis(millis).to_string(), expected.format(&format).unwrap());
        }
    }

    #[test]
    fn every_spelling_that_a_peer_sends_is_read() {
        for text in [
            "2026-05-13T19:42:13.02Z",
            "2026-05-13T19:42:13.020000000Z",
            "2026-05-13T19:42:13.020+00:00",
            "2026-05-13T21:42:13.0209+02:00",
        ] {
            assert_eq!(text.parse(), Ok(Timestamp::from_unix_millis(1_778_701_333_020)), "{text}");
        }
    }

    #[test]
    fn what_is_no_timestamp_is_refused() {
        for (text, error) in [
            ("", TimestampError::Format),
            ("yesterday", TimestampError::Format),
            ("2026-05-13", TimestampError::Format),
            ("2026-05-13T19:42:13", TimestampError::Format),
            ("1969-12-31T23:59:59Z", TimestampError::Range),
        ] {
            assert_eq!(text.parse::<Timestamp>(), Err(error), "{text:?}");
        }
    }
}
