//! Versions of the worker protocol and how two sides agree on one.

use std::fmt;

/// One version of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProtocolVersion(u32);

impl ProtocolVersion {
    /// The first: jobs and reports.
    pub const V1: Self = Self(1);

    /// A worker asks for its jobs, and the gateway answers.
    pub const V2: Self = Self(2);

    /// The version with this number.
    pub const fn new(number: u32) -> Self {
        Self(number)
    }

    /// The number.
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl fmt::Display for ProtocolVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// The versions that one side speaks: all from `min` to `max`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VersionRange {
    /// The oldest.
    pub min: ProtocolVersion,
    /// The newest.
    pub max: ProtocolVersion,
}

/// Why two sides have no version in common.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoCommonVersion {
    /// The other side's newest version is older than our oldest.
    #[error("the worker speaks protocol versions {theirs}, the gateway {ours}: update the worker")]
    TooOld {
        /// What we speak.
        ours: VersionRange,
        /// What they speak.
        theirs: VersionRange,
    },
    /// The other side's oldest version is newer than our newest.
    #[error("the worker speaks protocol versions {theirs}, the gateway {ours}: update the gateway")]
    TooNew {
        /// What we speak.
        ours: VersionRange,
        /// What they speak.
        theirs: VersionRange,
    },
    /// The other side's range is empty.
    #[error("the worker's range of protocol versions, {theirs}, is empty")]
    Empty {
        /// What they say they speak.
        theirs: VersionRange,
    },
}

impl VersionRange {
    /// What this build speaks: its own version and the one before. A gateway and a worker that
    /// are one version apart understand each other, whichever is the newer: the handshake picks the newest common one.
    pub const OURS: Self = Self { min: ProtocolVersion::V1, max: ProtocolVersion::V2 };

    /// The newest version that both speak. `self` is the gateway's range, `theirs` the worker's.
    pub fn common(self, theirs: Self) -> Result<ProtocolVersion, NoCommonVersion> {
        if theirs.min > theirs.max {
            Err(NoCommonVersion::Empty { theirs })
        } else if theirs.max < self.min {
            Err(NoCommonVersion::TooOld { ours: self, theirs })
        } else if theirs.min > self.max {
            Err(NoCommonVersion::TooNew { ours: self, theirs })
        } else {
            Ok(self.max.min(theirs.max))
        }
    }

    /// Whether a version is in the range.
    pub fn contains(self, version: ProtocolVersion) -> bool {
        (self.min..=self.max).contains(&version)
    }
}

impl fmt::Display for VersionRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.min == self.max { write!(f, "{}", self.min) } else { write!(f, "{} to {}", self.min, self.max) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(min: u32, max: u32) -> VersionRange {
        VersionRange { min: ProtocolVersion::new(min), max: ProtocolVersion::new(max) }
    }

    #[test]
    fn ranges_without_overlap_are_refused_and_say_who_must_move() {
        for (ours, theirs, remedy) in [
            (range(2, 3), range(1, 1), "update the worker"),
            (range(2, 3), range(4, 9), "update the gateway"),
            (range(2, 3), range(3, 2), "is empty"),
        ] {
            let error = ours.common(theirs).unwrap_err().to_string();
            assert!(error.contains(remedy), "{error}");
        }
    }

    #[test]
    fn the_newest_common_version_is_chosen() {
        for (ours, theirs, expected) in [
            (range(1, 1), range(1, 1), 1),
            (range(1, 3), range(2, 5), 3),
            (range(2, 5), range(1, 3), 3),
            (range(1, 9), range(4, 4), 4),
        ] {
            assert_eq!(ours.common(theirs), Ok(ProtocolVersion::new(expected)));
        }
    }
}
