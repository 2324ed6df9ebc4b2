//! The end of a job whose worker will not finish it.

use moorline_types::{Timestamp, WorkerId};

use super::Job;
use crate::record::{Cause, Failure};

/// Why a worker will not finish a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Lost {
    /// Its process has ended.
    Ended,
    /// It was away for longer than workers are waited for.
    Away,
    /// It is attached, and does not have the job.
    Forgotten,
    /// Its enrolment was revoked.
    Revoked,
    /// A start of the gateway did not take it over from the run before.
    NotAdopted,
}

impl Lost {
    /// What the job's client is told. Names the remedy.
    const fn message(self) -> &'static str {
        match self {
            Self::Ended => "the worker that ran the job ended before the job did; submit it again",
            Self::Away => "the worker that ran the job did not come back in time; submit it again",
            Self::Forgotten => "the worker that ran the job no longer has it; submit it again",
            Self::Revoked => "the worker that ran the job was revoked; submit it again",
            Self::NotAdopted => {
                "the gateway was restarted and did not take over the worker that ran the job; submit it again"
            }
        }
    }
}

impl Job {
    /// The worker will not finish the job. Says nothing about a job that another worker runs, or none.
    pub fn handle_worker_lost(&mut self, now: Timestamp, worker: WorkerId, lost: Lost) {
        if self.worker != Some(worker) || self.status.is_terminal() {
            return;
        }
        self.fence = None;
        let (cause, message) = (Cause::WorkerLost, lost.message().to_owned());
        self.end(now, Failure { worker_seq: None, cause, message, retryable: true, details: None });
    }
}
