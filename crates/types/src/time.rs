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
use time::macros::format_description;

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
}

impl Add<Millis> for Timestamp {
    type Output = Self;

    fn add(self, length: Millis) -> Self {
        Self::from_unix_millis(self.0.saturating_add(length.0))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let format = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");
        let text = OffsetDateTime::from_unix_timestamp_nanos(i128::from(self.0) * 1_000_000)
            .map_err(|_| fmt::Error)?
            .format(&format)
            .map_err(|_| fmt::Error)?;
        f.write_str(&text)
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
