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
        let last = last_of_each(deliveries);
        let mut numbers = lock(&self.numbers);
        for (job, event_seq) in last {
            let number = numbers.entry((job, session)).or_default();
            // What is shown again has the number that it had.
            *number = event_seq.max(*number);
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

/// The last number of each job. Of two jobs that take turns, earlier ones may be there as well, before their last.
fn last_of_each(deliveries: &[Delivery]) -> Vec<(JobId, EventSeq)> {
    // All sessions wait for one lock, so what is a page's own is done before. The last byte of an id is random: it tells
    // nearly all jobs of a page apart, and those that it does not are noted more than once.
    let mut places = [0; 1 << u8::BITS];
    let mut last: Vec<(JobId, EventSeq)> = Vec::new();
    // Numbers rise, so of neighbours of one job the last says it all.
    for neighbours in deliveries.chunk_by(|one, next| one.job == next.job) {
        let Some(Delivery { job, event_seq, .. }) = neighbours.last() else { continue };
        let [.., told_by] = job.to_bytes();
        let place = &mut places[usize::from(told_by)];
        match last.get_mut(*place) {
            Some((known, number)) if known == job => *number = *event_seq,
            _ => {
                *place = last.len();
                last.push((*job, *event_seq));
            }
        }
    }
    last
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;
    use moorline_types::{Committed, Offset, Record, RecordKind, StreamId, StreamSeq, Timestamp};

    use super::*;

    #[expect(clippy::disallowed_methods, reason = "the test stands in for a store")]
    fn delivery(job: JobId, number: u64) -> Delivery {
        let (at, body) = (Timestamp::from_unix_millis(0), Bytes::new());
        let (stream, seq, kind) = (StreamId::Job(job), StreamSeq::new(number), RecordKind::JobEvent);
        let record = Committed::attest(Offset::new(number), Arc::new(Record { stream, seq, at, kind, body }));
        Delivery { event_seq: EventSeq::new(number), job, record, missed: None }
    }

    #[test]
    fn the_last_number_of_each_job_is_noted_however_they_take_turns() {
        let session = SessionId::from_bytes([9; 16]);
        // The last byte of the first and of the third is the same.
        let jobs = [(1, 7), (2, 8), (3, 7)].map(|(first, last)| {
            let mut bytes = [0; 16];
            (bytes[0], bytes[15]) = (first, last);
            JobId::from_bytes(bytes)
        });
        let [one, other, like_one] = jobs;
        for (turns, noted) in [
            (vec![], 0),
            (vec![one], 1),
            (vec![one, one, one], 1),
            (vec![one, other, one, other, other], 2),
            (vec![other, like_one, other, like_one], 2),
            (vec![one, like_one, one, other, one, like_one, other], 5),
        ] {
            let page: Vec<_> = turns.iter().zip(1..).map(|(job, number)| delivery(*job, number)).collect();
            assert_eq!(last_of_each(&page).len(), noted, "{turns:?}");
            let seen = LastSeen::default();
            seen.note(session, &page);
            for job in jobs {
                let last = page.iter().rfind(|delivery| delivery.job == job).map(|delivery| delivery.event_seq);
                assert_eq!(seen.get(job, session), last.unwrap_or_default(), "{job} of {turns:?}");
            }
            // The same page is shown to a client that comes back.
            seen.note(session, page.get(..1).unwrap_or_default());
            for delivery in &page {
                assert!(seen.get(delivery.job, session) >= delivery.event_seq);
            }
        }
    }
}
