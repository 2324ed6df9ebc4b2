//! The last number under which a session was given a record of a job, for lists of jobs (spec 6.6).
//!
//! Kept in memory only: a client uses it to ask for what follows, and 0, when nothing is known, asks for everything.

use std::collections::BTreeMap;
use std::sync::Mutex;

use moorline_types::{EventSeq, JobId, SessionId};

use crate::sync::lock;
use crate::view::Delivery;

/// Pairs of job and session that are remembered: as many as a busy gateway has in its longest lists, in some ten
/// megabytes. Those of the oldest jobs go first.
const MAX_REMEMBERED: usize = 65_536;

/// See the module's documentation.
#[derive(Debug, Default)]
pub(crate) struct LastSeen {
    numbers: Mutex<BTreeMap<(JobId, SessionId), EventSeq>>,
}

impl LastSeen {
    /// The session was given these records.
    pub(crate) fn note(&self, session: SessionId, deliveries: &[Delivery]) {
        let mut numbers = lock(&self.numbers);
        // Numbers rise, so of neighbours of one job the last says it all.
        for neighbours in deliveries.chunk_by(|one, next| one.job == next.job) {
            let Some(last) = neighbours.last() else { continue };
            let number = numbers.entry((last.job, session)).or_default();
            // What is shown again has the number that it had.
            *number = last.event_seq.max(*number);
        }
        while numbers.len() > MAX_REMEMBERED {
            numbers.pop_first();
        }
    }

    /// The number, or 0.
    pub(crate) fn get(&self, job: JobId, session: SessionId) -> EventSeq {
        lock(&self.numbers).get(&(job, session)).copied().unwrap_or_default()
    }
}
