//! What a session sees of a journal that is written out as a table.

#![expect(clippy::disallowed_methods, reason = "the tests stand in for a store")]

use std::sync::Arc;

use bytes::Bytes;
use moorline_types::{EventKind, Json, RecordKind, Timestamp};
use proptest::prelude::*;

use super::*;
use crate::record::{Attached, Detached, History, Notice, Subscribed};

fn session() -> SessionId {
    SessionId::mint(Timestamp::from_unix_millis(1), [1; 10])
}

fn job(n: u8) -> JobId {
    JobId::mint(Timestamp::from_unix_millis(2), [n; 10])
}

/// A journal in memory.
#[derive(Default)]
struct Journal(Vec<Committed<Arc<Record>>>);

impl Journal {
    fn write(&mut self, stream: StreamId, kind: RecordKind, body: Bytes) -> &mut Self {
        let seq = StreamSeq::new(self.0.iter().filter(|record| record.stream == stream).count() as u64 + 1);
        let offset = Offset::new(self.0.len() as u64 + 1);
        let record = Record { stream, seq, at: Timestamp::from_unix_millis(3), kind, body };
        self.0.push(Committed::attest(offset, Arc::new(record)));
        self
    }

    fn job(&mut self, n: u8, kind: RecordKind) -> &mut Self {
        self.write(StreamId::Job(job(n)), kind, Bytes::from_static(b"{}"))
    }

    fn session(&mut self, fact: Fact) -> &mut Self {
        self.write(StreamId::Session(session()), fact.kind(), fact.encode())
    }

    fn attach(&mut self, n: u8, from: Option<u64>) -> &mut Self {
        self.session(Fact::Attached(Attached {
            job: job(n),
            from: from.map(StreamSeq::new),
            overflow: Overflow::CatchUp,
        }))
    }

    /// Everything that the view sees now: (`event_seq`, job, position in the job), reading `at_most` records at once.
    fn seen_by(&self, view: &mut View, at_most: usize) -> Vec<(u64, JobId, u64)> {
        let mut seen = Vec::new();
        loop {
            let pull = view.pull();
            let streams: Vec<_> = view.streams().collect();
            let records: Vec<_> =
                self.0.iter().filter(|record| is_wanted(record, pull, &streams)).take(at_most).collect();
            if records.is_empty() {
                match pull {
                    Pull::Live { .. } => return seen,
                    Pull::Stretch { .. } => view.handle_end_of_stretch(),
                }
            }
            for record in records {
                let Seen { shown, turned } = view.handle(record).unwrap();
                if let Some(Shown { event_seq, job }) = shown {
                    seen.push((event_seq.get(), job, record.seq.get()));
                }
                if turned {
                    break;
                }
            }
        }
    }
}

fn is_wanted(record: &Committed<Arc<Record>>, pull: Pull, streams: &[StreamId]) -> bool {
    match pull {
        Pull::Live { after } => streams.contains(&record.stream) && record.offset() > after,
        Pull::Stretch { job, from } => record.stream == StreamId::Job(job) && record.seq >= from,
    }
}

fn check(journal: &Journal, expected: &[(u64, u8, u64)]) {
    let expected: Vec<_> = expected.iter().map(|(number, n, seq)| (*number, job(*n), *seq)).collect();
    for at_most in [1, 2, 3, 100] {
        assert_eq!(
            journal.seen_by(&mut View::new(session(), Offset::ZERO), at_most),
            expected,
            "{at_most} records a read"
        );
    }
}

use RecordKind::{JobAccepted, JobError, JobEvent, JobResult, JobStarted};

#[test]
fn a_session_sees_its_job_live_and_numbers_what_is_visible() {
    let mut journal = Journal::default();
    journal.attach(7, None).job(7, JobAccepted).job(7, JobStarted).job(7, JobEvent).job(8, JobEvent).job(7, JobResult);
    check(&journal, &[(1, 7, 3), (2, 7, 4)]);
}

#[test]
fn two_jobs_are_merged_in_the_order_of_the_journal() {
    let mut journal = Journal::default();
    journal.attach(7, None).attach(8, None).job(8, JobEvent).job(7, JobEvent).job(8, JobError).job(7, JobEvent);
    check(&journal, &[(1, 8, 1), (2, 7, 1), (3, 8, 2), (4, 7, 2)]);
}

#[test]
fn without_history_only_later_records_are_seen() {
    let mut journal = Journal::default();
    journal.job(7, JobEvent).job(7, JobEvent).attach(7, None).job(7, JobEvent);
    check(&journal, &[(1, 7, 3)]);
}

#[test]
fn attaching_from_a_position_sees_each_record_once() {
    for from in 1..=4 {
        let mut journal = Journal::default();
        journal.job(7, JobEvent).job(7, JobEvent).job(7, JobEvent).attach(7, Some(from)).job(7, JobEvent);
        let expected: Vec<_> = (from..=4).enumerate().map(|(n, seq)| (n as u64 + 1, 7, seq)).collect();
        check(&journal, &expected);
    }
}

#[test]
fn history_comes_where_it_was_recorded_and_does_not_hold_up_other_jobs() {
    let mut journal = Journal::default();
    for _ in 0..4 {
        journal.job(7, JobEvent);
    }
    journal
        .attach(8, None)
        .session(Fact::History(History { job: job(7), from: StreamSeq::new(1), to: StreamSeq::new(2) }))
        .job(8, JobEvent)
        .session(Fact::History(History { job: job(7), from: StreamSeq::new(3), to: StreamSeq::new(3) }))
        .job(7, JobResult)
        .attach(7, Some(4))
        .job(8, JobEvent);
    check(&journal, &[(1, 7, 1), (2, 7, 2), (3, 8, 1), (4, 7, 3), (5, 7, 4), (6, 7, 5), (7, 8, 2)]);
}

#[test]
fn a_job_that_is_attached_twice_is_seen_once() {
    let mut journal = Journal::default();
    journal.attach(7, None).job(7, JobEvent).attach(7, Some(1)).job(7, JobEvent);
    check(&journal, &[(1, 7, 1), (2, 7, 2)]);
}

#[test]
fn a_detached_job_is_not_seen_until_it_is_attached_again() {
    let mut journal = Journal::default();
    journal
        .attach(7, None)
        .job(7, JobEvent)
        .session(Fact::Detached(Detached { job: job(7) }))
        .job(7, JobEvent)
        .attach(7, None)
        .job(7, JobEvent);
    check(&journal, &[(1, 7, 1), (2, 7, 3)]);
}

#[test]
fn a_job_that_has_ended_is_waited_for_no_longer() {
    let mut journal = Journal::default();
    journal.attach(7, None).attach(8, None).job(7, JobResult);
    let mut view = View::new(session(), Offset::ZERO);
    journal.seen_by(&mut view, 100);
    assert_eq!(view.live().len(), 1);
}

#[test]
fn history_that_was_asked_for_is_awaited_until_its_last_stretch_is_attached() {
    let subscribed = |n, from| Fact::Subscribed(Subscribed { job: job(n), from, overflow: Overflow::Skip });
    let awaited = |journal: &Journal| {
        let mut view = View::new(session(), Offset::ZERO);
        journal.seen_by(&mut view, 100);
        view.awaited().iter().map(|awaited| (awaited.job, awaited.next.get())).collect::<Vec<_>>()
    };
    let mut journal = Journal::default();
    for _ in 0..3 {
        journal.job(7, JobEvent).job(8, JobEvent);
    }
    journal.session(subscribed(7, StreamSeq::FIRST)).session(subscribed(8, StreamSeq::new(2)));
    assert_eq!(awaited(&journal), [(job(7), 1), (job(8), 2)]);
    journal.session(Fact::History(History { job: job(7), from: StreamSeq::new(1), to: StreamSeq::new(2) }));
    assert_eq!(awaited(&journal), [(job(8), 2), (job(7), 3)], "stretches take turns");
    journal.attach(8, Some(2));
    assert_eq!(awaited(&journal), [(job(7), 3)]);
    journal.session(Fact::Detached(Detached { job: job(7) }));
    assert_eq!(awaited(&journal), []);
}

#[test]
fn a_notice_is_numbered_among_the_records_of_the_jobs() {
    let notice = Fact::Notice(Notice { job: job(7), kind: EventKind::Status, body: Json::parse("{}").unwrap() });
    let mut journal = Journal::default();
    journal.attach(7, None).job(7, JobEvent).session(notice.clone()).job(7, JobResult).session(notice);
    // The notice is the session's second record; the one after the end is not seen.
    check(&journal, &[(1, 7, 1), (2, 7, 2), (3, 7, 2)]);
}

/// What may come into a journal.
#[derive(Debug, Clone)]
enum Step {
    Record(u8, bool),
    Attach(u8, Option<u64>),
    Detach(u8),
}

proptest! {
    /// Whenever and in whatever portions a session reads, it sees the same records under the same numbers.
    #[test]
    fn the_numbering_is_a_function_of_the_journal(
        steps in proptest::collection::vec(
            prop_oneof![
                6 => (1_u8..4, any::<bool>()).prop_map(|(job, visible)| Step::Record(job, visible)),
                2 => (1_u8..4, proptest::option::of(1_u64..6)).prop_map(|(job, from)| Step::Attach(job, from)),
                1 => (1_u8..4).prop_map(Step::Detach),
            ],
            1..60,
        ),
        reads in proptest::collection::vec((any::<bool>(), 1_usize..7), 60),
    ) {
        let mut journal = Journal::default();
        let mut live = View::new(session(), Offset::ZERO);
        let mut seen_live = Vec::new();
        for (step, (read_now, at_most)) in steps.into_iter().zip(reads) {
            match step {
                Step::Record(n, visible) => journal.job(n, if visible { JobEvent } else { JobStarted }),
                Step::Attach(n, from) => journal.attach(n, from),
                Step::Detach(n) => journal.session(Fact::Detached(Detached { job: job(n) })),
            };
            if read_now {
                seen_live.extend(journal.seen_by(&mut live, at_most));
                // Written down and taken up again.
                live = serde_json::from_slice(&serde_json::to_vec(&live).unwrap()).unwrap();
            }
        }
        seen_live.extend(journal.seen_by(&mut live, 100));
        let replayed = journal.seen_by(&mut View::new(session(), Offset::ZERO), 3);
        prop_assert_eq!(&seen_live, &replayed);
        let numbers: Vec<_> = replayed.iter().map(|(number, ..)| *number).collect();
        prop_assert_eq!(numbers, (1..=replayed.len() as u64).collect::<Vec<_>>());
    }
}
