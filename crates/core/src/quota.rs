//! How much a principal may have, and what it is told when that is reached.
//!
//! What a key says goes before what is configured for everybody ([`Quotas::or`](moorline_types::Quotas::or)). What is
//! counted is the principal's, whichever of its keys it came with. A quota holds what comes next back: nothing that is
//! there is ended or removed for it.

use std::fmt;

use moorline_types::Millis;

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Quota {
    /// Sessions, those that wait for their client included.
    Sessions,
    /// Jobs that have not ended.
    Jobs,
    /// Jobs that no worker has begun.
    Queued,
    /// Submissions in a second.
    SubmitsPerSec,
    /// Bytes of records of its jobs and sessions that are in the journal.
    StoredBytes,
}

/// A quota does not allow for more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub struct QuotaReached {
    /// Which.
    pub quota: Quota,
    /// How much there may be.
    pub limit: u64,
    /// How much there is.
    pub used: u64,
    /// After how long the same is let through if nothing else is asked for; absent where nobody knows.
    pub retry_after: Option<Millis>,
}

impl QuotaReached {
    /// The fields of it, for programs.
    pub fn details(&self) -> serde_json::Value {
        let Self { quota, limit, used, retry_after } = self;
        let mut details = serde_json::json!({ "quota": quota.as_str(), "limit": limit, "used": used });
        if let Some(wait) = retry_after {
            details["retry_after_ms"] = wait.get().into();
        }
        details
    }
}

impl Quota {
    /// Every quota.
    pub const ALL: [Self; 5] = [Self::Sessions, Self::Jobs, Self::Queued, Self::SubmitsPerSec, Self::StoredBytes];

    /// Its name, as a key has it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sessions => "sessions",
            Self::Jobs => "jobs",
            Self::Queued => "queued",
            Self::SubmitsPerSec => "submits_per_sec",
            Self::StoredBytes => "stored_bytes",
        }
    }

    /// Whether room comes by itself, so that the same request is worth sending again. Sessions and what is stored stay
    /// until somebody closes or removes them.
    pub const fn frees_itself(self) -> bool {
        match self {
            Self::Jobs | Self::Queued | Self::SubmitsPerSec => true,
            Self::Sessions | Self::StoredBytes => false,
        }
    }

    /// Takes `more` where there may be `limit`; without a limit whatever is asked for. Answers how much there is then.
    ///
    /// # Errors
    /// If that is too much.
    pub fn take(self, used: u64, more: u64, limit: Option<u64>) -> Result<u64, QuotaReached> {
        let then = used.saturating_add(more);
        match limit {
            Some(limit) if then > limit => Err(QuotaReached { quota: self, limit, used, retry_after: None }),
            Some(_) | None => Ok(then),
        }
    }
}

impl fmt::Display for Quota {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for QuotaReached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { quota, limit, used, retry_after } = self;
        match quota {
            Quota::Sessions => {
                write!(f, "this principal has {used} sessions open and may have {limit}; close one first")
            }
            Quota::Jobs => write!(
                f,
                "this principal has {used} unfinished jobs and may have {limit}; wait for one to end or cancel one"
            ),
            Quota::Queued => write!(
                f,
                "this principal has {used} jobs that no worker has begun and may have {limit}; wait until one is begun"
            ),
            Quota::SubmitsPerSec => {
                let wait = retry_after.unwrap_or_default().get();
                write!(f, "this principal may submit {limit} jobs a second; submit again in {wait} ms")
            }
            Quota::StoredBytes => write!(
                f,
                "the journal has {used} bytes of this principal's jobs and sessions, and may have {limit} with this \
                 submission; wait until some are removed, or ask an administrator to remove them"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_never_exceeds_the_limit() {
        for (used, more, limit, expected) in [
            (0, 1, Some(0), None),
            (0, 1, Some(1), Some(1)),
            (1, 1, Some(1), None),
            (7, 3, Some(10), Some(10)),
            (8, 3, Some(10), None),
            (u64::MAX, 1, Some(u64::MAX), Some(u64::MAX)),
            (u64::MAX, 1, None, Some(u64::MAX)),
        ] {
            let taken = Quota::StoredBytes.take(used, more, limit);
            assert_eq!(taken.ok(), expected, "{used} and {more} of {limit:?}");
        }
    }

    #[test]
    fn a_quota_is_called_what_a_key_calls_it() {
        for quota in Quota::ALL {
            let key = format!(r#"{{"{quota}":1}}"#);
            let read: moorline_types::Quotas = serde_json::from_str(&key).unwrap();
            assert_eq!(serde_json::to_string(&read).unwrap(), key);
        }
    }
}
