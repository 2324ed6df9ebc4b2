//! Jobs that have ended a moment ago: what is known of them without reading the journal.
//!
//! Whoever comes back to see how a job went asks what the job is, and when a gateway was gone everybody comes back at once.
//! What is known of a job that is over changes never, so it can be kept for those who come next. It goes with the job.

use std::collections::VecDeque;
use std::sync::Mutex;

use moorline_types::JobId;

use crate::gateway::JobSummary;
use crate::sync::lock;

/// Jobs that are known: those that thousands of sessions watch together are few, and a busy gateway ends so many in some
/// milliseconds, which costs it nothing.
const KNOWN: usize = 64;

/// The largest input and lease, in bytes, of a job that is known. All of them are then a quarter of a mebibyte at the most.
const MAX_BYTES: usize = 4 * 1024;

/// See the module's documentation.
#[derive(Debug, Default)]
pub(crate) struct RecentJobs(Mutex<VecDeque<JobSummary>>);

impl RecentJobs {
    /// The job has ended.
    pub(crate) fn note(&self, job: JobSummary) {
        if job.accepted.input.get().len() + job.accepted.lease.get().len() > MAX_BYTES {
            return;
        }
        let mut known = lock(&self.0);
        known.truncate(KNOWN - 1);
        known.push_front(job);
    }

    /// What is known of the job.
    pub(crate) fn get(&self, job: JobId) -> Option<JobSummary> {
        lock(&self.0).iter().find(|known| known.job == job).cloned()
    }

    /// The job is to be removed from the journal.
    pub(crate) fn forget(&self, job: JobId) {
        lock(&self.0).retain(|known| known.job != job);
    }
}
