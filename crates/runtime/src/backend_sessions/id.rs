//! What a gateway session is called, and which jobs are sessions.

use std::fmt;
use std::str::FromStr;

use moorline_core::record::Accepted;
use moorline_types::{JobId, ResolvedAgent, WorkerId};

/// What the id begins with.
const PREFIX: &str = "session-";

/// What stands between the version of a back end's agent and the name of the one worker that offers it.
const OF_WORKER: &str = "+session.";

/// A session's id: its job's, written as clients of such gateways know it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GatewaySessionId(JobId);

/// A text is no id of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a session's id is {PREFIX:?} and 32 hexadecimal digits")]
pub struct GatewaySessionIdError;

impl GatewaySessionId {
    /// The length of its text, in bytes.
    pub const TEXT_BYTES: usize = PREFIX.len() + 32;

    /// The session that the job is.
    pub const fn of(job: JobId) -> Self {
        Self(job)
    }

    /// The job that the session is.
    pub const fn job(self) -> JobId {
        self.0
    }
}

impl fmt::Display for GatewaySessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{:032x}", u128::from_be_bytes(self.0.to_bytes()))
    }
}

impl FromStr for GatewaySessionId {
    type Err = GatewaySessionIdError;

    fn from_str(text: &str) -> Result<Self, GatewaySessionIdError> {
        let digits = text.strip_prefix(PREFIX).ok_or(GatewaySessionIdError)?;
        let lower_hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        if digits.len() != 32 || !digits.bytes().all(lower_hex) {
            return Err(GatewaySessionIdError);
        }
        let bits = u128::from_str_radix(digits, 16).map_err(|_| GatewaySessionIdError)?;
        Ok(Self(JobId::from_bytes(bits.to_be_bytes())))
    }
}

/// The agent version that one worker alone offers, and that runs the session with this back end.
pub(super) fn agent_of(backend: &str, worker: WorkerId) -> Option<ResolvedAgent> {
    let version = env!("CARGO_PKG_VERSION");
    let worker = worker.to_string();
    format!("{backend}@{version}{OF_WORKER}{}", worker.trim_start_matches(WorkerId::PREFIX)).parse().ok()
}

/// The one worker that offers the agent version of a session's job.
pub(super) fn worker_of(accepted: &Accepted) -> Option<WorkerId> {
    let (_, worker) = accepted.version.rsplit_once(OF_WORKER)?;
    format!("{}{worker}", WorkerId::PREFIX).parse().ok()
}

/// The back end of the session that a job is, if it is one. No other job has such an agent, because a submission can
/// only name those that are offered to everybody.
pub(super) fn backend_of(accepted: &Accepted) -> Option<&str> {
    accepted.version.contains(OF_WORKER).then_some(accepted.agent.as_str())
}

#[cfg(test)]
mod tests {
    use moorline_types::Timestamp;

    use super::*;

    #[test]
    fn an_id_reads_back_and_nothing_else_is_one() {
        let job = JobId::mint(Timestamp::from_unix_millis(1_700_000_000_000), [7; 10]);
        let text = GatewaySessionId::of(job).to_string();
        assert_eq!(text.len(), GatewaySessionId::TEXT_BYTES);
        assert_eq!(text.parse::<GatewaySessionId>().unwrap().job(), job);
        for bad in [
            "",
            "session-",
            &text.to_uppercase(),
            &text[1..],
            &format!("{text}0"),
            "session-+0000000000000000000000000000000",
        ] {
            assert!(bad.parse::<GatewaySessionId>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn every_worker_has_an_agent_version_of_its_own() {
        let worker = |n| WorkerId::mint(Timestamp::from_unix_millis(1), [n; 10]);
        let agents = [1, 2].map(|n| agent_of("simulated", worker(n)).unwrap());
        assert_ne!(agents[0], agents[1]);
        assert!(agents[0].version.to_string().contains(OF_WORKER));
    }
}
