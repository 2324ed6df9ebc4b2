//! One job's reports that the gateway has not yet said to be committed.
//!
//! Reports are numbered here, from 1, and nowhere else. They are sent in order, as often as links come and go, and
//! dropped when they are acknowledged. The outbox lives in memory, bounded by a window of reports and of bytes; one
//! that spills to disk can take its place behind the same methods, and would lengthen what a worker can do without a
//! gateway.

use std::collections::VecDeque;

use moorline_types::limits::WORKER_REPORT_WINDOW;
use moorline_types::{JobId, Timestamp, WorkerSeq};

use crate::limits::REPORT_WINDOW_BYTES;
use crate::message::{FromWorker, HeldJob, Output, Report};

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Outbox {
    job: JobId,
    /// The number of the report at the front.
    first: WorkerSeq,
    waiting: VecDeque<Waiting>,
    /// How many at the front were sent on the present link.
    sent: usize,
    bytes: usize,
    finished: bool,
}

#[derive(Debug)]
struct Waiting {
    at: Timestamp,
    report: Report,
    bytes: usize,
}

/// Why a report was not taken in.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// The window is full; here is the report.
    Full(Report),
    /// The last report was taken in already.
    Finished,
}

impl Outbox {
    pub(crate) const fn new(job: JobId) -> Self {
        Self { job, first: WorkerSeq::FIRST, waiting: VecDeque::new(), sent: 0, bytes: 0, finished: false }
    }

    /// Numbers a report and keeps it.
    pub(crate) fn push(&mut self, at: Timestamp, report: Report) -> Result<(), Refused> {
        if self.finished {
            return Err(Refused::Finished);
        }
        if !self.has_room() {
            return Err(Refused::Full(report));
        }
        let bytes = size(&report);
        self.finished = report.is_terminal();
        self.bytes += bytes;
        self.waiting.push_back(Waiting { at, report, bytes });
        Ok(())
    }

    /// The next report that the present link has not carried.
    pub(crate) fn next(&mut self) -> Option<FromWorker> {
        let Waiting { at, report, .. } = self.waiting.get(self.sent)?;
        let seq = WorkerSeq::new(self.first.get() + self.sent as u64);
        self.sent += 1;
        Some(FromWorker::Report { job: self.job, seq, at: *at, report: report.clone() })
    }

    /// Whether [`Self::next`] has something.
    pub(crate) fn has_next(&self) -> bool {
        self.sent < self.waiting.len()
    }

    /// Forgets reports up to and including `committed`. One that was never made is not believed.
    pub(crate) fn acknowledge(&mut self, committed: WorkerSeq) {
        while self.first <= committed
            && let Some(done) = self.waiting.pop_front()
        {
            self.first = self.first.next();
            self.bytes -= done.bytes;
            self.sent = self.sent.saturating_sub(1);
        }
    }

    /// A new link has carried nothing yet.
    pub(crate) const fn rewind(&mut self) {
        self.sent = 0;
    }

    /// Whether the last report was made.
    pub(crate) const fn is_finished(&self) -> bool {
        self.finished
    }

    /// Whether the last report was made and everything is acknowledged.
    pub(crate) fn is_settled(&self) -> bool {
        self.finished && self.waiting.is_empty()
    }

    /// What a new link is told about the job.
    pub(crate) fn held(&self) -> HeldJob {
        let next = WorkerSeq::new(self.first.get() + self.waiting.len() as u64);
        HeldJob { job: self.job, first: self.first, next, finished: self.finished }
    }

    fn has_room(&self) -> bool {
        self.waiting.is_empty()
            || ((self.waiting.len() as u64) < WORKER_REPORT_WINDOW && self.bytes < REPORT_WINDOW_BYTES)
    }
}

/// What a report holds in memory, without the small change.
fn size(report: &Report) -> usize {
    match report {
        Report::Event { body, .. } => body.get().len(),
        Report::Result { output: Output::Inline(json), .. } => json.get().len(),
        Report::Result { output: Output::Streamed { .. }, .. } => 0,
        Report::Failure(failure) => failure.message.len(),
    }
}

#[cfg(test)]
mod tests {
    use moorline_types::{EventKind, Json};
    use proptest::prelude::*;

    use super::*;
    use crate::message::Failure;

    fn outbox() -> Outbox {
        Outbox::new(JobId::mint(Timestamp::from_unix_millis(1), [1; 10]))
    }

    fn event(bytes: usize) -> Report {
        Report::Event { kind: EventKind::Thought, body: Json::of(&"x".repeat(bytes)).unwrap() }
    }

    fn push(outbox: &mut Outbox, report: Report) -> Result<(), Refused> {
        outbox.push(Timestamp::from_unix_millis(1), report)
    }

    fn sent(outbox: &mut Outbox) -> Vec<u64> {
        std::iter::from_fn(|| outbox.next())
            .map(|message| {
                let FromWorker::Report { seq, .. } = message else { panic!("not a report: {message:?}") };
                seq.get()
            })
            .collect()
    }

    #[test]
    fn nothing_follows_the_last_report() {
        let mut outbox = outbox();
        push(&mut outbox, Report::Failure(Failure::cancelled())).unwrap();
        assert_eq!(push(&mut outbox, event(1)), Err(Refused::Finished));
        assert!(!outbox.is_settled());
        outbox.acknowledge(WorkerSeq::FIRST);
        assert!(outbox.is_settled());
        assert_eq!(push(&mut outbox, event(1)), Err(Refused::Finished));
    }

    #[test]
    fn a_full_window_hands_the_report_back() {
        let mut outbox = outbox();
        for _ in 0..WORKER_REPORT_WINDOW {
            push(&mut outbox, event(1)).unwrap();
        }
        assert_eq!(push(&mut outbox, event(7)), Err(Refused::Full(event(7))));
        outbox.acknowledge(WorkerSeq::FIRST);
        push(&mut outbox, event(7)).unwrap();
    }

    #[test]
    fn large_reports_fill_the_window_by_their_bytes_but_one_always_fits() {
        let mut outbox = outbox();
        push(&mut outbox, event(REPORT_WINDOW_BYTES)).unwrap();
        assert!(matches!(push(&mut outbox, event(1)), Err(Refused::Full(_))));
    }

    #[test]
    fn an_acknowledgement_of_what_was_never_made_forgets_only_what_was() {
        let mut outbox = outbox();
        push(&mut outbox, event(1)).unwrap();
        outbox.acknowledge(WorkerSeq::new(99));
        push(&mut outbox, event(1)).unwrap();
        assert_eq!(sent(&mut outbox), [2]);
    }

    proptest! {
        /// Whatever the order of pushing, sending, acknowledging and losing the link: what is sent after a rewind is
        /// exactly what is not acknowledged, in order and without a hole.
        #[test]
        fn a_new_link_carries_what_is_not_acknowledged(steps in proptest::collection::vec(0_u8..4, 0..200)) {
            let mut outbox = outbox();
            let (mut made, mut acknowledged, mut carried) = (0_u64, 0_u64, 0_u64);
            for step in steps {
                match step {
                    0 | 1 => made += u64::from(push(&mut outbox, event(1)).is_ok()),
                    2 => carried = sent(&mut outbox).last().copied().unwrap_or(carried),
                    _ => {
                        acknowledged = (acknowledged + 1).min(carried);
                        outbox.acknowledge(WorkerSeq::new(acknowledged));
                    }
                }
                let held = outbox.held();
                prop_assert_eq!(held.first.get(), acknowledged + 1);
                prop_assert_eq!(held.next.get(), made + 1);
            }
            outbox.rewind();
            prop_assert_eq!(sent(&mut outbox), (acknowledged + 1..=made).collect::<Vec<_>>());
        }
    }
}
