//! `job.cancel` and `job.cancelled` (spec 7.4).

use moorline_types::MessageId;

use crate::{JobRef, Reason, de};

/// Asks for a job's end.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
pub struct Cancel {
    /// The job. Peers name it here, in the envelope, or in both.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job_id: Option<JobRef>,
    /// Why.
    #[serde(default, deserialize_with = "de::empty_is_absent", skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
}

/// Why it is not clear which job is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// Neither the envelope nor the payload names one.
    #[error("job_id: missing; name the job in the envelope or in the payload")]
    Missing,
    /// They name two.
    #[error("job_id: the envelope and the payload name different jobs")]
    Conflict,
}

impl Cancel {
    /// Which job is meant, given what the envelope says.
    pub fn target<'a>(&'a self, envelope: Option<&'a JobRef>) -> Result<&'a JobRef, TargetError> {
        match (envelope, self.job_id.as_ref()) {
            (None, None) => Err(TargetError::Missing),
            (Some(one), Some(other)) if one != other => Err(TargetError::Conflict),
            (Some(job), _) | (None, Some(job)) => Ok(job),
        }
    }
}

/// The job's end was asked for. How it ended follows in its own message.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
pub struct Cancelled {
    /// The job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job_id: Option<JobRef>,
    /// Why, in the words of the one who asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The envelope that asked. Not in the spec; several peers correlate by it.
    #[serde(default, with = "de::maybe_text", skip_serializing_if = "Option::is_none")]
    pub request_id: Option<MessageId>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_may_be_named_in_either_place_but_only_one_job() {
        let named = |id: &str| -> Option<JobRef> { Some(id.parse().unwrap()) };
        for (envelope, payload, expected) in [
            (None, None, Err(TargetError::Missing)),
            (named("a"), None, Ok("a")),
            (None, named("a"), Ok("a")),
            (named("a"), named("a"), Ok("a")),
            (named("a"), named("b"), Err(TargetError::Conflict)),
        ] {
            let cancel = Cancel { job_id: payload, reason: None };
            assert_eq!(cancel.target(envelope.as_ref()).map(JobRef::as_str), expected);
        }
    }
}
